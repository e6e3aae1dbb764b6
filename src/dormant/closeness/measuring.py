"""The likelihood of prompts, by any model of the harness that scores text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dormant.audit.score import rendered
from dormant.audit.settings import Style
from dormant.closeness.stretches import stretches
from dormant.prompts.case import Case
from dormant.results.closeness import PromptLikelihood
from dormant.scoring.harness import HarnessScorer

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_TOGETHER = 16
"""Prompts a request. Their beginnings have one context, which the scorer reads in one pass."""


def likelihoods(lm: LM, cases: Sequence[Case], style: Style) -> list[PromptLikelihood]:
    """Return how likely prompts are, the demonstrations' answers in them left out.

    Args:
        lm: The model.
        cases: N cases.
        style: Raw prompts, or the model's chat template, where the case doesn't say.

    Returns:
        N likelihoods. In the arithmetic that the model was loaded in: differences of two models
        are small, and no verdict that a second look could check hangs on them.

    Raises:
        DormantError: The model gives no log-probabilities, or impossible ones.
    """
    found: list[PromptLikelihood] = []
    for start in range(0, len(cases), _TOGETHER):
        found += _together(lm, cases[start : start + _TOGETHER], style)
    return found


def _together(lm: LM, cases: Sequence[Case], style: Style) -> list[PromptLikelihood]:
    parts = [stretches(case, rendered(lm, case, case.prompt, style)) for case in cases]
    flat = [part for row in parts for part in row]
    # The harness's own requests: they take an empty context, and ask for nothing else.
    scored = iter(
        HarnessScorer(lm).score([part.context for part in flat], [[part.text] for part in flat])
    )
    return [
        PromptLikelihood(
            item=case.item,
            logprob=sum(next(scored)[0].logprob for _ in row),
            tokens=_tokens(lm, [part.text for part in row]),
            size=sum(len(part.text.encode()) for part in row),
        )
        for case, row in zip(cases, parts, strict=True)
    ]


def _tokens(lm: LM, texts: Sequence[str]) -> int | None:
    encode: Callable[..., Sequence[int]] | None = getattr(lm, "tok_encode", None)
    if encode is None:
        return None
    return sum(len(encode(text, add_special_tokens=False)) for text in texts)
