"""Conjugate prompting as a tool: s, generate, s⁻¹ (paper §3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dormant.errors import DormantError
from dormant.models import generate as generation
from dormant.prompts.case import Style
from dormant.prompts.conjugate import Conjugation
from dormant.prompts.exchange import exchange
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


def ask(
    lm: LM,
    prompt: str,
    transform: TextTransform,
    keep: bool = False,
    style: Style = "raw",
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
        until: Texts at which the answer ends; the model stops at s of them.

    Raises:
        DormantError: The prompt is empty, outside the transform's domain, or can't be rendered.
    """
    if not prompt.strip():
        raise DormantError("the prompt is empty")
    put = exchange(Conjugation(transform, protect=keep), [prompt], until)
    rendered = generation.render(lm, put.texts[0], style)
    (output,) = generation.generate(lm, [rendered], max_new_tokens=max_new_tokens, until=put.stops)
    answer = problem = None
    try:
        answer = put.answer(output)
    except DormantError as error:
        problem = str(error)
    return Completion(
        transform=transform.name,
        signature=transform.signature,
        prompt=put.texts[0],
        output=output,
        answer=answer,
        problem=problem,
    )
