"""The audit: four cells, end to end.

{base, tuned} × {plain, s}, the same source items in all four: planned (`plan`), scored batch by
batch (`score`) into a run directory (`run_dir`), then judged (`judge`).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dormant import devices
from dormant.audit.arithmetic import choose_precision
from dormant.audit.assumed import assumptions
from dormant.audit.gate import Gate, refuse_same
from dormant.audit.judge import judge
from dormant.audit.kept_plan import keep_plan, known_plan
from dormant.audit.ladder import Climbed, climb
from dormant.audit.pair import not_as_trained, pair_of
from dormant.audit.plan import Batch, Plan, batches, cells
from dormant.audit.process_group import ProcessGroup
from dormant.audit.run_dir import RunDirectory
from dormant.audit.rung import HigherRung
from dormant.audit.score import refuse_long
from dormant.audit.scoring import Scoring
from dormant.audit.settings import AuditSettings
from dormant.audit.training import Training
from dormant.audit.transformed import explain
from dormant.audit.wrong_answers import WrongAnswers
from dormant.models.live import LiveModel
from dormant.models.pair import Model, ModelPair, Which
from dormant.models.size import refuse_too_large
from dormant.progress import Progress, Silent
from dormant.results import PLAIN, AbilityResult, AuditResults, Comparison, Rung
from dormant.rundirs import versions

if TYPE_CHECKING:
    from lm_eval.api.model import LM

LIBRARIES = ("dormant", "torch", "transformers", "peft", "lm-eval", "numpy", "scipy")
"""All that touch a number."""


def audit(
    settings: AuditSettings,
    out: Path,
    progress: Progress | None = None,
    live: Mapping[Which, LiveModel] | None = None,
    rungs: Sequence[HigherRung] = (),
) -> AuditResults:
    """Run an audit, or resume the one in `out`.

    Args:
        settings: What to audit and how.
        out: The run directory; made if missing, resumed if it holds the same run.
        progress: Told how far it is.
        live: Models that are in memory already; the settings hold their names.
        rungs: What is tried where prompts leave an ability open, the lowest first.

    Returns:
        The results, which are also in ``out/results.json``.

    Raises:
        DormantError: Bad input, a model that can't be loaded, a disk that is full. What was
            scored before is in `out`, and the same call goes on from there.
    """
    group = ProcessGroup()
    try:
        pair = pair_of(settings, live or {})
        watch = (progress if group.first else None) or Silent()
        with devices.use(settings.device):
            return _audit(settings, out, pair, watch, group, rungs)
    finally:
        group.close()


def _audit(
    settings: AuditSettings,
    out: Path,
    pair: ModelPair,
    progress: Progress,
    group: ProcessGroup,
    rungs: Sequence[HigherRung],
) -> AuditResults:
    began = time.monotonic()
    progress.stage("preparing prompts")
    training = Training.of(settings, pair)
    plans = training.plans(settings, pair, functools.partial(known_plan, out, settings))
    for note in assumptions(plans, settings):
        progress.say(note)
    work = batches(settings, plans)
    # The first process alone opens the directory.
    opened: list[RunDirectory] = []
    gate: Gate
    climbed: Climbed
    # The error is split between the rungs that may be climbed, whichever are in the end.
    up_to: Rung = rungs[-1].name if rungs else "prompt"

    def start() -> tuple[list[bool], Comparison | None]:
        if not (out / "results.json").exists():
            refuse_too_large(pair)
        if (out / "run.json").exists():
            pair.refuse_to_resume(out)
        recorded = _recorded(settings, pair, plans, training)
        refuse_same(pair, recorded["fingerprints"], settings.allow_identical)
        opened.append(RunDirectory.start(out, recorded, versions(*LIBRARIES)))
        keep_plan(out, settings, plans)
        return [
            finished
            for key, ability in cells(settings, plans)
            for finished in opened[0].finished(key, ability.batches[key.transform])
        ], opened[0].comparison()

    def judged(climbed: Climbed) -> Sequence[AbilityResult]:
        progress.stage("estimating")
        found = judge(settings, climbed.plans, opened[0], gate.seen, [], up_to=up_to)
        return found.abilities

    def finish() -> AuditResults:
        progress.stage("estimating")
        (run,) = opened
        run.write_excluded({ability.task.name: _explained(ability) for ability in plans})
        warnings = [*gate.warnings(), *_warnings(settings, pair, plans, run)]
        seen_wrong = looked[0] if looked else None
        results = judge(
            settings, climbed.plans, run, gate.seen, warnings, seen_wrong, climbed.not_tried, up_to
        )
        results = results.model_copy(update={"wall_seconds": round(time.monotonic() - began, 1)})
        run.write_results(results)
        return results

    try:
        finished, known = group.once(start)
        gate = Gate(settings, pair, plans, known)
        looked = _looked(settings, training, opened)
        done = sum(batch.size for batch, ready in zip(work, finished, strict=True) if ready)
        progress.start(sum(batch.size for batch in work), done)
        missing = [batch for batch, ready in zip(work, finished, strict=True) if not ready]
        scoring = Scoring(settings, opened, group, progress)
        _score_all(pair, plans, missing, looked, scoring, gate)
        climbed = climb(rungs, plans, pair, scoring, judged)
        return group.once(finish)
    finally:
        for run in opened:
            run.close()


def _looked(
    settings: AuditSettings, training: Training, opened: Sequence[RunDirectory]
) -> list[WrongAnswers]:
    """Return what looks at wrong answers: one where a run is open and a format known."""
    if training.format is None:
        return []
    keep = settings.keep_generations
    return [WrongAnswers(run, training.format, keep_all=keep) for run in opened]


def _recorded(
    settings: AuditSettings, pair: ModelPair, plans: Sequence[Plan], training: Training
) -> dict[str, Any]:
    """Return all that decides the numbers, for the run directory to compare when it is resumed."""
    recorded: dict[str, Any] = settings.model_dump(mode="json")
    recorded["fingerprints"] = {
        "base": pair.fingerprint("base"),
        "tuned": pair.fingerprint("tuned"),
    }
    # A user's file may change between a run and its resumption.
    recorded["task_versions"] = {ability.task.name: ability.task.version for ability in plans}
    if training.digest is not None:
        recorded["training_examples"] = training.digest
    # So may the translator: another engine or version would mix two translations in one cell.
    recorded["transforms_used"] = {
        f"{ability.task.name} under {name}": cell.signature
        for ability in plans
        for name, cell in ability.cells.items()
        if name != PLAIN
    }
    return recorded


def _score_all(
    pair: ModelPair,
    plans: Sequence[Plan],
    missing: Sequence[Batch],
    looked: Sequence[WrongAnswers],
    scoring: Scoring,
    gate: Gate,
) -> None:
    """Score batches, one model after the other, one a process at a time."""
    settings, opened = scoring.settings, scoring.opened
    group, progress = scoring.group, scoring.progress
    sides: tuple[tuple[Which, Model | None], ...] = (("base", pair.base), ("tuned", pair.tuned))

    def look(which: Which, lm: LM) -> None:
        if gate.waits_for(which):
            progress.stage("comparing base and tuned")
            gate.seen = group.once(lambda: gate.look(which, lm))
            if opened and which == "tuned":
                opened[0].keep_comparison(gate.seen)
            gate.refuse_identical()

    if missing:
        gate.refuse_identical()
        if pair.shares_weights:
            progress.stage(f"loading {pair.tuned.text}")
        pair.settle()
    if missing and gate.both_at_hand:
        for which, spec in sides:
            if spec is not None and gate.waits_for(which):
                progress.stage(f"loading {spec.text}")
                with pair.open(which) as lm:
                    look(which, lm)
    for which, spec in sides:
        style = settings.style(which)
        work = [batch for batch in missing if batch.key.model == which]
        if spec is None:
            continue
        # All processes must agree, and the first one alone has the run.
        looking = group.once(functools.partial(_unseen, looked, which, plans))
        if not (work or looking or (missing and gate.waits_for(which))):
            continue
        progress.stage(f"loading {spec.text}")
        with pair.open(which) as lm:
            look(which, lm)
            if opened and (lines := pair.warnings()):
                # A resumed run may load the other one alone.
                opened[0].warn(lines)
            for batch in work:
                refuse_long(lm, batch.plan.task, batch.cases(), style)
            progress.stage(f"checking precision of {spec.text}")
            chosen = choose_precision(lm, settings, plans, style)
            scoring.note(f"precision of {which}", chosen)
            for turn in scoring.turns(work):
                scoring.keep(turn, scoring.ask(lm, turn, style))
            if looking:
                progress.stage(f"{which} · wrong answers")
                group.once(functools.partial(_look, looked, which, lm, plans))


def _unseen(looked: Sequence[WrongAnswers], which: Which, plans: Sequence[Plan]) -> bool:
    return any(answers.missing(which, plans) for answers in looked)


def _look(looked: Sequence[WrongAnswers], which: Which, lm: LM, plans: Sequence[Plan]) -> None:
    for answers in looked:
        answers.collect(which, lm, plans)


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
    ]
