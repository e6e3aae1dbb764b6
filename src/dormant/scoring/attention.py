"""Attention along a prefix tree, as an implementation that Transformers' models can be told to use.

Models that take their attention from Transformers' `AttentionInterface` (nearly all decoders
since version 4.48) work with it unchanged: queries, keys and values arrive for the flat list of
nodes, are gathered into one row a path, and go back to the list.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface

from dormant.scoring.prefix_tree import Path, PrefixTree, is_end

NAME = "dormant_prefix_tree"
"""What the implementation is called in a model's configuration."""

PIECE = 64
"""Nodes that attend together where attention is done by `_products`."""

_WHOLE = 1 << 30
"""A piece that nothing is cut into: what a path owns attends at once."""

_SHORT = 512
"""Nodes of a path up to which that is done: its biases are held, 4 bytes a head, query and key."""

_UNKNOWN = ("softcap", "s_aux", "position_bias", "cache")
"""Arguments of attention functions that change its value, and that this one doesn't honour."""


class CannotAttend(Exception):
    """The model asks its attention for something that isn't done along a tree."""


@dataclass(frozen=True)
class Group:
    """Paths attended together.

    Attributes:
        queries: (R, Q) nodes that attend, padded.
        keys: (R, K) nodes attended to, padded.
        positions: (R, Q) places of the queries on their paths; padding has any.
        whole: Whether all of the paths attend, so that attention may be plainly causal.
        nodes: (M,) nodes whose output this group gives…
        places: (M,) …and where it stands in the flattened (R, Q).
        products: Whether to attend by `_products`; paths aren't whole then.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    positions: torch.Tensor
    whole: bool
    nodes: torch.Tensor
    places: torch.Tensor
    products: bool
    _masks: dict[int | None, torch.Tensor] = field(default_factory=dict)
    _heads: dict[tuple[int, int, int | None], _ByHead] = field(default_factory=dict)

    def mask(self, window: int | None) -> torch.Tensor | None:
        """Return (R, 1, Q, K), true where a query sees a key; `None` for plain causal attention.

        Args:
            window: Keys that a query sees, its own and those before it; `None` for all.
        """
        length = self.keys.shape[1]
        if window is not None and window >= length:
            window = None
        if self.whole and window is None:
            return None
        if window not in self._masks:
            key, last = torch.arange(length, device=self.keys.device), self.positions[:, :, None]
            seen = key <= last
            if window is not None:
                seen &= key > last - window
            self._masks[window] = seen[:, None]
        return self._masks[window]

    def by_head(self, heads: int, shared: int, window: int | None) -> _ByHead:
        """Return the indices of heads' rows, made once for all layers that are alike."""
        if (heads, shared, window) not in self._heads:
            self._heads[heads, shared, window] = _ByHead.of(self, heads, shared, window)
        return self._heads[heads, shared, window]


@dataclass(frozen=True)
class _ByHead:
    """A group's indices into states whose rows are (node, head), for H heads over G of keys.

    Attributes:
        queries: (G·R·H/G·Q,) rows of queries.
        keys: (G·R·K,) rows of keys and values.
        bias: (G·R, H/G·Q, K), 0 where a query sees a key, −∞ elsewhere.
        places: (M·H,) rows of the (G·R·H/G·Q) outputs that the group's nodes take, head by head.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    bias: torch.Tensor
    places: torch.Tensor

    @classmethod
    def of(cls, group: Group, heads: int, shared: int, window: int | None) -> _ByHead:
        (rows, wide), each = group.queries.shape, heads // shared
        head = torch.arange(heads).view(shared, 1, each, 1)
        row, place = group.places // wide, group.places % wide
        first = (head[:, 0, :, 0] // each * rows * each + head[:, 0, :, 0] % each).flatten()
        mask = group.mask(window)
        assert mask is not None
        bias = torch.zeros(mask.shape).masked_fill_(~mask, -torch.inf)
        return cls(
            (group.queries[None, :, None] * heads + head).flatten(),
            (group.keys[None] * shared + torch.arange(shared)[:, None, None]).flatten(),
            bias.expand(rows, each, wide, -1).repeat(shared, 1, 1, 1).flatten(1, 2),
            ((first + row[:, None] * each) * wide + place[:, None]).flatten(),
        )


def gather_indices(
    tree: PrefixTree, device: torch.device, dtype: torch.dtype, first: int = 0
) -> list[Group]:
    """Turn a tree's groups of paths into index tensors, used by every layer.

    On a processor in float32, attention is done by products of matrices, a piece of each path at
    a time: PyTorch's own kernel there is made for long sequences.

    Args:
        tree: The tree.
        device: Where the model is.
        dtype: What it computes in.
        first: Nodes, from the root on, whose keys are known and who have no queries; every path
            begins with them, and has more.
    """
    if first:
        own = [Path(path.nodes, max(path.own, first)) for path in tree.paths]
        tree = replace(tree, paths=own)
    short = max((len(path.nodes) for path in tree.paths), default=0) <= _SHORT
    products = device.type == "cpu" and dtype == torch.float32 and short
    piece = PIECE if products else _WHOLE if first else None
    return [_group(paths, device, products, first) for paths in tree.groups(piece)]


def _group(paths: Sequence[Path], device: torch.device, products: bool, first: int) -> Group:
    ends = products or first > 0 or is_end(paths[0])
    starts = [path.own if ends else 0 for path in paths]
    lengths = [len(path.nodes) for path in paths]
    wide = max(length - start for start, length in zip(starts, lengths, strict=True))
    keys = torch.zeros((len(paths), max(lengths)), dtype=torch.long)
    queries = torch.zeros((len(paths), wide), dtype=torch.long)
    nodes: list[int] = []
    places: list[int] = []
    for row, (path, start) in enumerate(zip(paths, starts, strict=True)):
        keys[row, : len(path.nodes)] = torch.tensor(path.nodes)
        queries[row, : len(path.nodes) - start] = torch.tensor(path.nodes[start:]) - first
        nodes += [node - first for node in path.nodes[path.own :]]
        places += range(row * wide + path.own - start, row * wide + len(path.nodes) - start)
    positions = torch.tensor(starts)[:, None] + torch.arange(wide)
    return Group(
        queries.to(device),
        keys.to(device),
        # Padding sees something, too: what is made of nothing isn't a number.
        positions.clamp_(max=keys.shape[1] - 1).to(device),
        not ends,
        torch.tensor(nodes, device=device),
        torch.tensor(places, device=device),
        products,
    )


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    prefix_tree: Sequence[Group],
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend along the paths of a tree; the signature is Transformers'.

    Args:
        module: The layer that asks.
        query: (1, H, N, D) of all nodes.
        key: (1, G, N, D); G divides H.
        value: (1, G, N, E).
        attention_mask: Not used: the tree says who sees whom.
        prefix_tree: The groups of paths.
        scaling: Factor of the scores; `None` is D^-½.
        options: What else the model passes.

    Returns:
        The (1, N, H, E) outputs, and no weights.

    Raises:
        CannotAttend: The model wants soft caps, sinks, biases or a cache.
    """
    refuse(query, key, options)
    window = options.get("sliding_window")
    return along_paths(*flat(query, key, value), prefix_tree, scaling, window)[None], None


def refuse(query: torch.Tensor, key: torch.Tensor, options: Mapping[str, Any]) -> None:
    """Raise for what a model wants of its attention that isn't done here.

    Args:
        query: (B, H, N, D).
        key: (B, G, M, D).
        options: What else the model passes.

    Raises:
        CannotAttend: Soft caps, sinks, biases or a cache.
    """
    for name in _UNKNOWN:
        if options.get(name) is not None:
            raise CannotAttend(name)
    if query.shape[0] != 1 or key.shape[2] != query.shape[2]:
        raise CannotAttend("a cache")


def flat(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return (N, heads, size) states of the (1, heads, N, size) that a model gives.

    Under autocast rotary embeddings leave queries and keys in float32; the product is taken in
    the values' precision all the same, so less is moved if they are rounded first.
    """
    q, k, v = (states[0].transpose(0, 1).to(value.dtype) for states in (query, key, value))
    return q, k, v


def along_paths(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    groups: Sequence[Group],
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Attend along the paths of a tree.

    Args:
        q: (N, H, D) of the nodes that attend.
        k: (M, G, D) of all nodes; what is known of the first M - N has no queries.
        v: (M, G, E).
        groups: The groups of paths.
        scaling: Factor of the scores; `None` is D^-½.
        window: Nodes of its path that a node sees, itself and those before it; `None` for all.

    Returns:
        (N, H, E) outputs.
    """
    found = v.new_empty((q.shape[0], q.shape[1], v.shape[2]))
    for group in groups:
        if group.products:
            found.index_copy_(0, group.nodes, _products(q, k, v, group, scaling, window))
            continue
        mask = group.mask(window)
        out = torch.nn.functional.scaled_dot_product_attention(
            _gather(q, group.queries),
            _gather(k, group.keys),
            _gather(v, group.keys),
            attn_mask=mask,
            is_causal=mask is None,
            scale=scaling,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        rows = out.transpose(1, 2).flatten(0, 1)
        found.index_copy_(0, group.nodes, rows.index_select(0, group.places))
    return found


def _products(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    group: Group,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Attend by products of matrices, the queries of heads that share keys in one.

    Args:
        q: (N, H, D).
        k: (N, G, D).
        v: (N, G, E).
        group: What attends to what.
        scaling: Factor of the scores.
        window: Nodes that a node sees.

    Returns:
        (M, H, E) outputs of the group's nodes.
    """
    (_, heads, size), shared = q.shape, k.shape[1]
    at = group.by_head(heads, shared, window)
    count, wide, length = at.bias.shape
    queries = q.reshape(-1, size).index_select(0, at.queries).view(count, wide, size)
    keys = k.reshape(-1, size).index_select(0, at.keys).view(count, length, size)
    values = v.reshape(-1, v.shape[2]).index_select(0, at.keys).view(count, length, -1)
    scale = size**-0.5 if scaling is None else scaling
    scores = torch.baddbmm(at.bias, queries, keys.transpose(1, 2), alpha=scale)
    torch.softmax(scores, -1, out=scores)
    out = torch.bmm(scores, values).flatten(0, 1).index_select(0, at.places)
    return out.view(-1, heads, v.shape[2])


def _gather(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return (R, H, L, D) of the (N, H, D) states at (R, L) places."""
    rows = states.index_select(0, places.flatten())
    return rows.view(*places.shape, *states.shape[1:]).transpose(1, 2)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


def tree_attention(model: Any) -> AbstractContextManager[None]:
    """Let a model attend along prefix trees for a while."""
    return attention_by(model, NAME, attend)


@contextlib.contextmanager
def attention_by(model: Any, name: str, function: Callable[..., Any]) -> Generator[None]:
    """Let a model attend by a function of ours for a while.

    Args:
        model: The model of Transformers.
        name: What the function is called in the model's configuration.
        function: It gets no mask, and whatever keyword the model is called with.
    """
    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, _no_mask)
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
