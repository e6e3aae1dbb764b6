"""Any other model of the harness as a scorer, and which scorer a model has."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from dormant.errors import DormantError
from dormant.scoring.backends import call
from dormant.scoring.protocol import SURE_VERDICTS, Answer, Scorer

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM

_ROUNDING, _ROUNDING_OF_SUMS = 1e-3, 2e-2
"""How far above 0 log-probabilities, and above 1 sums of probabilities, may be in bfloat16."""


class HarnessScorer:
    """Scores by requests for log-likelihoods, which any model of the harness answers.

    Args:
        lm: The model; what it does to its requests, as a conjugated one does, it does here.
    """

    def __init__(self, lm: LM) -> None:
        self.lm = lm

    def score(
        self, prompts: Sequence[str], answers: Sequence[Sequence[str]], *, ranked: bool = False
    ) -> list[list[Answer]]:
        """Score every answer to every prompt; see `Scorer`."""
        requests = requests_of(prompts, answers)
        scored = [
            Answer(float(logprob), bool(greedy), bool(greedy))
            for logprob, greedy in call(self.lm, self.lm.loglikelihood, requests)
        ]
        if len(scored) != len(requests):
            raise DormantError(
                f"the model answered {len(scored)} of {len(requests)} requests: use another backend"
            )
        flat = iter(scored)
        rows = [[next(flat) for _ in row] for row in answers]
        refuse_impossible(prompts, answers, rows)
        return rows

    def chooses_precision(self) -> bool:
        """Say no: the backend has its own precision."""
        return False

    def choose_precision(
        self,
        prompts: Sequence[str],
        answers: Sequence[Sequence[str]],
        *,
        verdicts: int = SURE_VERDICTS,
    ) -> str | None:
        """Choose nothing: the backend has its own precision."""
        return None


def requests_of(prompts: Sequence[str], answers: Sequence[Sequence[str]]) -> list[Instance]:
    """Return the harness's requests for the log-likelihood of every answer to every prompt."""
    from lm_eval.api.instance import Instance

    return [
        Instance("loglikelihood", {}, (prompt, answer), index)
        for index, (prompt, row) in enumerate(zip(prompts, answers, strict=True))
        for answer in row
    ]


def scorer_of(lm: LM) -> Scorer:
    """Return what scores answers for a model: itself if it is ours, else its log-likelihoods.

    Told by class, never by attribute: a model that wraps another one passes on its attributes,
    and would have the inner one's scorer see prompts that it hasn't changed.
    """
    # Imported by whoever made one; a server's user need not wait for PyTorch.
    module: Any = sys.modules.get("dormant.scoring.scorer")
    ours = module is not None and isinstance(lm, module.FastLM)
    return cast("Scorer", lm) if ours else HarnessScorer(lm)


def refuse_impossible(
    prompts: Sequence[str], answers: Sequence[Sequence[str]], rows: Sequence[Sequence[Answer]]
) -> None:
    """Raise for log-probabilities that no model can have given.

    Servers are of many makes. One that leaves out ``echo`` gives every answer probability 1, and
    all of them greedily: such numbers must not become a verdict.

    Raises:
        DormantError: One is not a number, infinite or above 0; those of different answers to one
            prompt add up to more than 1; or they are exactly 0 throughout.
    """
    for prompt, texts, row in zip(prompts, answers, rows, strict=True):
        values = [answer.logprob for answer in row]
        alone = [
            value
            for place, value in enumerate(values)
            # Probabilities of an answer and of its own beginning may add up to more.
            if not any(
                texts[place].startswith(other) or other.startswith(texts[place])
                for at, other in enumerate(texts)
                if at != place
            )
        ]
        if (
            not all(math.isfinite(value) for value in values)
            or max(values, default=0) > _ROUNDING
            or sum(math.exp(min(value, 0)) for value in alone) > 1 + _ROUNDING_OF_SUMS
        ):
            raise DormantError(
                f"the model gave an impossible log-probability ({values}) for the prompt that "
                f"begins {prompt[:60]!r}: use another dtype or backend; a server must honour "
                "echo and logprobs"
            )
    flat = [answer.logprob for row in rows for answer in row]
    if len(flat) > 1 and not any(flat):
        raise DormantError(
            f"the model gave all {len(flat)} answers probability 1 (log-probability 0): a server "
            "must honour echo and logprobs; use another backend"
        )
