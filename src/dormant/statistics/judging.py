"""From per-item outcomes to estimates, controls, the best transform, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from dormant.results import (
    MARGIN,
    AbilityResult,
    AsTrainedResult,
    CellEstimates,
    NotTried,
    TransformResult,
)
from dormant.statistics.cells import PlainCells, TransformCells
from dormant.statistics.contrasts import Quad
from dormant.statistics.intervals import holm
from dormant.statistics.verdict import LEFT_OVER, Evidence, decide, items_needed, percent, rung_of


def judge_ability(
    task: str,
    plain: PlainCells,
    transforms: Sequence[TransformCells],
    *,
    as_trained: TransformCells | None = None,
    not_tried: Sequence[NotTried] = (),
    title: str = "",
    margin: float = MARGIN,
    chance: float = 0.0,
    seed: int = 0,
) -> AbilityResult:
    """Estimate what became of one ability and pronounce the verdict.

    Args:
        task: Name of the ability.
        plain: Outcomes on plain prompts.
        transforms: Outcomes under each transform and each edit of the weights; none at all is
            allowed.
        as_trained: Outcomes in the wrapping of the training data, where one is known.
        not_tried: Rungs and cells that could not be run, with the reason.
        title: One line for people.
        margin: Drop, a fraction in (0, 1), below which the ability counts as retained.
        chance: Accuracy of guessing, in [0, 1].
        seed: Decides, with the source items' names, on which half of them the best transform is
            chosen. Nothing else is random.

    Raises:
        DormantError: No items, lengths that differ, unknown or repeated items, a transform with
            a base where the plain cells have none (or the reverse), log-odds that aren't finite.
    """
    quads = [Quad.align(plain, cells) for cells in transforms]
    whole = Quad.plain_only(plain)
    results = _judge_transforms(transforms, quads, chance)
    drop = None if whole.base_plain is None else whole.drop()
    accuracy, intervals = whole.accuracies()
    units = plain.items if plain.groups is None else plain.groups
    choosing = _first_half(units, seed)
    best = _choose(results, quads, choosing)
    gain = recovery = None
    if best is not None:
        held_out = quads[best].only(~choosing)
        gain, recovery = held_out.gain(), held_out.recovery()
    wrapped = None if as_trained is None else _judge_wrapping(plain, as_trained, results)
    flips = whole.flips()
    evidence = Evidence(
        drop=drop,
        base=intervals.base_plain,
        margin=margin,
        chance=chance,
        n_items=len(plain.items),
        best=None if best is None else results[best],
        gain=gain,
        recovery=recovery,
        transforms=results,
        as_trained=wrapped,
        not_tried=not_tried,
    )
    verdict, reason = decide(evidence)
    rung = rung_of(verdict, evidence)
    return AbilityResult(
        task=task,
        title=title,
        verdict=verdict,
        reason=reason,
        rung=rung,
        not_tried=list(not_tried),
        n_items=len(plain.items),
        items_needed=items_needed(evidence) if verdict == "inconclusive" else None,
        accuracy=accuracy,
        accuracy_intervals=intervals,
        drop=drop,
        drop_p_value=whole.drop_p_value(),
        log_odds_drop=whole.log_odds_drop(),
        best_transform=None if best is None else results[best].name,
        gain=gain,
        recovery=recovery,
        transforms=results,
        as_trained=wrapped,
        lost=flips[0] if flips else None,
        won=flips[1] if flips else None,
    )


def _judge_wrapping(
    plain: PlainCells, cells: TransformCells, transforms: Sequence[TransformResult]
) -> AsTrainedResult:
    """Estimate what the wrapping of the training data gives; it is one, so nothing is chosen."""
    quad = Quad.align(plain, cells)
    accuracy, intervals = quad.accuracies()
    p_value = quad.gain_p_value()
    # The transforms' own p-values stay as they are, with the wrapping or without it.
    *_, p_adjusted = holm([*(result.p_value for result in transforms), p_value])
    return AsTrainedResult(
        signature=cells.signature,
        accuracy=accuracy,
        accuracy_intervals=intervals,
        gain=quad.gain(),
        recovery=quad.recovery(),
        remaining=quad.remaining(),
        beyond_quarter=quad.remaining_beyond(LEFT_OVER),
        p_value=p_value,
        p_adjusted=p_adjusted,
    )


def _judge_transforms(
    transforms: Sequence[TransformCells], quads: Sequence[Quad], chance: float
) -> list[TransformResult]:
    p_values = [quad.gain_p_value() for quad in quads]
    results: list[TransformResult] = []
    for cells, quad, p_value, p_adjusted in zip(
        transforms, quads, p_values, holm(p_values), strict=True
    ):
        accuracy, intervals = quad.accuracies()
        complaint = _control(cells, intervals, chance)
        results.append(
            TransformResult(
                name=cells.name,
                signature=cells.signature,
                rung=cells.rung,
                n_items=len(cells.items),
                excluded_items=sum(cells.exclusions.values()),
                exclusions=dict(cells.exclusions),
                fidelity=cells.fidelity,
                control_passed=not complaint,
                control_reason=complaint,
                accuracy=accuracy,
                accuracy_intervals=intervals,
                control=quad.control(),
                gain=quad.gain(),
                recovery=quad.recovery(),
                p_value=p_value,
                p_adjusted=p_adjusted,
                log_odds=quad.log_odds_means(),
                log_odds_gain=quad.log_odds_gain(),
                log_odds_recovery=quad.log_odds_recovery(),
            )
        )
    return results


NO_BASE = "not checked: no base model"


def _control(cells: TransformCells, accuracy: CellEstimates, chance: float) -> str:
    """Say why a transform proves nothing; empty if it may."""
    if not len(cells.items):
        return "no items are left"
    if cells.fidelity is not None and cells.fidelity < cells.fidelity_gate:
        return f"round-trip fidelity {cells.fidelity:.2f} is below {cells.fidelity_gate:.2f}"
    plain, transformed = accuracy.base_plain, accuracy.base_transformed
    if plain is None or transformed is None:
        return NO_BASE
    if transformed.low <= chance:
        return (
            f"the base model is not above chance under it ({percent(transformed)}, chance "
            f"{100 * chance:.0f}%)"
        )
    if transformed.estimate < plain.estimate / 2:
        return (
            f"the base model keeps less than half of its accuracy under it "
            f"({100 * transformed.estimate:.0f}% of {100 * plain.estimate:.0f}%)"
        )
    return ""


def _first_half(units: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """Mark the half of the source items on which the best transform is chosen, shape (n,).

    The half is that of lower rank by a hash of seed and name, so it depends neither on the order
    of the items nor on the version of a random generator.
    """
    ranks = {
        unit: blake2b(f"{seed}/{unit}".encode(), digest_size=16).digest()
        for unit in dict.fromkeys(units)
    }
    ordered = sorted(ranks, key=ranks.__getitem__)
    chosen = set(ordered[: len(ordered) // 2])
    return np.array([unit in chosen for unit in units], dtype=np.bool_)


def _choose(
    results: Sequence[TransformResult], quads: Sequence[Quad], choosing: NDArray[np.bool_]
) -> int | None:
    """Pick the transform surest to gain and to recover, judged on one half of the items alone."""
    best: int | None = None
    highest = -math.inf
    for place, (result, quad) in enumerate(zip(results, quads, strict=True)):
        if not result.control_passed and result.control_reason != NO_BASE:
            continue
        half = quad.only(choosing)
        recovery = half.recovery()
        surest = half.gain().low
        if recovery is not None:
            surest = min(surest, recovery.low)
        if surest > highest:
            best, highest = place, surest
    return best
