"""From per-item outcomes to estimates, controls, what came back at each rung, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from dormant.errors import DormantError
from dormant.results import (
    INFORMATIVE,
    MARGIN,
    RUNGS,
    AbilityResult,
    AsTrainedResult,
    Estimate,
    LooksResult,
    NotTried,
    Rung,
    RungResult,
    TransformResult,
)
from dormant.statistics.cells import PlainCells, TransformCells
from dormant.statistics.choosing import cross_fit
from dormant.statistics.contrasts import Quad
from dormant.statistics.controls import NO_BASE, complaint
from dormant.statistics.evidence import QUARTER, Evidence, leading
from dormant.statistics.intervals import LEVEL, holm
from dormant.statistics.needed import items_needed
from dormant.statistics.sequential import Looks
from dormant.statistics.verdict import decide, rung_of


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
    looks: Looks | None = None,
    up_to: Rung | None = None,
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
        seed: Decides, with the source items' names, on the halves that choose for each other.
            Nothing else is random.
        looks: Where the audit may stop as soon as it is decided: its schedule. The items then are
            those of the looks up to now, in the order in which they were scored.
        up_to: The highest rung that is tried where lower ones leave an ability open. The error of
            *suppressed* is split between all rungs up to it, whether they were needed or not:
            were the first judged at all of it and the next one only where the first failed, both
            together would err too often. Rungs that may teach the ability never say *suppressed*,
            and take no share. `None`: none can be climbed, and the error is split between those
            that are there.

    Raises:
        DormantError: No items, lengths that differ, unknown or repeated items, a transform with
            a base where the plain cells have none (or the reverse), log-odds that aren't finite,
            a number of items at which no look is due, or looks at items of one source.
    """
    if looks is not None and plain.groups is not None:
        raise DormantError("looks need one prompt a source item: leave the groups or the looks out")
    quads = [Quad.align(plain, cells) for cells in transforms]
    whole = Quad.plain_only(plain)
    nominal = LEVEL if looks is None else looks.nominal(len(plain.items))
    results = _judge_transforms(transforms, quads, chance, nominal)
    drop = None if whole.base_plain is None else _drop(whole, looks, nominal)
    accuracy, intervals = whole.accuracies()
    units = plain.items if plain.groups is None else plain.groups
    planned = 0 if up_to is None else len({*RUNGS[: 1 + RUNGS.index(up_to)]} - INFORMATIVE)
    rungs = _judge_rungs(results, quads, units, seed, looks, planned)
    wrapped = None if as_trained is None else _judge_wrapping(plain, as_trained, results, nominal)
    flips = whole.flips()
    evidence = Evidence(
        drop=drop,
        base=intervals.base_plain,
        margin=margin,
        chance=chance,
        n_items=len(plain.items),
        rungs=rungs,
        transforms=results,
        as_trained=wrapped,
        not_tried=not_tried,
        alpha=1 - nominal,
        looked=looks is not None,
        up_to=up_to,
    )
    verdict, reason = decide(evidence)
    rung = rung_of(verdict, evidence)
    best = leading(rungs, rung)
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
        best_transform=None if best is None else best.chosen[0],
        gain=None if best is None else best.gain,
        recovery=None if best is None else best.recovery,
        rungs=rungs,
        transforms=results,
        as_trained=wrapped,
        lost=flips[0] if flips else None,
        won=flips[1] if flips else None,
        looks=None if looks is None else LooksResult(sizes=list(looks.sizes), level=nominal),
    )


def _drop(whole: Quad, looks: Looks | None, nominal: float) -> Estimate:
    """Estimate the drop, of which each bound has a spending of its own where there are looks."""
    drop = whole.drop(nominal)
    if looks is not None:
        patient = whole.drop(looks.patient(whole.rows.size))
        drop = drop.model_copy(update={"high": patient.high})
    return _aimed(drop)


def _judge_rungs(
    results: Sequence[TransformResult],
    quads: Sequence[Quad],
    units: Sequence[str],
    seed: int,
    looks: Looks | None,
    planned: int,
) -> list[RungResult]:
    """Choose within each rung, and estimate what came back; the error is split between rungs."""
    may = [
        place
        for place, result in enumerate(results)
        if result.control_passed or result.control_reason == NO_BASE
    ]
    rungs: list[Rung] = [
        rung for rung in RUNGS if any(results[place].rung == rung for place in may)
    ]
    shared = 1 - (1 - LEVEL) / max(planned, len({*rungs} - INFORMATIVE), 1)
    judged: list[RungResult] = []
    for rung in rungs:
        level = LEVEL if rung in INFORMATIVE else shared
        places = [place for place in may if results[place].rung == rung]
        candidates = [quads[place] for place in places]
        held_out = (
            cross_fit(candidates, units, seed, level)
            if looks is None
            else looks.ahead(candidates, len(units), level)
        )
        judged.append(
            RungResult(
                rung=rung,
                chosen=[results[places[choice]].name for choice in held_out.chosen],
                gain=_aimed(held_out.quad.gain(held_out.nominal), level),
                recovery=_aimed(held_out.quad.recovery(held_out.nominal), level),
                tuned=held_out.quad.tuned(),
            )
        )
    return judged


@overload
def _aimed(estimate: Estimate, level: float = LEVEL) -> Estimate: ...
@overload
def _aimed(estimate: Estimate | None, level: float = LEVEL) -> Estimate | None: ...
def _aimed(estimate: Estimate | None, level: float = LEVEL) -> Estimate | None:
    """Say what coverage an interval has after choices and looks, not at which it was made."""
    return None if estimate is None else estimate.model_copy(update={"level": level})


def _judge_wrapping(
    plain: PlainCells,
    cells: TransformCells,
    transforms: Sequence[TransformResult],
    nominal: float,
) -> AsTrainedResult:
    """Estimate what the wrapping of the training data gives; it is one, so nothing is chosen."""
    quad = Quad.align(plain, cells)
    accuracy, intervals = quad.accuracies()
    p_value = quad.gain_p_value()
    # The transforms' own p-values stay as they are, with the wrapping or without it.
    others = [result.p_value for result in transforms if result.rung == "prompt"]
    *_, p_adjusted = holm([*others, p_value])
    return AsTrainedResult(
        signature=cells.signature,
        accuracy=accuracy,
        accuracy_intervals=intervals,
        gain=_aimed(quad.gain(nominal)),
        recovery=_aimed(quad.recovery(nominal)),
        remaining=_aimed(quad.remaining(nominal)),
        beyond_quarter=_aimed(quad.remaining_beyond(QUARTER, nominal)),
        returned_quarter=_aimed(quad.returned_beyond(QUARTER, nominal)),
        p_value=p_value,
        p_adjusted=p_adjusted,
    )


def _judge_transforms(
    transforms: Sequence[TransformCells], quads: Sequence[Quad], chance: float, nominal: float
) -> list[TransformResult]:
    p_values = [quad.gain_p_value() for quad in quads]
    adjusted = list(p_values)
    for rung in RUNGS:
        places = [place for place, cells in enumerate(transforms) if cells.rung == rung]
        for place, value in zip(places, holm([p_values[place] for place in places]), strict=True):
            adjusted[place] = value
    results: list[TransformResult] = []
    for cells, quad, p_value, p_adjusted in zip(transforms, quads, p_values, adjusted, strict=True):
        accuracy, intervals = quad.accuracies()
        unfit = complaint(cells, intervals, chance)
        results.append(
            TransformResult(
                name=cells.name,
                signature=cells.signature,
                rung=cells.rung,
                n_items=len(cells.items),
                excluded_items=sum(cells.exclusions.values()),
                exclusions=dict(cells.exclusions),
                fidelity=cells.fidelity,
                control_passed=not unfit,
                control_reason=unfit,
                accuracy=accuracy,
                accuracy_intervals=intervals,
                control=quad.control(),
                gain=_aimed(quad.gain(nominal)),
                recovery=_aimed(quad.recovery(nominal)),
                returned_quarter=_aimed(quad.returned_beyond(QUARTER, nominal)),
                reached_quarter=_aimed(quad.reached_beyond(QUARTER, nominal)),
                p_value=p_value,
                p_adjusted=p_adjusted,
                log_odds=quad.log_odds_means(),
                log_odds_gain=quad.log_odds_gain(),
                log_odds_recovery=quad.log_odds_recovery(),
            )
        )
    return results
