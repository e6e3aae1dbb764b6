"""What scores answers: our own scorer, or any other model of the harness (`harness`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

SURE_VERDICTS = 300
"""Sure verdicts computed in both arithmetics: where none differs, at most 1 % of all do."""


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

    def score(
        self, prompts: Sequence[str], answers: Sequence[Sequence[str]], *, ranked: bool = False
    ) -> list[list[Answer]]:
        """Score every answer to every prompt.

        Args:
            prompts: N rendered prompts.
            answers: N rows of continuations, with their leading space where they have one.
            ranked: Whether verdicts hang on which answer is likelier.

        Returns:
            N rows like `answers`.

        Raises:
            DormantError: The model failed, or its log-probabilities can't be true.
        """
        ...

    def chooses_precision(self) -> bool:
        """Say whether there is anything to choose: no sample need be made where there isn't."""
        ...

    def choose_precision(
        self,
        prompts: Sequence[str],
        answers: Sequence[Sequence[str]],
        *,
        verdicts: int = SURE_VERDICTS,
    ) -> str | None:
        """Choose between float32 and bfloat16 on a sample, where that can be chosen.

        Args:
            prompts: N of a run's prompts, in an order of which every beginning is a sample.
            answers: N rows of continuations.
            verdicts: Sure verdicts to compare.

        Returns:
            One line on what was chosen and why, or `None` where there was nothing to choose.
        """
        ...
