"""The ladder of evidence: what prompting leaves open is asked of models that are changed a while.

Every intervention is a cell of each ability that climbs, like a transform's: {base, tuned} under
it, on plain prompts. An ability climbs where it dropped and neither came back nor was asked
otherwise: of what was retained there is nothing to bring back, and *forgotten* is only as strong as
what was tried.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dormant.audit.arithmetic import choose_precision
from dormant.audit.plan import Batch, Plan, batches
from dormant.audit.run_dir import UNDER
from dormant.audit.rung import HigherRung, Intervention
from dormant.audit.scoring import Scoring
from dormant.errors import DormantError, one_line
from dormant.models.pair import ModelPair, Which
from dormant.results import PLAIN, AbilityResult, NotTried

if TYPE_CHECKING:
    from lm_eval.api.model import LM


@dataclass(frozen=True)
class Climbed:
    """How far abilities climbed.

    Attributes:
        plans: The plans, with the cells of the rungs that were tried.
        not_tried: What could not be run, by ability.
    """

    plans: Sequence[Plan]
    not_tried: Mapping[str, Sequence[NotTried]]


def climb(
    rungs: Sequence[HigherRung],
    plans: Sequence[Plan],
    pair: ModelPair,
    scoring: Scoring,
    judged: Callable[[Climbed], Sequence[AbilityResult]],
) -> Climbed:
    """Let each ability climb until it is decided, or there is no further rung.

    Args:
        rungs: Those above prompting, the lowest first.
        plans: The audit's, all of whose cells are on disk.
        pair: Its models.
        scoring: How it scores.
        judged: Returns what is known of the abilities; called in the first process.

    Raises:
        DormantError: A model can't be loaded, or the disk is full.
    """
    climbed = Climbed(plans, {})
    for rung in rungs:
        so_far = climbed
        open_ = scoring.group.once(
            lambda so_far=so_far: [one.task for one in judged(so_far) if is_open(one)]
        )
        if not open_:
            break
        if (why := rung.refusal(pair)) is None:
            climbed, failed = _try(rung, open_, climbed, pair, scoring)
        else:
            failed = [NotTried(rung=rung.name, reason=why)]
        more = {task: [*climbed.not_tried.get(task, ()), *failed] for task in open_ if failed}
        climbed = replace(climbed, not_tried={**climbed.not_tried, **more})
    return climbed


def is_open(ability: AbilityResult) -> bool:
    """Say whether an ability dropped, and nothing so far brought it back."""
    dropped = ability.drop is not None and ability.drop.low > 0
    return dropped and ability.verdict in ("forgotten", "inconclusive")


def _try(
    rung: HigherRung, tasks: Sequence[str], climbed: Climbed, pair: ModelPair, scoring: Scoring
) -> tuple[Climbed, list[NotTried]]:
    """Score a rung's cells; those that can't be run are named and left out."""
    interventions = rung.interventions()
    names = [one.name for one in interventions]
    wider = [
        _with_cells(plan, rung, interventions) if plan.task.name in tasks else plan
        for plan in climbed.plans
    ]
    work = [
        batch
        for batch in batches(scoring.settings, wider)
        if batch.key.transform in names and batch.key.task in tasks
    ]
    finished = scoring.group.once(lambda: _finished(work, scoring))
    scoring.progress.start(
        sum(batch.size for batch in work),
        sum(batch.size for batch, ready in zip(work, finished, strict=True) if ready),
    )
    missing = [batch for batch, ready in zip(work, finished, strict=True) if not ready]
    failed: dict[str, str] = {}
    sides: tuple[Which, ...] = ("base", "tuned")
    for which in sides:
        model = pair.model(which)
        own = [batch for batch in missing if batch.key.model == which]
        if model is None or not own:
            continue
        scoring.progress.stage(f"loading {model.text}")
        with pair.open(which) as lm:
            for one in interventions:
                under = [batch for batch in own if batch.key.transform == one.name]
                if under and one.name not in failed:
                    why = _score_under(one, lm, which, under, scoring)
                    failed |= {} if why is None else {one.name: why}
    kept = [name for name in names if name not in failed]
    plans = [_only(plan, kept, rung) for plan in wider]
    return replace(climbed, plans=plans), _named(rung, names, failed)


def _score_under(
    one: Intervention, lm: LM, which: Which, work: Sequence[Batch], scoring: Scoring
) -> str | None:
    """Score batches under an intervention; say why where that can't be done."""
    style = scoring.settings.style(which)
    with contextlib.ExitStack() as stack:
        scoring.progress.stage(f"{which} · {one.name}")
        # All processes must agree.
        refused = scoring.group.share(lambda: _entered(stack, one, lm))
        if why := next(filter(None, refused), None):
            return why
        # What was chosen for the model as it is may not hold for the changed one.
        asked = {batch.key.task: batch.plan for batch in work}
        plain = [replace(plan, cells={PLAIN: plan.cells[PLAIN]}) for plan in asked.values()]
        chosen = choose_precision(lm, scoring.settings, plain, style)
        scoring.note(f"precision of {which}{UNDER}{one.name}", chosen)
        for turn in scoring.turns(work):
            try:
                outcomes = scoring.ask(lm, turn, style)
            except DormantError as error:
                # Under a change a model may run out of memory, or give no numbers.
                return str(error)
            scoring.keep(turn, outcomes)
    return None


def _entered(stack: contextlib.ExitStack, one: Intervention, lm: LM) -> str | None:
    try:
        stack.enter_context(one.on(lm))
    except DormantError as error:
        return str(error)
    except MemoryError as error:
        return f"out of memory: {one_line(error)}"
    return None


def _with_cells(plan: Plan, rung: HigherRung, interventions: Sequence[Intervention]) -> Plan:
    """Add a cell for each intervention: the plain prompts once more."""
    plain = plan.cells[PLAIN]
    names = [one.name for one in interventions]
    return replace(
        plan,
        cells=plan.cells
        | {one.name: replace(plain, signature=one.signature) for one in interventions},
        batches=plan.batches | dict.fromkeys(names, plan.batches[PLAIN]),
        sizes=plan.sizes | dict.fromkeys(names, plan.sizes[PLAIN]),
        rungs={**plan.rungs, **dict.fromkeys(names, rung.name)},
    )


def _only(plan: Plan, names: Sequence[str], rung: HigherRung) -> Plan:
    """Leave out the cells of a rung that were not run."""
    cells = {
        name: cell
        for name, cell in plan.cells.items()
        if plan.rungs.get(name) != rung.name or name in names
    }
    return replace(plan, cells=cells)


def _finished(work: Sequence[Batch], scoring: Scoring) -> list[bool]:
    """Say which batches are on disk, those of a cell together."""
    (run,) = scoring.opened
    by_cell = {
        batch.key: [other.items for other in work if other.key == batch.key] for batch in work
    }
    flags = {key: iter(run.finished(key, every)) for key, every in by_cell.items()}
    return [next(flags[batch.key]) for batch in work]


def _named(rung: HigherRung, names: Sequence[str], failed: Mapping[str, str]) -> list[NotTried]:
    """Name the cells that could not be run; as one where all failed alike."""
    if len(failed) == len(names) and len(set(failed.values())) == 1:
        return [NotTried(rung=rung.name, reason=failed[names[0]])]
    return [NotTried(rung=rung.name, name=name, reason=why) for name, why in failed.items()]
