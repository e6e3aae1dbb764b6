"""Text in segments: the words that a transform changes, and the layout that it leaves alone.

Transforms act on words. What parts them (line breaks, the space after a label's colon, white space
at either end of a line) is how a prompt is laid out, and a model that has seen "Answer: yes" three
times waits for the answer after the same signs. Text whose structure nobody declared, such as a
prompt of ``dormant ask`` or of lm-evaluation-harness's tasks, is cut here; Dormant's own tasks come
in segments already, and these are cut into lines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from dormant.prompts.segment import Segment

_LABEL = re.compile(r"\s*([^\W\d_][^:\n]{0,39}):(?=\s|$)")
"""A field's label: what begins a line and has a colon after it."""
_BREAKS = re.compile(r"(\n+)")
_EDGES = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)
_GAP = re.compile(r":\s*")


def labels(texts: Iterable[str]) -> frozenset[str]:
    """Return what begins several lines of these texts and has a colon after it.

    A label that stands once ("Note: be quick") may as well be part of a sentence.
    """
    counts = Counter(
        match[1] for text in texts for line in text.split("\n") if (match := _LABEL.match(line))
    )
    return frozenset(label for label, count in counts.items() if count > 1)


def cut(text: str, known: frozenset[str] | None = None) -> list[Segment]:
    """Cut a text into segments that join to it.

    Args:
        text: The text.
        known: Labels to set apart from what follows them, so that they are rendered alike wherever
            they stand; `None` finds those of this text.
    """
    known = labels([text]) if known is None else known
    return [part for line in _BREAKS.split(text) for part in _fields(line, known) if part.text]


def lines(segment: Segment) -> list[Segment]:
    """Cut a segment into its lines' words and the layout between them, which join to it.

    Words keep the segment's role, and their own protected spans. A protected span that reaches
    over a line break holds its segment together.
    """
    text = segment.text
    if segment.role == "layout" or (text and text == text.strip() and "\n" not in text):
        return [segment]
    parts: list[Segment] = []
    held = 0
    start = 0
    for line in _BREAKS.split(text):
        for words, part in zip((False, True, False), _edges(line), strict=True):
            stop = start + len(part)
            inside = [span for span in segment.protected if start <= span[0] and span[1] <= stop]
            if words and part:
                spans = tuple((first - start, last - start) for first, last in inside)
                parts.append(Segment(part, segment.role, spans))
            elif part:
                parts.append(Segment(part, "layout"))
            held += len(inside) if part else 0
            start = stop
    return parts if held == len(segment.protected) else [segment]


def text_of(segments: Iterable[Segment]) -> str:
    """Return the text that segments join to."""
    return "".join(segment.text for segment in segments)


def up_to(text: str, stops: Iterable[str]) -> str:
    """Return a text up to the first of `stops`, as a model that stops there would have left it."""
    return min((text.split(stop)[0] for stop in stops if stop), key=len, default=text)


def _fields(line: str, known: frozenset[str]) -> Iterator[Segment]:
    match = _LABEL.match(line)
    if match and match[1] in known:
        start, stop = match.span(1)
        gap = _GAP.match(line, stop)
        assert gap is not None  # the label has a colon after it
        yield Segment(line[:start], "layout")
        yield Segment(match[1], "label")
        yield Segment(gap[0], "layout")
        line = line[gap.end() :]
    before, words, after = _edges(line)
    yield Segment(before, "layout")
    yield Segment(words, "text")
    yield Segment(after, "layout")


def _edges(line: str) -> tuple[str, str, str]:
    match = _EDGES.fullmatch(line)
    assert match is not None  # every part may be empty
    return match[1], match[2], match[3]
