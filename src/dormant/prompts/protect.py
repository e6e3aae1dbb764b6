"""Protected spans: numbers, code, URLs, placeholders, which a transform leaves alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dormant.conjugation import Compose
from dormant.errors import DormantError
from dormant.prompts.segment import Segment, Span
from dormant.prompts.text_transform import Batch, TextTransform, TransformError, outcomes

FIRST_MARK, LAST_MARK = "\ue000", "\uf8ff"
"""Placeholders are private-use characters: no language and no cipher here uses them. Translation
engines pass them through, or put something in their place that they do pass through."""

_FOUND = re.compile(
    r"""
    `[^`\n]+`                                  # code
    | https?://[^\s<>"']*[^\s<>"'.,;:!?)\]]    # URLs
    | (?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]*\w               # e-mail addresses
    | \{[\w.:-]*\} | \$\{\w+\} | %\(\w+\)[sd]  # placeholders of templates
    | </?[A-Za-z][^<>\n]*>                     # tags
    | __+                                      # blanks to fill in
    | (?<!\w)[+-]?\d+(?:[.,:/]\d+)*%?(?!\w)    # numbers, dates, times
    """,
    re.VERBOSE,
)


Outcome: TypeAlias = Segment | DormantError
"""A text with its protected spans, or why there is none."""


def find(text: str) -> tuple[Span, ...]:
    """Find what transforms had better leave alone in free text.

    Numbers, code in backticks, URLs, e-mail addresses, tags, template placeholders, blanks.
    """
    return tuple(match.span() for match in _FOUND.finditer(text))


@dataclass(frozen=True)
class Around:
    """A transform of text, on many texts at once and around their protected spans.

    It is a `dormant.conjugation.Transform` of lists of texts, so `dormant.conjugation.Compose`
    puts several in a row. A text that failed under one part stays failed under the next.

    Attributes:
        part: The transform.
    """

    part: TextTransform

    @property
    def name(self) -> str:
        """The transform's name."""
        return self.part.name

    def apply(self, texts: Sequence[Outcome], /) -> list[Outcome]:
        """Return s of every text that is there."""
        return self._changed(self.part.apply_batch, texts)

    def invert(self, texts: Sequence[Outcome], /) -> list[Outcome]:
        """Return s⁻¹ of every text that is there."""
        return self._changed(self.part.invert_batch, texts)

    def _changed(self, batch: Batch, texts: Sequence[Outcome]) -> list[Outcome]:
        good = [one for one in texts if isinstance(one, Segment)]
        change = _whole if self.part.whole_text else _piecewise
        done = iter(change(self.part.name, batch, good))
        return [next(done) if isinstance(one, Segment) else one for one in texts]


def in_turn(parts: Sequence[TextTransform]) -> Compose:
    """Return transforms in a row, on many texts at once and around their protected spans."""
    return Compose(*map(Around, parts))


def apply_all(
    transform: TextTransform, texts: Sequence[str], protected: Sequence[Sequence[Span]]
) -> list[Outcome]:
    """Apply a transform to many texts, all but their protected spans.

    Args:
        transform: The transform.
        texts: The texts.
        protected: For every text its spans, in order and disjoint.

    Returns:
        For every text the result and where its protected spans are now, or the error.

    Raises:
        DormantError: Spans overlap or lie outside their text.
    """
    whole = [
        Segment(text, protected=_checked(text, spans))
        for text, spans in zip(texts, protected, strict=True)
    ]
    return in_turn(transform.parts or (transform,)).apply(whole)


def apply_protected(transform: TextTransform, text: str, protected: Sequence[Span]) -> str:
    """Apply a transform to all of a text but its protected spans.

    Args:
        transform: The transform.
        text: The text.
        protected: Character spans [start, stop), in order and disjoint, that pass through
            untouched.

    Raises:
        DormantError: The text can't be transformed, or a protected span was lost.
    """
    (result,) = apply_all(transform, [text], [protected])
    if isinstance(result, DormantError):
        raise result
    return result.text


def invert_all(transform: TextTransform, changed: Sequence[Segment]) -> list[Outcome]:
    """Undo `apply_all` where it is known which spans were protected.

    Exact on the domain for exact transforms; `TextTransform.invert`, which knows of no spans,
    would read the digits of a protected number as leetspeak letters.
    """
    return in_turn(transform.parts or (transform,)).invert(changed)


def occurrences(text: str, protected: Iterable[str]) -> tuple[Span, ...]:
    """Find the protected texts that a model has repeated, as whole words, from left to right.

    Where they are is not known, so they are looked for: a protected "16" that the model repeats
    stays "16" and is not read as leetspeak. Where a protected text is also the image of a word (a
    "15" is leetspeak for "is"), the protected text has it; of those that begin at one place, the
    longest.
    """
    longest_first = sorted({one for one in protected if one}, key=lambda one: (-len(one), one))
    if not longest_first:
        return ()
    any_of = "|".join(map(re.escape, longest_first))
    # After a backslash stands what a transform has escaped: that was never protected.
    word = rf"(?<![\w\\])(?:{any_of})(?!\w)"
    return tuple(match.span() for match in re.finditer(word, text))


def _checked(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    end = 0
    for start, stop in spans:
        if not end <= start <= stop <= len(text):
            raise DormantError(
                f"protected span [{start}, {stop}) overlaps the one before it or lies outside its "
                f"text of {len(text)} characters"
            )
        end = stop
    return tuple((start, stop) for start, stop in spans if stop > start)


def _pieces(one: Segment) -> Iterator[tuple[str, bool]]:
    """Split a text into pieces, each with whether it is kept; empty pieces are left out."""
    end = 0
    for start, stop in one.protected:
        if start > end:
            yield one.text[end:start], False
        yield one.text[start:stop], True
        end = stop
    if end < len(one.text):
        yield one.text[end:], False


def _piecewise(name: str, batch: Batch, texts: Sequence[Segment]) -> list[Outcome]:
    del name
    split = [list(_pieces(one)) for one in texts]
    done = iter(outcomes(batch, [piece for pieces in split for piece, keep in pieces if not keep]))
    return [_joined([(piece if keep else next(done), keep) for piece, keep in p]) for p in split]


def _joined(pieces: Sequence[tuple[str | DormantError, bool]]) -> Outcome:
    text, spans = "", list[Span]()
    for piece, keep in pieces:
        if isinstance(piece, DormantError):
            return piece
        if keep:
            spans.append((len(text), len(text) + len(piece)))
        text += piece
    return Segment(text, protected=tuple(spans))


def _whole(name: str, batch: Batch, texts: Sequence[Segment]) -> list[Outcome]:
    marked = [_mark(name, one) for one in texts]
    going = [one for one in marked if not isinstance(one, DormantError)]
    done = iter(outcomes(batch, [text for text, _ in going]))
    return [
        mark if isinstance(mark, DormantError) else _unmark(name, one, next(done), mark[1])
        for one, mark in zip(texts, marked, strict=True)
    ]


def _mark(name: str, one: Segment) -> tuple[str, dict[str, str]] | DormantError:
    """Put a placeholder in the place of every protected span; return also what each stands for."""
    free = (chr(c) for c in range(ord(FIRST_MARK), ord(LAST_MARK)) if chr(c) not in one.text)
    marks: dict[str, str] = {}
    text = ""
    for piece, keep in _pieces(one):
        if keep:
            mark = next(free, None)
            if mark is None:
                return TransformError(
                    name, one.text, f"more than {len(marks)} protected spans in one text"
                )
            marks[mark] = piece
            text += mark
        else:
            text += piece
    return text, marks


def _unmark(name: str, one: Segment, result: str | DormantError, marks: dict[str, str]) -> Outcome:
    if isinstance(result, DormantError):
        return result
    lost = [piece for mark, piece in marks.items() if result.count(mark) != 1]
    if lost:
        return TransformError(name, one.text, f"the kept {lost[0]!r} was lost or doubled")
    text, spans = "", list[Span]()
    for character in result:
        piece = marks.get(character)
        if piece is None:
            text += character
        else:
            spans.append((len(text), len(text) + len(piece)))
            text += piece
    return Segment(text, protected=tuple(spans))
