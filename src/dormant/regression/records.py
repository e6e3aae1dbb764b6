"""What a laboratory run found: `results.json` (schema 1), and how its intervals are made.

Losses are squared errors in units of labels squared, averaged over all positions of a prompt. With
two seeds or more, intervals are Student's t over seeds: they speak of training again from other
tasks and weights. With one seed they are over prompts, and speak of that one model only. An
estimate's `method` says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from scipy import special

from dormant.regression.evaluation import Errors, conjugated_name
from dormant.results import Estimate, Record
from dormant.statistics.intervals import LEVEL, mean_contrast


class PriorLosses(Record):
    """One predictor's loss on both priors."""

    cont: Estimate
    disc: Estimate


class Losses(Record):
    """Loss of every predictor."""

    pretrained: PriorLosses
    finetuned: PriorLosses
    finetuned_conjugated: PriorLosses
    ridge: PriorLosses
    discrete: PriorLosses


class LabResults(Record):
    """`results.json` of a laboratory run."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Literal[1] = Field(default=1, alias="schema")
    preset: str
    seeds: tuple[int, ...]
    losses: Losses
    gamma: float
    """γ of `finetuned_conjugated`: the best on D_cont prompts that are not reported on."""
    recovered_share: Estimate | None
    """(finetuned − conjugated) / (finetuned − pretrained) on D_cont; `None` where the lower
    bound of the loss's rise is not above 0, so that there is nothing to recover."""
    wall_seconds: float
    """Training and measuring, over all sessions of the run."""

    def to_json(self) -> str:
        """Return the text of `results.json`."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def summarise(
    preset: str, seeds: Sequence[int], errors: Sequence[Errors], gammas: Sequence[float],
    seconds: float,
) -> LabResults:  # fmt: skip
    """Make the results of the errors measured.

    Args:
        preset: Name of the preset.
        seeds: The run's seeds.
        errors: What `measure` returned, for every seed.
        gammas: Values of γ among which to choose.
        seconds: Time taken.
    """
    gamma = best_gamma(errors, gammas)
    conjugated = conjugated_name("finetuned", gamma)

    def losses(predictor: str) -> PriorLosses:
        return PriorLosses(
            cont=mean_estimate([one[f"cont/{predictor}"].mean(1) for one in errors]),
            disc=mean_estimate([one[f"disc/{predictor}"].mean(1) for one in errors]),
        )

    return LabResults(
        preset=preset,
        seeds=tuple(seeds),
        losses=Losses(
            pretrained=losses("pretrained"),
            finetuned=losses("finetuned"),
            finetuned_conjugated=losses(conjugated),
            ridge=losses("ridge"),
            discrete=losses("discrete"),
        ),
        gamma=gamma,
        recovered_share=recovered_share(errors, conjugated),
        wall_seconds=round(seconds, 1),
    )


def best_gamma(errors: Sequence[Errors], gammas: Sequence[float]) -> float:
    """Return the γ whose loss is least on the choosing prompts, over all seeds."""
    losses = [
        np.mean([one[f"choosing/{conjugated_name('finetuned', gamma)}"].mean() for one in errors])
        for gamma in gammas
    ]
    return gammas[int(np.argmin(losses))]


def recovered_share(errors: Sequence[Errors], conjugated: str) -> Estimate | None:
    """Return the share of D_cont's lost accuracy that a conjugate wins back.

    Args:
        errors: What `measure` returned, for every seed.
        conjugated: Name of the conjugate predictor.
    """
    regained = [(one["cont/finetuned"] - one[f"cont/{conjugated}"]).mean(1) for one in errors]
    return _share(regained, _lost(errors))


def net_share(errors: Sequence[Errors], gamma: float) -> Estimate | None:
    """Return the share of the loss that a conjugate takes away, by difference in differences.

    1 − [finetuned(s) − pretrained(s)] / [finetuned − pretrained] on D_cont: what s does for the
    pretrained model too is not counted.

    Args:
        errors: What `measure` returned, for every seed.
        gamma: γ of s.
    """
    names = [conjugated_name(predictor, gamma) for predictor in ("finetuned", "pretrained")]
    left = [(one[f"cont/{names[0]}"] - one[f"cont/{names[1]}"]).mean(1) for one in errors]
    lost = _lost(errors)
    return _share([a - b for a, b in zip(lost, left, strict=True)], lost)


def _lost(errors: Sequence[Errors]) -> list[NDArray[np.floating]]:
    """Return what fine-tuning cost each prompt of D_cont, for every seed."""
    return [(one["cont/finetuned"] - one["cont/pretrained"]).mean(1) for one in errors]


def _share(
    regained: Sequence[NDArray[np.floating]], lost: Sequence[NDArray[np.floating]]
) -> Estimate | None:
    """Divide by what was lost; `None` where the lower bound of that is not above 0."""
    if len(lost) == 1:
        return ratio_estimate(regained[0], lost[0])
    if mean_estimate(lost).low <= 0 or min(float(one.mean()) for one in lost) <= 0:
        return None
    shares = [float(a.mean() / b.mean()) for a, b in zip(regained, lost, strict=True)]
    return mean_estimate([np.array([share]) for share in shares])


def mean_estimate(values: Sequence[NDArray[np.floating]]) -> Estimate:
    """Estimate a mean: over seeds where there are two or more, else over prompts.

    Args:
        values: One array of prompts' values for every seed.
    """
    if len(values) > 1:
        what, sample = f"{len(values)} seeds", np.array([one.mean() for one in values])
    else:
        what, sample = f"{len(values[0])} prompts", values[0].astype(np.float64)
    estimate = mean_contrast(sample, weights=(1,))
    return estimate.model_copy(update={"method": f"student-t over {what}"})


def ratio_estimate(above: NDArray[np.floating], below: NDArray[np.floating]) -> Estimate | None:
    """Estimate a ratio of means of paired values, with Fieller's (1954) interval.

    ρ is in the interval where that of the mean of above − ρ · below contains 0.

    Returns:
        The estimate; `None` where the lower bound of the mean of `below` is not above 0, for then
        no bounded interval covers the ratio.
    """
    n = len(above)
    a, b = float(above.mean()), float(below.mean())
    covariance = np.cov(np.stack([above, below]).astype(np.float64)) / n
    t2 = float(special.stdtrit(n - 1, (1 + LEVEL) / 2)) ** 2
    leading = b * b - t2 * covariance[1, 1]
    if b <= 0 or leading <= 0:
        return None
    middle = a * b - t2 * covariance[0, 1]
    rest = a * a - t2 * covariance[0, 0]
    half = max(0.0, middle * middle - leading * rest) ** 0.5
    return Estimate(
        estimate=a / b,
        low=(middle - half) / leading,
        high=(middle + half) / leading,
        method=f"fieller over {n} prompts",
    )
