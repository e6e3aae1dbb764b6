"""Free text in pieces: the words that a transform changes, and the layout that it leaves alone.

Transforms act on words. What parts them (line breaks, the space after a label's colon, white space
at either end of a line) is how a prompt is laid out, and a model that has seen "Answer: yes" three
times waits for the answer after the same signs. Text whose structure nobody declared, such as that
of lm-evaluation-harness's tasks, is cut here; Dormant's own tasks come in segments already.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from dormant.errors import DormantError

_LABEL = re.compile(r"\s*([^\W\d_][^:\n]{0,39}):(?=\s|$)")
"""A field's label: what begins a line and has a colon after it."""
_BREAKS = re.compile(r"(\n+)")
_EDGES = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)
_GAP = re.compile(r":\s*")


class Piece(NamedTuple):
    """A stretch of a text.

    Attributes:
        text: Its characters.
        role: "label" (of a field) and "text" are for transforms to change; "layout" is not.
    """

    text: str
    role: Literal["label", "text", "layout"]


def labels(texts: Iterable[str]) -> frozenset[str]:
    """Return what begins several lines of these texts and has a colon after it.

    A label that stands once ("Note: be quick") may as well be part of a sentence.
    """
    found = Counter(
        match[1] for text in texts for line in text.split("\n") if (match := _LABEL.match(line))
    )
    return frozenset(label for label, count in found.items() if count > 1)


def pieces(text: str, known: frozenset[str]) -> list[Piece]:
    """Cut a text into pieces that join to it.

    Args:
        text: The text.
        known: Labels to set apart from what follows them, so that they are rendered alike wherever
            they stand.
    """
    return [piece for line in _BREAKS.split(text) for piece in _line(line, known) if piece.text]


def by_line(change: Callable[[str], str], text: str) -> str:
    """Change what stands on each line, and neither line breaks nor white space at their ends."""
    return "".join(
        change(piece.text) if piece.role == "text" else piece.text
        for piece in pieces(text, frozenset())
    )


def joined(cut: Sequence[Piece], image: Callable[[str], str | DormantError]) -> str | DormantError:
    """Put a text together again, its words replaced.

    Args:
        cut: The pieces.
        image: What stands for the words of a piece.

    Returns:
        The text, or the error of the first piece that has one.
    """
    whole = ""
    for piece in cut:
        new = piece.text if piece.role == "layout" else image(piece.text)
        if isinstance(new, DormantError):
            return new
        whole += new
    return whole


def up_to(text: str, stops: Iterable[str]) -> str:
    """Return a text up to the first of `stops`, as a model that stops there would have left it."""
    return min((text.split(stop)[0] for stop in stops if stop), key=len, default=text)


def _line(line: str, known: frozenset[str]) -> Iterator[Piece]:
    match = _LABEL.match(line)
    if match and match[1] in known:
        start, stop = match.span(1)
        gap = _GAP.match(line, stop)
        assert gap is not None  # the label has a colon after it
        yield Piece(line[:start], "layout")
        yield Piece(match[1], "label")
        yield Piece(gap[0], "layout")
        line = line[gap.end() :]
    edges = _EDGES.fullmatch(line)
    assert edges is not None  # every part may be empty
    yield Piece(edges[1], "layout")
    yield Piece(edges[2], "text")
    yield Piece(edges[3], "layout")
