"""What the rungs above prompting will take at most: which abilities climb isn't known before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dormant.audit.plan import Plan
from dormant.audit.rung import HigherRung, Intervention
from dormant.models.pair import ModelPair, Which
from dormant.results import PLAIN, RELEARNING, NotTried, Record, Rung


class RungForecast(Record):
    """What one rung takes, were every ability to climb it: an upper bound.

    Attributes:
        rung: Its name.
        prompts: Prompts of both models, by ability; on top of those of the prompt rung.
        trainings: Short trainings of either model, by ability. Where an audit looks several times,
            an ability that stays open to the last look is trained at each.
        seconds: Seconds of scoring, by "base" and "tuned". What edits and trainings take is not in
            it.
        not_tried: What can't be run, as far as that is known before a model is loaded, by ability.
    """

    rung: Rung
    prompts: dict[str, int]
    trainings: dict[str, int]
    seconds: dict[str, float]
    not_tried: dict[str, list[NotTried]]

    def parts(self) -> list[str]:
        """Say it in a few parts of a sentence, but for seconds."""
        said: list[str] = []
        if prompts := sum(self.prompts.values()):
            said.append(f"{prompts} prompts")
        if trainings := sum(self.trainings.values()):
            said.append(f"{trainings} trainings of a model")
        return said

    def missing(self) -> str:
        """Say what can't be run, reasons once each; empty where nothing is known to be missing."""
        names: dict[str, list[str]] = {}
        for task, every in self.not_tried.items():
            for one in every:
                names.setdefault(one.reason, []).append(f"{task} {one.name}".strip())
        return "; ".join(f"{', '.join(who)} ({reason})" for reason, who in names.items())


def forecast_rungs(
    rungs: Sequence[HigherRung],
    plans: Sequence[Plan],
    pair: ModelPair,
    rates: Mapping[Which, Mapping[str, float]],
) -> list[RungForecast]:
    """Say what rungs take, were every ability to climb them all.

    Args:
        rungs: Those that the audit may climb, the lowest first.
        plans: The audit's, with all items that there may be.
        pair: Its models. Without a base nothing climbs.
        rates: Seconds a character of each ability's prompts, by model.
    """
    if pair.base is None:
        return []
    return [_forecast(rung, [one for one in plans if one.audited], pair, rates) for rung in rungs]


def _forecast(
    rung: HigherRung,
    plans: Sequence[Plan],
    pair: ModelPair,
    rates: Mapping[Which, Mapping[str, float]],
) -> RungForecast:
    prompts: dict[str, int] = {}
    trainings: dict[str, int] = {}
    seconds: dict[Which, float] = dict.fromkeys(rates, 0.0)
    missing: dict[str, list[NotTried]] = {}
    refusal = rung.refusal(pair)
    for plan in plans:
        task = plan.task.name
        wished = (
            rung.interventions(plan)
            if refusal is None
            else [NotTried(rung=rung.name, reason=refusal)]
        )
        cells = sum(isinstance(one, Intervention) for one in wished)
        if lacking := [one for one in wished if isinstance(one, NotTried)]:
            missing[task] = lacking
        prompts[task] = len(rates) * cells * len(plan.cells[PLAIN].cases)
        looks = len(plan.looks.sizes) if plan.looks else 1
        trainings[task] = len(rates) * cells * looks if rung.name in RELEARNING else 0
        for which, by_task in rates.items():
            seconds[which] += cells * sum(plan.sizes[PLAIN]) * by_task[task]
    return RungForecast(
        rung=rung.name,
        prompts=prompts,
        trainings=trainings,
        seconds={str(which): of for which, of in seconds.items()},
        not_tried=missing,
    )
