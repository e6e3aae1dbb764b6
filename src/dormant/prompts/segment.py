"""A segment: a stretch of a prompt or an answer, and what it is for.

A prompt is a row of segments, so that a transform can change the words and leave the layout (field
delimiters, blank lines) alone, and so that instruction, labels, demonstrations, query and answers
all change together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Role: TypeAlias = Literal["instruction", "label", "input", "output", "query", "text", "layout"]
"""What a segment is for. `input` and `output` belong to demonstrations; `text` is anything else
that a transform should change; `layout` (delimiters, blank lines) is never changed by one."""

Span: TypeAlias = tuple[int, int]
"""Character positions [start, stop) in a text."""


@dataclass(frozen=True)
class Segment:
    """A stretch of a prompt or an answer.

    Attributes:
        text: The characters.
        role: What the segment is for.
        protected: Character spans [start, stop) that transforms pass through untouched (digits,
            names of fields, placeholders).
    """

    text: str
    role: Role = "text"
    protected: tuple[Span, ...] = ()
