"""The ladder of evidence: what prompting leaves open is asked of models that are changed a while.

Every intervention is a cell of each ability that climbs, like a transform's: {base, tuned} under
it, on plain prompts. An ability climbs where it dropped and neither came back nor was asked
otherwise: of what was retained there is nothing to bring back, and what is lost is lost only up to
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
from dormant.audit.settings import Style
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
            climbed, missing = _try(rung, open_, climbed, pair, scoring)
        else:
            missing = {task: [NotTried(rung=rung.name, reason=why)] for task in open_}
        more = {task: [*climbed.not_tried.get(task, ()), *missing[task]] for task in missing}
        climbed = replace(climbed, not_tried={**climbed.not_tried, **more})
    return climbed


def is_open(ability: AbilityResult) -> bool:
    """Say whether an ability dropped, and nothing so far brought it back."""
    dropped = ability.drop is not None and ability.drop.low > 0
    return dropped and ability.verdict in ("lost", "forgotten", "inconclusive")


def _try(
    rung: HigherRung, tasks: Sequence[str], climbed: Climbed, pair: ModelPair, scoring: Scoring
) -> tuple[Climbed, Mapping[str, list[NotTried]]]:
    """Score a rung's cells; those that can't be run are named, by ability, and left out."""
    wished = {
        plan.task.name: rung.interventions(plan)
        for plan in climbed.plans
        if plan.task.name in tasks
    }
    able = {
        task: [one for one in every if isinstance(one, Intervention)]
        for task, every in wished.items()
    }
    wider = [_with_cells(plan, rung, able.get(plan.task.name, ())) for plan in climbed.plans]
    by_cell = {(task, one.name): one for task, every in able.items() for one in every}
    work = [
        batch
        for batch in batches(scoring.settings, wider)
        if (batch.key.task, batch.key.transform) in by_cell
    ]
    missing = scoring.missing(work)
    failed: dict[Intervention, str] = {}
    for which, model in pair.models().items():
        own = [batch for batch in missing if batch.key.model == which]
        if not own:
            continue
        scoring.progress.stage(f"loading {model.text}")
        with pair.open(which) as lm:
            for one in dict.fromkeys(by_cell.values()):
                under = [b for b in own if by_cell[b.key.task, b.key.transform] is one]
                if under and one not in failed:
                    asked = [p for p in wider if by_cell.get((p.task.name, one.name)) is one]
                    about = which if len(asked) == len(able) else f"{which} on {_names(asked)}"
                    why = _score_under(one, lm, which, under, asked, about, scoring)
                    failed |= {} if why is None else {one: why}
    kept = {task: [i.name for i in able[task] if i not in failed] for task in able}
    plans = [_only(plan, kept.get(plan.task.name, ()), rung) for plan in wider]
    return replace(climbed, plans=plans), {
        task: named for task, every in wished.items() if (named := _named(rung, every, failed))
    }


def _score_under(
    one: Intervention,
    lm: LM,
    which: Which,
    work: Sequence[Batch],
    asked: Sequence[Plan],
    about: str,
    scoring: Scoring,
) -> str | None:
    """Score batches under an intervention; say why where that can't be done.

    Args:
        one: The intervention.
        lm: The model.
        which: The same.
        work: What is missing of its cells.
        asked: The abilities that it is for, finished ones too: what is chosen by their prompts is
            chosen alike when a run is resumed.
        about: Names what is chosen in the run's notes.
        scoring: How it is scored.
    """
    style = scoring.settings.style(which)
    with contextlib.ExitStack() as stack:
        scoring.progress.stage(f"{which} · {_names(asked)} · {one.name}")
        # All processes must agree.
        refused = scoring.group.share(lambda: _entered(stack, one, lm, style))
        if why := next(filter(None, refused), None):
            return why
        # What was chosen for the model as it is may not hold for the changed one.
        plain = [replace(plan, cells={PLAIN: plan.cells[PLAIN]}) for plan in asked]
        chosen = choose_precision(lm, scoring.settings, plain, style)
        scoring.note(f"precision of {about}{UNDER}{one.name}", chosen)
        for turn in scoring.turns(work):
            try:
                outcomes = scoring.ask(lm, turn, style)
            except DormantError as error:
                # Under a change a model may run out of memory, or give no numbers.
                return str(error)
            scoring.keep(turn, outcomes)
    return None


def _names(plans: Sequence[Plan]) -> str:
    return ", ".join(plan.task.name for plan in plans)


def _entered(stack: contextlib.ExitStack, one: Intervention, lm: LM, style: Style) -> str | None:
    try:
        stack.enter_context(one.on(lm, style))
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


def _named(
    rung: HigherRung,
    wished: Sequence[Intervention | NotTried],
    failed: Mapping[Intervention, str],
) -> list[NotTried]:
    """Name an ability's cells that could not be run; as one where all failed alike."""
    named = [
        one if isinstance(one, NotTried) else NotTried(rung=rung.name, name=one.name, reason=why)
        for one in wished
        if (why := one.reason if isinstance(one, NotTried) else failed.get(one)) is not None
    ]
    if len(named) == len(wished) and len({one.reason for one in named}) == 1:
        return [NotTried(rung=rung.name, reason=named[0].reason)]
    return named
