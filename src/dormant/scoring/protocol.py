"""What scores answers: our own scorer, or any other model of the harness (`harness`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Answer(NamedTuple):
    """What a model makes of one answer to one prompt.

    Attributes:
        logprob: log p(answer | prompt), nats.
        greedy: Whether greedy decoding would begin with it: with its text, whatever the tokens
            and without a leading space, where our scorer ran; with its tokens elsewhere.
        exact: Whether it would begin with the answer's tokens.
    """

    logprob: float
    greedy: bool
    exact: bool


class Scorer(Protocol):
    """Scores answers to prompts."""

    def score(self, prompts: Sequence[str], answers: Sequence[Sequence[str]]) -> list[list[Answer]]:
        """Score every answer to every prompt.

        Args:
            prompts: N rendered prompts.
            answers: N rows of continuations, with their leading space where they have one.

        Returns:
            N rows like `answers`.

        Raises:
            DormantError: The model failed, or its log-probabilities can't be true.
        """
        ...

    def choose_precision(
        self, prompts: Sequence[str], answers: Sequence[Sequence[str]]
    ) -> str | None:
        """Choose between float32 and bfloat16 on a sample, where that can be chosen.

        Returns:
            One line on what was chosen and why, or `None` where there was nothing to choose.
        """
        ...
