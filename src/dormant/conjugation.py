"""Conjugate prompting: s⁻¹ ∘ predict ∘ s (Kotha, Springer & Raghunathan 2024, §2.4 and §3).

Everything else in Dormant makes predictors, makes transforms, or compares a predictor with its
conjugate. This module knows neither tensors nor text: prompts and answers may be of any type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

P = TypeVar("P")
A = TypeVar("A")

Predictor: TypeAlias = Callable[[P], A]
"""Maps a prompt to an answer: a regression transformer, a Bayes predictor, a language model."""


class Transform(Protocol[P, A]):
    """A pair of functions: s on prompts, s⁻¹ on answers.

    Prompts and answers differ in type in general (labelled examples and a prediction; a question
    and a reply), so a transform says what it does to each. Where both are of one type,
    ``invert(apply(x)) == x`` is expected on the transform's declared domain.
    """

    @property
    def name(self) -> str:
        """The transform as it is written on the command line and in records."""
        ...

    def apply(self, prompt: P, /) -> P:
        """Return s(prompt): the same task, further from the fine-tuning distribution."""
        ...

    def invert(self, answer: A, /) -> A:
        """Return s⁻¹(answer): what the answer to s(prompt) says about the prompt itself."""
        ...


class Identity:
    """The transform that changes nothing; conjugating by it returns the predictor's answers."""

    name = "identity"

    def apply(self, prompt: P, /) -> P:
        """Return the prompt as it is."""
        return prompt

    def invert(self, answer: A, /) -> A:
        """Return the answer as it is."""
        return answer


class Compose:
    """Several transforms in a row: applied left to right, undone right to left.

    ``conjugate(conjugate(f, s), t)`` equals ``conjugate(f, Compose(t, s))``: the outer transform
    meets the prompt first.

    Args:
        transforms: The parts, in the order in which they meet the prompt. None at all gives the
            identity.
    """

    def __init__(self, *transforms: Transform[Any, Any]) -> None:
        self.transforms = transforms

    @property
    def name(self) -> str:
        """The parts' names joined by ``+``, as on the command line."""
        return "+".join(part.name for part in self.transforms) or Identity.name

    def apply(self, prompt: Any, /) -> Any:
        """Apply every part, first to last."""
        for part in self.transforms:
            prompt = part.apply(prompt)
        return prompt

    def invert(self, answer: Any, /) -> Any:
        """Undo every part, last to first."""
        for part in reversed(self.transforms):
            answer = part.invert(answer)
        return answer


def conjugate(predict: Predictor[P, A], transform: Transform[P, A]) -> Predictor[P, A]:
    """Return the predictor s⁻¹ ∘ predict ∘ s.

    Args:
        predict: Any function from prompts to answers.
        transform: The pair (s, s⁻¹).

    Returns:
        A predictor over the original prompts and answers.
    """

    def conjugated(prompt: P) -> A:
        return transform.invert(predict(transform.apply(prompt)))

    return conjugated
