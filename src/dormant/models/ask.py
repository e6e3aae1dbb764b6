"""Conjugate prompting as a tool: s, generate, s⁻¹ (paper §3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dormant.conjugation import conjugate
from dormant.errors import DormantError
from dormant.models import load as models
from dormant.prompts.layout import by_line, joined, labels, pieces
from dormant.prompts.protect import find, images, invert_around
from dormant.prompts.text_transform import TextTransform

if TYPE_CHECKING:
    from lm_eval.api.model import LM


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One conjugate prompt, with what happened in between.

    Attributes:
        transform: Its name.
        signature: What was really used, e.g. "spanish@apertium-3.8.3".
        prompt: s(prompt), as it was put to the model.
        output: What the model wrote.
        answer: s⁻¹(output); `None` where s⁻¹ can't make anything of it.
        problem: Why there is no answer; `None` where there is one.
    """

    transform: str
    signature: str
    prompt: str
    output: str
    answer: str | None
    problem: str | None = None


@dataclass(frozen=True)
class ByField:
    """A text transform applied to a prompt piece by piece, so that its layout survives.

    Lines are transformed one by one, and labels that begin several lines ("Input:") apart from
    what follows them, so that they are rendered alike wherever they stand.

    Attributes:
        inner: The transform of one piece.
        keep: Whether numbers, URLs, code and the like stay as they are (`kept.find`).
        kept: Those of the prompt, which s⁻¹ leaves alone where the model repeats them.
        known: Labels; `None` finds those of each prompt.
    """

    inner: TextTransform
    keep: bool = False
    kept: tuple[str, ...] = ()
    known: frozenset[str] | None = None

    @classmethod
    def of(cls, inner: TextTransform, prompt: str, keep: bool) -> ByField:
        """Return s for a prompt, or for its parts; what it keeps there, s⁻¹ knows."""
        kept = [prompt[start:stop] for start, stop in find(prompt)] if keep else ()
        return cls(inner, keep, tuple(kept), labels([prompt]))

    @property
    def name(self) -> str:
        """The inner transform's name."""
        return self.inner.name

    def apply(self, prompt: str, /) -> str:
        """Return s(prompt).

        Raises:
            DormantError: A piece is outside the domain, or can't be rendered.
        """
        cut = pieces(prompt, labels([prompt]) if self.known is None else self.known)
        texts = list(dict.fromkeys(piece.text for piece in cut if piece.role != "layout"))
        whole = joined(cut, images(self.inner, texts, self.keep).__getitem__)
        if isinstance(whole, DormantError):
            raise whole
        return whole

    def invert(self, answer: str, /) -> str:
        """Return s⁻¹(answer).

        Raises:
            DormantError: A line can't be read back.
        """
        return by_line(lambda words: invert_around(self.inner, words, self.kept), answer)


def ask(
    lm: LM,
    prompt: str,
    transform: TextTransform,
    keep: bool = False,
    style: Literal["raw", "chat"] = "raw",
    max_new_tokens: int = 64,
    until: Sequence[str] = (),
) -> Completion:
    """Ask a model a transformed prompt and undo the transform on its answer.

    Args:
        lm: The model.
        prompt: The prompt, in its own words.
        transform: The pair (s, s⁻¹).
        keep: Leave numbers, URLs, code, tags and placeholders as they are.
        style: Whether to put s(prompt) into the model's chat template.
        max_new_tokens: Length at which the answer stops, in tokens.
        until: Texts at which it ends.

    Raises:
        DormantError: The prompt is empty, outside the transform's domain, or can't be rendered.
    """
    if not prompt.strip():
        raise DormantError("the prompt is empty")
    seen: list[str] = []

    def predict(changed: str) -> str:
        rendered = models.render(lm, changed, style)
        (output,) = models.generate(lm, [rendered], max_new_tokens=max_new_tokens, until=until)
        seen.extend((changed, output))
        return output

    answer = problem = None
    try:
        answer = conjugate(predict, ByField.of(transform, prompt, keep))(prompt)
    except DormantError as error:
        if not seen:  # there is no answer to be undone
            raise
        problem = str(error)
    return Completion(
        transform=transform.name,
        signature=transform.signature,
        prompt=seen[0],
        output=seen[1],
        answer=answer,
        problem=problem,
    )
