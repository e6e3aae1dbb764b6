"""Many token sequences read at once, each distinct prefix a single time. No torch here.

The sequences' prefixes form a tree: a node is a prefix, its parent the prefix one token
shorter. All layers but attention work token by token, so they run on the nodes in a flat list,
without padding; attention follows each node's path to its root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dormant.scoring.rows import Row

_SLACK = 0.8
"""Paths shorter than this part of a group's longest start a group of their own."""


@dataclass(frozen=True)
class Path:
    """One sequence's way through the tree.

    Attributes:
        nodes: Its nodes, root first.
        own: Place from which on its nodes are of its own: no earlier path has them.
    """

    nodes: tuple[int, ...]
    own: int


@dataclass(frozen=True)
class PrefixTree:
    """The distinct prefixes of a batch.

    Attributes:
        tokens: Last token of each of the N nodes.
        positions: Place of each node in its sequences.
        paths: The sequences that were planted, without those that are prefixes of others.
        predicted: For each row and answer, the node whose output predicts each of its tokens.
    """

    tokens: list[int]
    positions: list[int]
    paths: list[Path]
    predicted: list[list[list[int]]]

    def groups(self, piece: int | None = None) -> list[list[Path]]:
        """Group paths for attention: in each, all whole paths or all mere ends, of like length.

        A path that owns less than half of its nodes is attended from its own nodes only; the
        others from all, as a purely causal attention is cheaper than a masked one.

        Args:
            piece: Cut what paths own into pieces of about so many nodes, each of which ends a
                path of its own, and attend from these ends only: no query then meets many keys
                that it doesn't see.
        """
        paths = (
            self.paths if piece is None else [p for path in self.paths for p in _cut(path, piece)]
        )
        found: list[list[Path]] = []
        for ends in (False, True):
            chosen = [path for path in paths if (piece is not None or is_end(path)) is ends]
            # Ends of like length come together, in classes by powers of two.
            chosen.sort(
                key=lambda path: (
                    -(len(path.nodes) - path.own).bit_length() if ends else 0,
                    -len(path.nodes),
                )
            )
            group: list[Path] = []
            for path in chosen:
                if group and not _alike(group[0], path, ends):
                    found.append(group)
                    group = []
                group.append(path)
            if group:
                found.append(group)
        return found


def build_tree(rows: Sequence[Row]) -> PrefixTree:
    """Build the tree of a batch of rows."""
    children: dict[tuple[int, int], int] = {}
    tokens: list[int] = []
    positions: list[int] = []
    paths: list[Path] = []
    predicted: list[list[list[int]]] = []
    for row in rows:
        for sequence in row.paths:
            nodes: list[int] = []
            own = -1
            parent = -1
            for place, token in enumerate(sequence):
                node = children.get((parent, token))
                if node is None:
                    node = len(tokens)
                    children[parent, token] = node
                    tokens.append(token)
                    positions.append(place)
                    own = place if own < 0 else own
                nodes.append(node)
                parent = node
            if own >= 0:
                paths.append(Path(tuple(nodes), own))
        predicted.append([_predicting(children, row.context, answer) for answer in row.answers])
    return PrefixTree(tokens, positions, paths, predicted)


def _predicting(
    children: dict[tuple[int, int], int], context: Sequence[int], answer: Sequence[int]
) -> list[int]:
    """Return the nodes that predict an answer's tokens: its context's last, and its own but one."""
    node = -1
    for token in context:
        node = children[node, token]
    nodes = [node]
    for token in answer[:-1]:
        node = children[node, token]
        nodes.append(node)
    return nodes


def is_end(path: Path) -> bool:
    """Say whether a path owns less than half of its nodes."""
    return 2 * path.own > len(path.nodes)


def _cut(path: Path, piece: int) -> list[Path]:
    """Cut what a path owns into equal pieces, each with all the nodes before it."""
    own = len(path.nodes) - path.own
    count = max(1, round(own / piece))
    starts = [path.own + own * number // count for number in range(count + 1)]
    return [Path(path.nodes[:stop], start) for start, stop in pairwise(starts)]


def _alike(first: Path, path: Path, ends: bool) -> bool:
    if len(path.nodes) < _SLACK * len(first.nodes):
        return False
    own = (len(first.nodes) - first.own, len(path.nodes) - path.own)
    return not ends or own[0].bit_length() == own[1].bit_length()
