"""Conjugate prompting as a tool: s, generate, s⁻¹ (paper §3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dormant.conjugation import conjugate
from dormant.errors import DormantError
from dormant.language import models
from dormant.transforms.text import TextTransform

if TYPE_CHECKING:
    from lm_eval.api.model import LM


@dataclass(frozen=True)
class Exchange:
    """One conjugate prompt, with what happened in between.

    Attributes:
        transform: Its name.
        prompt: s(prompt), as the model read it.
        output: What the model wrote.
        answer: s⁻¹(output).
    """

    transform: str
    prompt: str
    output: str
    answer: str


@dataclass(frozen=True)
class ByLine:
    """A text transform applied line by line, so that a prompt's layout survives translation.

    Attributes:
        inner: The transform of one line.
    """

    inner: TextTransform

    @property
    def name(self) -> str:
        """The inner transform's name."""
        return self.inner.name

    def apply(self, prompt: str, /) -> str:
        """Apply the transform to every line that is not blank."""
        return _lines(prompt, self.inner.apply_batch)

    def invert(self, answer: str, /) -> str:
        """Undo the transform on every line that is not blank."""
        return _lines(answer, self.inner.invert_batch)


def ask(
    lm: LM,
    prompt: str,
    transform: TextTransform,
    *,
    style: Literal["raw", "chat"] = "raw",
    max_new_tokens: int = 64,
    until: Sequence[str] = (),
) -> Exchange:
    """Ask a model a transformed prompt and undo the transform on its answer.

    Args:
        lm: The model.
        prompt: The prompt, in its own words.
        transform: The pair (s, s⁻¹).
        style: Whether to put s(prompt) into the model's chat template.
        max_new_tokens: Length at which the answer stops, in tokens.
        until: Texts at which it ends.

    Raises:
        DormantError: The prompt is empty or outside the transform's domain.
    """
    if not prompt.strip():
        raise DormantError("the prompt is empty")
    if not transform.in_domain(prompt):
        raise DormantError(f"the prompt is outside the domain of {transform.name}")
    seen: list[str] = []

    def predict(text: str) -> str:
        rendered = models.render(lm, text, style)
        (output,) = models.generate(lm, [rendered], max_new_tokens=max_new_tokens, until=until)
        seen.extend((text, output))
        return output

    answer = conjugate(predict, ByLine(transform))(prompt)
    return Exchange(transform.name, seen[0], seen[1], answer)


def _lines(text: str, change: Callable[[Sequence[str]], list[str]]) -> str:
    lines = text.split("\n")
    full = [index for index, line in enumerate(lines) if line.strip()]
    for index, changed in zip(full, change([lines[index] for index in full]), strict=True):
        lines[index] = changed
    return "\n".join(lines)
