"""Protected spans: numbers, code, URLs, placeholders, which a transform leaves alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dormant.errors import DormantError
from dormant.prompts.text_transform import Batch, Span, TextTransform, TransformError, outcomes

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


@dataclass(frozen=True)
class Protected:
    """A text and its kept spans.

    Attributes:
        text: The text.
        spans: Where in it the kept spans are, in order of position.
    """

    text: str
    spans: tuple[Span, ...] = ()


def find(text: str) -> tuple[Span, ...]:
    """Find what transforms had better leave alone in free text.

    Numbers, code in backticks, URLs, e-mail addresses, tags, template placeholders, blanks.
    """
    return tuple(match.span() for match in _FOUND.finditer(text))


def apply_all(
    transform: TextTransform, texts: Sequence[str], kept: Sequence[Sequence[Span]]
) -> list[Protected | DormantError]:
    """Apply a transform to many texts, all but their kept spans.

    Args:
        transform: The transform.
        texts: The texts.
        kept: For every text its spans, in order and disjoint.

    Returns:
        For every text the result and where its kept spans are now, or the error.

    Raises:
        DormantError: Spans overlap or lie outside their text.
    """
    whole = [
        Protected(text, _checked(text, spans)) for text, spans in zip(texts, kept, strict=True)
    ]
    return _chain([(part, part.apply_batch) for part in _parts(transform)], whole)


def apply_kept(transform: TextTransform, text: str, kept: Sequence[Span]) -> str:
    """Apply a transform to all of a text but its kept spans.

    Args:
        transform: The transform.
        text: The text.
        kept: Character spans [start, stop), in order and disjoint, that pass through untouched.

    Raises:
        DormantError: The text can't be transformed, or a kept span was lost.
    """
    (result,) = apply_all(transform, [text], [kept])
    if isinstance(result, DormantError):
        raise result
    return result.text


def images(
    transform: TextTransform, texts: Sequence[str], keep: bool
) -> dict[str, str | DormantError]:
    """Transform different free texts, in one batch.

    Args:
        transform: The transform.
        texts: The texts.
        keep: Whether what `find` finds in them stays as it is.

    Returns:
        For every text its image, or the error.
    """
    spans = [find(text) if keep else () for text in texts]
    done = zip(texts, apply_all(transform, texts, spans), strict=True)
    return {text: one.text if isinstance(one, Protected) else one for text, one in done}


def invert_all(
    transform: TextTransform, changed: Sequence[Protected]
) -> list[Protected | DormantError]:
    """Undo `apply_all` where it is known which spans were kept.

    Exact on the domain for exact transforms; `TextTransform.invert`, which knows of no spans,
    would read the digits of a kept number as leetspeak letters.
    """
    return _chain([(part, part.invert_batch) for part in reversed(_parts(transform))], changed)


def invert_around(transform: TextTransform, answer: str, kept: Iterable[str]) -> str:
    """Undo a transform on what a model wrote, all but the kept texts that it repeated.

    Where they are is not known, so they are looked for as whole words: a kept "16" that the model
    repeats stays "16" and is not read as leetspeak. Where a kept text is also the image of a word
    (a kept "15" is leetspeak for "is"), the kept text has it.

    Args:
        transform: The transform.
        answer: What the model wrote.
        kept: Texts that were kept in the prompt.

    Raises:
        DormantError: The answer can't be read back.
    """
    (result,) = invert_all(transform, [Protected(answer, _occurrences(answer, kept))])
    if isinstance(result, DormantError):
        raise result
    return result.text


def _occurrences(text: str, wanted: Iterable[str]) -> tuple[Span, ...]:
    """Find whole words; the longest of those that begin at one place, from left to right."""
    longest_first = sorted({one for one in wanted if one}, key=lambda one: (-len(one), one))
    if not longest_first:
        return ()
    any_of = "|".join(map(re.escape, longest_first))
    # After a backslash stands what a transform has escaped: that was never kept.
    word = rf"(?<![\w\\])(?:{any_of})(?!\w)"
    return tuple(match.span() for match in re.finditer(word, text))


def _parts(transform: TextTransform) -> tuple[TextTransform, ...]:
    return transform.parts or (transform,)


def _chain(
    steps: Sequence[tuple[TextTransform, Batch]], texts: Sequence[Protected]
) -> list[Protected | DormantError]:
    results: list[Protected | DormantError] = list(texts)
    for part, batch in steps:
        step = _whole if part.whole_text else _piecewise
        going = [(i, one) for i, one in enumerate(results) if isinstance(one, Protected)]
        done = step(part.name, batch, [one for _, one in going])
        for (index, _), one in zip(going, done, strict=True):
            results[index] = one
    return results


def _checked(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    end = 0
    for start, stop in spans:
        if not end <= start <= stop <= len(text):
            raise DormantError(
                f"kept span [{start}, {stop}) overlaps the one before it or lies outside its text "
                f"of {len(text)} characters"
            )
        end = stop
    return tuple((start, stop) for start, stop in spans if stop > start)


def _pieces(one: Protected) -> Iterator[tuple[str, bool]]:
    """Split a text into pieces, each with whether it is kept; empty pieces are left out."""
    end = 0
    for start, stop in one.spans:
        if start > end:
            yield one.text[end:start], False
        yield one.text[start:stop], True
        end = stop
    if end < len(one.text):
        yield one.text[end:], False


def _piecewise(
    name: str, batch: Batch, texts: Sequence[Protected]
) -> list[Protected | DormantError]:
    del name
    split = [list(_pieces(one)) for one in texts]
    done = iter(outcomes(batch, [piece for pieces in split for piece, keep in pieces if not keep]))
    return [_joined([(piece if keep else next(done), keep) for piece, keep in p]) for p in split]


def _joined(pieces: Sequence[tuple[str | DormantError, bool]]) -> Protected | DormantError:
    text, spans = "", list[Span]()
    for piece, keep in pieces:
        if isinstance(piece, DormantError):
            return piece
        if keep:
            spans.append((len(text), len(text) + len(piece)))
        text += piece
    return Protected(text, tuple(spans))


def _whole(name: str, batch: Batch, texts: Sequence[Protected]) -> list[Protected | DormantError]:
    marked = [_mark(name, one) for one in texts]
    going = [one for one in marked if not isinstance(one, DormantError)]
    done = iter(outcomes(batch, [text for text, _ in going]))
    return [
        mark if isinstance(mark, DormantError) else _unmark(name, one, next(done), mark[1])
        for one, mark in zip(texts, marked, strict=True)
    ]


def _mark(name: str, one: Protected) -> tuple[str, dict[str, str]] | DormantError:
    """Put a placeholder in the place of every kept span; return also what each stands for."""
    free = (chr(c) for c in range(ord(FIRST_MARK), ord(LAST_MARK)) if chr(c) not in one.text)
    marks: dict[str, str] = {}
    text = ""
    for piece, keep in _pieces(one):
        if keep:
            mark = next(free, None)
            if mark is None:
                return TransformError(
                    name, one.text, f"more than {len(marks)} kept spans in one text"
                )
            marks[mark] = piece
            text += mark
        else:
            text += piece
    return text, marks


def _unmark(
    name: str, one: Protected, result: str | DormantError, marks: dict[str, str]
) -> Protected | DormantError:
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
    return Protected(text, tuple(spans))
