"""The audit: four cells, end to end.

{base, tuned} × {plain, s}, the same source items in all four: planned (`plan`), put to the
models (`asking`) batch by batch (`score`) into a run directory (`run_dir`), then judged (`judge`);
where the number of items isn't fixed, look by look (`looking`).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dormant import devices
from dormant.audit.asking import Asking
from dormant.audit.assumed import assumptions
from dormant.audit.base_records import take, take_what_fits
from dormant.audit.filling import Filling
from dormant.audit.gate import Gate, refuse_same
from dormant.audit.judge import judge
from dormant.audit.kept_plan import keep_plan, known_from, known_plan
from dormant.audit.ladder import Climbed, climb
from dormant.audit.looking import is_decided, until_decided
from dormant.audit.manifest import LIBRARIES, recorded
from dormant.audit.pair import not_as_trained, pair_of
from dormant.audit.plan import Plan
from dormant.audit.process_group import ProcessGroup
from dormant.audit.ray import Workers, refuse_what_ray_cannot
from dormant.audit.run_dir import RunDirectory
from dormant.audit.rung import HigherRung
from dormant.audit.scoring import Scoring
from dormant.audit.settings import AuditSettings
from dormant.audit.training import Training
from dormant.audit.transformed import explain
from dormant.audit.unfamiliar import unfamiliar
from dormant.audit.wrong_answers import WrongAnswers
from dormant.models.live import LiveModel
from dormant.models.pair import ModelPair, Which
from dormant.models.size import refuse_too_large
from dormant.progress import Progress, Silent
from dormant.results import (
    INFORMATIVE,
    AbilityResult,
    AuditResults,
    Comparison,
    Rung,
)
from dormant.results.events import Started, Tell
from dormant.rundirs import versions


def audit(
    settings: AuditSettings,
    out: Path,
    progress: Progress | None = None,
    live: Mapping[Which, LiveModel] | None = None,
    rungs: Sequence[HigherRung] = (),
    base_from: Path | None = None,
    siblings: Sequence[Path] = (),
    tell: Tell | None = None,
    workers: Workers | None = None,
) -> AuditResults:
    """Run an audit, or resume the one in `out`.

    Args:
        settings: What to audit and how.
        out: The run directory; made if missing, resumed if it holds the same run.
        progress: Told how far it is.
        live: Models that are in memory already; the settings hold their names.
        rungs: What is tried where prompts leave an ability open, the lowest first.
        base_from: Directory of an audit of another child of the same base, with the same
            settings, whose records of the base are taken instead of made again.
        siblings: Directories of several such audits; of those that don't fit nothing is taken.
        tell: Told how full the cells are, and of the verdicts; in the first process.
        workers: Where prompts are scored, if not by this process, or those that torchrun started.
            Higher rungs, and the looks at wrong answers, stay here.

    Returns:
        The results, which are also in ``out/results.json``.

    Raises:
        DormantError: Bad input, a model that can't be loaded, a disk that is full. What was
            scored before is in `out`, and the same call goes on from there.
    """
    group = ProcessGroup()
    try:
        pair = pair_of(settings, live or {})
        if workers is not None:
            refuse_what_ray_cannot(pair, group.size)
        watch = (progress if group.first else None) or Silent()
        with devices.use(settings.device):
            scoring = Scoring(settings, [], group, watch, Filling(tell))
            try:
                return _audit(scoring, pair, rungs, workers, _Where(out, base_from, siblings))
            finally:
                for run in scoring.opened:
                    run.close()
    finally:
        group.close()


@dataclass(frozen=True)
class _Where:
    """The run directory, and those of which records of the base are taken."""

    out: Path
    base_from: Path | None
    siblings: Sequence[Path]


def _audit(
    scoring: Scoring,
    pair: ModelPair,
    rungs: Sequence[HigherRung],
    workers: Workers | None,
    where: _Where,
) -> AuditResults:
    began = time.monotonic()
    settings, group, progress = scoring.settings, scoring.group, scoring.progress
    progress.stage("preparing prompts")
    training = Training.of(settings, pair)
    plans = training.plans(settings, pair, functools.partial(known_plan, where.out, settings))
    for note in assumptions(plans, settings):
        progress.say(note)
    known = group.once(lambda: _open(scoring, pair, plans, training, where))
    first = [ability.at(0) for ability in plans]
    gate = Gate(settings, pair, first, known)
    looked = _looked(settings, training, scoring.opened)
    # The error is split between the rungs that may be climbed, whichever are in the end.
    untaught: list[Rung] = [rung.name for rung in rungs if rung.name not in INFORMATIVE]
    judging = _Judging(scoring, pair, gate, looked, untaught[-1] if untaught else "prompt")
    spread = None
    if workers is not None:
        spread = functools.partial(workers.fill, scoring, gate, known_from(plans))
    asking = Asking(pair, first, scoring, gate, looked, spread)

    def ask(some: Sequence[Plan]) -> Climbed:
        asking.ask(some)
        return climb(rungs, some, pair, scoring, judging.so_far)

    climbed = until_decided(plans, ask, judging.decided)
    return group.once(lambda: judging.finish(climbed, began))


def _open(
    scoring: Scoring, pair: ModelPair, plans: Sequence[Plan], training: Training, where: _Where
) -> Comparison | None:
    """Open the run directory, in the first process; return what an earlier call saw of the pair."""
    settings, out = scoring.settings, where.out
    if not (out / "results.json").exists():
        refuse_too_large(pair)
    resumed = (out / "run.json").exists()
    if resumed:
        pair.refuse_to_resume(out)
    decisive = recorded(settings, pair, plans, training)
    refuse_same(pair, decisive["fingerprints"], settings.allow_identical)
    alone = pair.base_stands_alone()
    run = RunDirectory.start(out, decisive, versions(*LIBRARIES), base_stands=alone)
    scoring.opened.append(run)
    scoring.filling.tell(_started(settings, run, resumed))
    keep_plan(out, settings, plans)
    if where.base_from is not None:
        take(run, where.base_from)
    # A base that is asked with its child's tokenizer answers each child's audit anew.
    for other in take_what_fits(run, where.siblings if alone else ()):
        scoring.progress.say(
            f"{other} is of other versions or another base: nothing is taken from it"
        )
    return run.comparison()


@dataclass(frozen=True)
class _Judging:
    """What is known of the abilities, while an audit asks and at its end.

    Attributes:
        scoring: How it scores.
        pair: Its models.
        gate: What was seen of them.
        looked: What looks at wrong answers; empty where nothing does.
        up_to: The highest rung that may be climbed without teaching anything.
    """

    scoring: Scoring
    pair: ModelPair
    gate: Gate
    looked: Sequence[WrongAnswers]
    up_to: Rung

    def so_far(self, climbed: Climbed) -> Sequence[AbilityResult]:
        """Judge what is on disk; in the first process."""
        scoring = self.scoring
        scoring.progress.stage("estimating")
        (run,) = scoring.opened
        seen = self.gate.seen
        found = judge(scoring.settings, climbed.plans, run, seen, [], up_to=self.up_to)
        return found.abilities

    def decided(self, climbed: Climbed) -> Sequence[str]:
        """Return the abilities that need no more items; in all processes."""
        margin = self.scoring.settings.margin
        chance = {plan.task.name: plan.task.chance for plan in climbed.plans}
        return self.scoring.group.once(
            lambda: [
                one.task
                for one in self.so_far(climbed)
                if is_decided(one, margin, chance[one.task])
            ]
        )

    def finish(self, climbed: Climbed, began: float) -> AuditResults:
        """Judge all, and write the results; in the first process."""
        scoring, gate = self.scoring, self.gate
        settings = scoring.settings
        scoring.progress.stage("estimating")
        (run,) = scoring.opened
        prompted = [_prompted(ability) for ability in climbed.plans]
        run.write_excluded({ability.task.name: _explained(ability) for ability in prompted})
        warnings = [*gate.warnings(), *_warnings(settings, self.pair, prompted, run)]
        wrong = self.looked[0] if self.looked else None
        not_tried = climbed.not_tried
        results = judge(
            settings, climbed.plans, run, gate.seen, warnings, wrong, not_tried, self.up_to
        )
        results = results.model_copy(update={"wall_seconds": round(time.monotonic() - began, 1)})
        run.write_results(results)
        scoring.filling.judged(run, results)
        return results


def _started(settings: AuditSettings, run: RunDirectory, resumed: bool) -> Started:
    return Started(
        run=str(run.path),
        base=settings.base,
        tuned=settings.tuned,
        version=versions("dormant")["dormant"],
        resumed=resumed,
    )


def _looked(
    settings: AuditSettings, training: Training, opened: Sequence[RunDirectory]
) -> list[WrongAnswers]:
    """Return what looks at wrong answers: one where a run is open and a format known."""
    if training.format is None:
        return []
    keep = settings.keep_generations
    return [WrongAnswers(run, training.format, keep_all=keep) for run in opened]


def _prompted(ability: Plan) -> Plan:
    """Leave out the cells that are plain prompts put to a changed model."""
    cells = {name: cell for name, cell in ability.cells.items() if name not in ability.rungs}
    return replace(ability, cells=cells)


def _explained(ability: Plan) -> dict[str, dict[str, str]]:
    """Return why each item is left out, by transform; those that leave none out are not named."""
    return {name: why for name, cell in ability.cells.items() if (why := explain(cell))}


def _warnings(
    settings: AuditSettings, pair: ModelPair, plans: Sequence[Plan], run: RunDirectory
) -> list[str]:
    warnings = list(dict.fromkeys([*pair.warnings(), *run.warnings(), *not_as_trained(pair)]))
    if settings.base is not None and settings.base_prompts != settings.tuned_prompts:
        warnings.append(
            f"base prompts are {settings.base_prompts}, tuned prompts {settings.tuned_prompts}: "
            "a difference between the models may come from the template"
        )
    then, now = run.manifest["versions"], versions(*LIBRARIES)
    changed = [
        f"{name} {then.get(name)} → {now[name]}" for name in now if then.get(name) != now[name]
    ]
    if changed:
        warnings.append(f"the run was begun with other versions: {', '.join(changed)}")
    return [
        *warnings,
        *assumptions(plans, settings),
        *(line for ability in plans for line in ability.exclusions()),
        *unfamiliar(plans, settings, run),
    ]
