"""What every transform of text is: a named pair of functions with a declared domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Batch = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True, kw_only=True)
class TextTransform:
    """A transform s of text and its inverse, as a value.

    Satisfies `dormant.conjugation.Transform[str, str]`.

    Attributes:
        name: As written on the command line, e.g. "leetspeak".
        apply_batch: s, on many texts at once.
        invert_batch: s⁻¹, on many texts at once.
        in_domain: Whether a text belongs to the domain on which the round trip is promised.
        exact: Whether ``invert(apply(x)) == x`` for every x in the domain.
        whole_text: Whether s needs the whole text at once (translation, reversed words), so that
            kept spans become placeholders; otherwise s is applied to the pieces between them.
        signature: What was really used, e.g. "spanish@apertium-3.8.3".
        language: The natural language of s(x), where s is a translation.
        summary: One line for people.
    """

    name: str
    apply_batch: Batch
    invert_batch: Batch
    in_domain: Callable[[str], bool]
    exact: bool
    signature: str
    summary: str
    whole_text: bool = False
    language: str | None = None

    def apply(self, prompt: str, /) -> str:
        """Return s(prompt)."""
        return self.apply_batch([prompt])[0]

    def invert(self, answer: str, /) -> str:
        """Return s⁻¹(answer)."""
        return self.invert_batch([answer])[0]


def each(change: Callable[[str], str]) -> Batch:
    """Lift a function of one text to a batch."""
    return lambda texts: [change(text) for text in texts]


def everywhere(_: str) -> bool:
    """The domain of all texts."""
    return True


def apply_kept(transform: TextTransform, text: str, kept: Sequence[tuple[int, int]]) -> str:
    """Apply a transform to all of a text but its kept spans.

    Args:
        transform: The transform.
        text: The text.
        kept: Character spans [start, stop), in order and disjoint, that pass through untouched.
    """
    pieces: list[str] = []
    end = 0
    for start, stop in (*kept, (len(text), len(text))):
        if start > end:
            pieces.append(transform.apply(text[end:start]))
        pieces.append(text[start:stop])
        end = stop
    return "".join(pieces)
