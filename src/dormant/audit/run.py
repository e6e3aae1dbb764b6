"""The audit: four cells, end to end.

{base, tuned} × {plain, s}, the same source items in all four, scored batch by batch into a run
directory, then judged (`dormant.statistics`).
"""

from __future__ import annotations

import functools
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from dormant import tasks
from dormant.audit.process_group import Team
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.audit.sample import ItemSample
from dormant.audit.transformed import (
    TransformedCases,
    default_transforms,
    explain,
    plain_cases,
    transformed_cases,
)
from dormant.errors import DormantError
from dormant.models import load as models
from dormant.models.load import Answer, LoadOptions, ModelPair, Which
from dormant.models.spec import ModelSpec, parse
from dormant.progress import Progress, Silent
from dormant.prompts.case import Case
from dormant.results import PLAIN, AbilityResult, AuditResults, ItemOutcome, Record
from dormant.rundirs import versions
from dormant.statistics import PlainCells, TransformCells, judge_ability
from dormant.tasks.task import GenerativeTask, Task
from dormant.transforms.fidelity import MIN_CHRF, Gate

if TYPE_CHECKING:
    from lm_eval.api.model import LM

Style: TypeAlias = Literal["raw", "chat"]

Job: TypeAlias = "tuple[CellKey, Plan, list[str]]"
"""One batch of one cell."""

_REASONS_TOLD = 3
LIBRARIES = ("dormant", "torch", "transformers", "peft", "lm-eval", "numpy", "scipy")
"""All that touch a number."""


class AuditSettings(Record):
    """Everything that decides an audit's numbers; kept in its run directory.

    Attributes:
        base: The base model's specification; `None` audits the tuned model alone.
        tuned: The fine-tuned model's.
        tasks: Abilities or groups of them.
        transforms: Names; empty means every native language, leetspeak and pig latin.
        n: Items an ability; `None` means 100, or the whole pool where it is smaller.
        shots: Demonstrations a prompt; `None` means the task's own number (icl: 2, as the paper).
        seed: Decides items, demonstrations, halves and resamples.
        base_prompts: "raw", or "chat" to put each prompt into the base's chat template.
        tuned_prompts: Likewise for the tuned model.
        margin: Drop, as a fraction, that counts as one (verdicts).
        min_chrf: Least round-trip chrF, 0 … 100, at which an item counts as translated; items below
            it are left out of all four cells.
        batch: Prompts a batch: what a kill may lose.
        dtype: See `LoadOptions`.
        device: See `LoadOptions`.
        scorer: See `LoadOptions`.
        keep_generations: Keep generated text in the records.
    """

    base: str | None
    tuned: str
    tasks: tuple[str, ...] = ("icl", "icl_vs_if")
    transforms: tuple[str, ...] = ()
    n: int | None = None
    shots: int | None = Field(default=None, ge=0)
    seed: int = 0
    base_prompts: Style = "raw"
    tuned_prompts: Style = "raw"
    margin: float = Field(default=0.05, gt=0, lt=1)
    min_chrf: float = Field(default=MIN_CHRF, ge=0, le=100)
    batch: int = Field(default=64, ge=1)
    dtype: str = "auto"
    device: str = "auto"
    scorer: models.Scorer = "fast"
    keep_generations: bool = False


def default_directory(settings: AuditSettings) -> Path:
    """Return ``runs/BASE--TUNED``, with what names can't hold in file names replaced."""
    names = [name for name in (settings.base, settings.tuned) if name is not None]
    return Path("runs") / "--".join(re.sub(r"[^\w.-]+", "-", name).strip("-.") for name in names)


@dataclass(frozen=True)
class Plan:
    """One ability's work: its items, plain and under each transform.

    Attributes:
        task: The ability.
        made: Cases by transform name; `PLAIN` first.
        batches: The item ids of each cell, in batches, by transform name.
    """

    task: Task
    made: dict[str, TransformedCases]
    batches: dict[str, list[list[str]]]


def audit(settings: AuditSettings, out: Path, progress: Progress | None = None) -> AuditResults:
    """Run an audit, or resume the one in `out`.

    Args:
        settings: What to audit and how.
        out: The run directory; made if missing, resumed if it holds the same run.
        progress: Told how far it is.

    Returns:
        The results, which are also in ``out/results.json``.

    Raises:
        DormantError: Bad input, a model that can't be loaded, a disk that is full. What was
            scored before is in `out`, and the same call goes on from there.
    """
    team = Team()
    try:
        return _audit(settings, out, (progress if team.first else None) or Silent(), team)
    finally:
        team.close()


def _audit(settings: AuditSettings, out: Path, progress: Progress, team: Team) -> AuditResults:
    began = time.monotonic()
    pair, full = _resolve(settings)
    progress.stage("preparing prompts")
    plans = [plan(task, settings) for task in tasks.get(settings.tasks)]
    # A user's file may change between a run and its resumption.
    full["task_versions"] = {made.task.name: made.task.version for made in plans}
    # So may the translator: another engine or version would mix two translations in one cell.
    full["transforms_used"] = {
        f"{ability.task.name} under {name}": made.signature
        for ability in plans
        for name, made in ability.made.items()
        if name != PLAIN
    }
    work = [
        (cell, ability, batch)
        for cell, ability in _cells(settings, plans)
        for batch in ability.batches[cell.transform]
    ]
    opened: list[RunDirectory] = []

    def start() -> list[bool]:
        opened.append(RunDirectory.start(out, full, versions(*LIBRARIES)))
        return [
            ready
            for cell, ability in _cells(settings, plans)
            for ready in opened[0].finished(cell, ability.batches[cell.transform])
        ]

    def finish() -> AuditResults:
        progress.stage("estimating")
        (run,) = opened
        run.write_excluded(
            {
                ability.task.name: {
                    n: why for n, made in ability.made.items() if (why := explain(made))
                }
                for ability in plans
            }
        )
        found = judge(settings, plans, run, warnings=_warnings(settings, pair, plans, run))
        found = found.model_copy(update={"wall_seconds": round(time.monotonic() - began, 1)})
        run.write_results(found)
        return found

    try:
        ready = team.once(start)
        sizes = [_size(*job) for job in work]
        progress.start(sum(sizes), sum(s for s, done in zip(sizes, ready, strict=True) if done))
        missing = [job for job, done in zip(work, ready, strict=True) if not done]
        _score_all(settings, pair, plans, missing, opened, progress, team)
        return team.once(finish)
    finally:
        for run in opened:
            run.close()


def plan(task: Task, settings: AuditSettings) -> Plan:
    """Choose an ability's items and put them under every transform.

    Raises:
        DormantError: More items are asked for than the pool has, or a transform is unknown.
    """
    sample = ItemSample.of(task, n=settings.n, shots=settings.shots, seed=settings.seed)
    made = {PLAIN: plain_cases(task, sample)}
    for name in settings.transforms or default_transforms([task]):
        made[name] = transformed_cases(task, sample, name, Gate(chrf=settings.min_chrf))
    batches = {
        name: [
            list(cell.cases)[start : start + settings.batch]
            for start in range(0, len(cell.cases), settings.batch)
        ]
        for name, cell in made.items()
    }
    return Plan(task, made, batches)


def _resolve(settings: AuditSettings) -> tuple[ModelPair, dict[str, object]]:
    """Resolve the model names; return the pair and the settings with fingerprints."""
    base = parse(settings.base) if settings.base is not None else None
    tuned = parse(settings.tuned)
    pair = ModelPair(base, tuned, LoadOptions(settings.dtype, settings.device, settings.scorer))
    full: dict[str, object] = settings.model_dump(mode="json")
    full["fingerprints"] = {
        "base": base.fingerprint() if base else None,
        "tuned": tuned.fingerprint(),
    }
    return pair, full


def _cells(settings: AuditSettings, plans: Sequence[Plan]) -> Iterator[tuple[CellKey, Plan]]:
    """Every cell, in the order in which it is scored: one model, then the other."""
    sides: tuple[Which, ...] = ("tuned",) if settings.base is None else ("base", "tuned")
    for which in sides:
        for ability in plans:
            for name in ability.made:
                yield CellKey(which, ability.task.name, name), ability


def _score_all(
    settings: AuditSettings,
    pair: ModelPair,
    plans: Sequence[Plan],
    missing: Sequence[Job],
    opened: Sequence[RunDirectory],
    progress: Progress,
    team: Team,
) -> None:
    """Score batches, one model after the other, a round of the team at a time."""
    sides: tuple[tuple[Which, ModelSpec | None, Style], ...] = (
        ("base", pair.base, settings.base_prompts),
        ("tuned", pair.tuned, settings.tuned_prompts),
    )
    for which, spec, style in sides:
        work = [job for job in missing if job[0].model == which]
        if not work or spec is None:
            continue
        progress.stage(f"loading {spec.text}")
        with pair.open(which) as lm:
            progress.stage(f"checking precision of {spec.text}")
            chosen = models.choose_precision(lm, *_sample(lm, plans, style))
            if opened and chosen:
                opened[0].note(f"precision of {which}", chosen)
            for start in range(0, len(work), team.size):
                round_ = work[start : start + team.size]
                mine = round_[team.rank] if team.rank < len(round_) else None
                found = team.share(functools.partial(_score_job, lm, mine, style, progress))
                for job, outcomes in zip(round_, found, strict=False):
                    if opened:
                        _keep(settings, opened[0], job[0], outcomes)
                    progress.advance(_size(*job))


def _score_job(lm: LM, job: Job | None, style: Style, progress: Progress) -> list[ItemOutcome]:
    if job is None:
        return []
    cell, ability, batch = job
    progress.stage(f"{cell.model} · {cell.task} · {cell.transform}")
    cases = [ability.made[cell.transform].cases[item] for item in batch]
    return score_cases(lm, ability.task, cases, style)


def _sample(lm: LM, plans: Sequence[Plan], style: Style) -> tuple[list[str], list[list[str]]]:
    """One prompt of each cell: the same whether a run is new or resumed."""
    cases = [
        next(iter(made.cases.values()))
        for ability in plans
        if not isinstance(ability.task, GenerativeTask)
        for made in ability.made.values()
        if made.cases
    ]
    prompts = [_rendered(lm, case, case.prompt, style) for case in cases]
    return prompts, [_continuations(case, style) for case in cases]


def _rendered(lm: LM, case: Case, prompt: str, style: Style) -> str:
    return models.render(lm, prompt, case.style or style)


def _continuations(case: Case, style: Style) -> list[str]:
    prefix = case.answer_prefix if (case.style or style) == "raw" else ""
    return [f"{prefix}{answer}" for answer in case.answers]


def _keep(
    settings: AuditSettings, run: RunDirectory, cell: CellKey, outcomes: Sequence[ItemOutcome]
) -> None:
    where: dict[str, object] = {"model": cell.model, "transform": cell.transform, "run": run.id}
    if not settings.keep_generations:
        where["output"] = None
    run.append(cell, [outcome.model_copy(update=where) for outcome in outcomes])


def score_cases(lm: LM, task: Task, cases: Sequence[Case], style: Style) -> list[ItemOutcome]:
    """Put cases to a model.

    Args:
        lm: The model.
        task: Decides what success is.
        cases: N cases.
        style: Raw prompts, or the model's chat template, where the case doesn't say.

    Returns:
        N outcomes, whose model and transform are for the caller to fill in.

    Raises:
        DormantError: A prompt is longer than the model's context (its item is named), or a
            log-probability is not a number.
    """
    prompts = [_rendered(lm, case, case.prompt, style) for case in cases]
    if isinstance(task, GenerativeTask):
        return _generate_cases(lm, task, cases, prompts)
    answers = [_continuations(case, style) for case in cases]
    _refuse_long(lm, task, cases, prompts, answers)
    rows = models.score(lm, prompts, answers)
    calibrations = _calibrations(lm, cases, answers, style)
    return [
        _outcome(task, case, prompt, row, calibration)
        for case, prompt, row, calibration in zip(cases, prompts, rows, calibrations, strict=True)
    ]


def _calibrations(
    lm: LM, cases: Sequence[Case], answers: Sequence[Sequence[str]], style: Style
) -> list[tuple[float, ...]]:
    """Score the answers to each distinct content-free prompt once; empty for cases without one."""
    keys = [
        (_rendered(lm, case, text, style) if (text := case.content_free_prompt) else "", tuple(row))
        for case, row in zip(cases, answers, strict=True)
    ]
    distinct = list(dict.fromkeys(key for key in keys if key[0]))
    if not distinct:
        return [() for _ in cases]
    rows = models.score(lm, [text for text, _ in distinct], [row for _, row in distinct])
    known = {
        key: tuple(answer.logprob for answer in row)
        for key, row in zip(distinct, rows, strict=True)
    }
    return [known.get(key, ()) for key in keys]


def _outcome(
    task: Task,
    case: Case,
    prompt: str,
    row: Sequence[Answer],
    calibration: tuple[float, ...] = (),
) -> ItemOutcome:
    target, wrong = row[0], row[1:]
    distractor = wrong[0] if case.distractor is not None else None
    others = wrong[1:] if distractor is not None else wrong
    if task.measure in ("most-likely", "most-likely-whole"):
        whole = task.measure == "most-likely-whole"
        scores = [
            (answer.logprob - content_free) / (1 if whole else max(1, len(text)))
            for answer, content_free, text in zip(
                row, calibration or [0.0] * len(row), case.answers, strict=True
            )
        ]
        correct = scores[0] > max(scores[1:], default=-math.inf)
    else:
        correct = target.greedy
    return ItemOutcome(
        model="base",
        task=task.name,
        transform=PLAIN,
        item=case.item,
        prompt=prompt,
        target=case.scored_target,
        distractor=case.distractor.text if case.distractor is not None else None,
        target_logprob=target.logprob,
        distractor_logprob=distractor.logprob if distractor else None,
        target_greedy=target.greedy,
        distractor_greedy=distractor.greedy if distractor else None,
        other_logprobs=tuple(answer.logprob for answer in others),
        content_free_logprobs=calibration,
        correct=correct,
        log_odds=target.logprob - _log_sum_exp([a.logprob for a in wrong]) if wrong else None,
    )


def _generate_cases(
    lm: LM, task: GenerativeTask, cases: Sequence[Case], prompts: Sequence[str]
) -> list[ItemOutcome]:
    # Under a transform an answer's last words are others: they are looked for after s⁻¹.
    changed = any(case.undo for case in cases)
    until = [stop for stop in task.until if not (changed and stop.strip())]
    outputs = models.generate(lm, prompts, max_new_tokens=task.max_new_tokens, until=until)
    found: list[ItemOutcome] = []
    for case, prompt, output in zip(cases, prompts, outputs, strict=True):
        correct, label, language = task.judge(case, output)
        found.append(
            ItemOutcome(
                model="base",
                task=task.name,
                transform=PLAIN,
                item=case.item,
                prompt=prompt,
                target=case.scored_target,
                target_logprob=None,
                target_greedy=correct,
                correct=correct,
                label=label,
                output=output,
                output_language=language,
            )
        )
    return found


def _refuse_long(
    lm: LM,
    task: Task,
    cases: Sequence[Case],
    prompts: Sequence[str],
    answers: Sequence[Sequence[str]],
) -> None:
    """Raise for a prompt that the harness would cut without a word."""
    encode: Callable[[str], Sequence[int]] | None = getattr(lm, "tok_encode", None)
    limit: int | None = getattr(lm, "max_length", None)
    if encode is None or limit is None:
        return
    for case, prompt, row in zip(cases, prompts, answers, strict=True):
        longest = max(row, key=len)
        # A token is at least one byte, so most prompts need no counting.
        if len((prompt + longest).encode()) <= limit:
            continue
        length = len(encode(prompt + longest))
        if length > limit:
            raise DormantError(
                f"{task.name}, item {case.item}: {length} tokens, but the model's context holds "
                f"{limit}: use fewer --shots or shorter items"
            )


def _size(cell: CellKey, ability: Plan, batch: Sequence[str]) -> int:
    """Return a batch's characters, as its first prompt's tell: progress is counted in them."""
    return len(batch) * len(ability.made[cell.transform].cases[batch[0]].prompt)


def _log_sum_exp(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def _warnings(
    settings: AuditSettings, pair: ModelPair, plans: Sequence[Plan], run: RunDirectory
) -> list[str]:
    found = pair.warnings()
    if settings.base is not None and settings.base_prompts != settings.tuned_prompts:
        found.append(
            f"base prompts are {settings.base_prompts}, tuned prompts {settings.tuned_prompts}: "
            "a difference between the models may come from the template"
        )
    then, now = run.manifest["versions"], versions(*LIBRARIES)
    changed = [
        f"{name} {then.get(name)} → {now[name]}" for name in now if then.get(name) != now[name]
    ]
    if changed:
        found.append(f"the run was begun with other versions: {', '.join(changed)}")
    return found + [
        _left_out(ability, name)
        for ability in plans
        for name in ability.made
        if ability.made[name].excluded
    ]


def _left_out(ability: Plan, name: str) -> str:
    made = ability.made[name]
    reasons = Counter(made.excluded.values()).most_common(_REASONS_TOLD)
    told = "; ".join(f"{count} × {reason}" for reason, count in reasons)
    rest = len(made.excluded) - sum(count for _, count in reasons)
    return (
        f"{ability.task.name} under {name}: {len(made.excluded)} of "
        f"{len(made.excluded) + len(made.cases)} items are left out of all four cells ({told}"
        f"{f'; {rest} × others' if rest else ''})"
    )


def judge(
    settings: AuditSettings, plans: Sequence[Plan], run: RunDirectory, warnings: list[str]
) -> AuditResults:
    """Turn a finished run's outcomes into verdicts, one ability in memory at a time."""
    return AuditResults(
        base=settings.base,
        tuned=settings.tuned,
        settings={**run.manifest["settings"], **run.notes()},
        versions=dict(run.manifest["versions"]),
        abilities=[_judge_plan(settings, ability, run) for ability in plans],
        warnings=warnings,
    )


def _judge_plan(settings: AuditSettings, ability: Plan, run: RunDirectory) -> AbilityResult:
    task = ability.task
    two_cells = settings.base is None

    def read(which: Which, name: str) -> _Column:
        return _column(run, CellKey(which, task.name, name), list(ability.made[name].cases))

    transforms: list[TransformCells] = []
    for name, made in ability.made.items():
        if name == PLAIN:
            continue
        tuned, base = read("tuned", name), None if two_cells else read("base", name)
        transforms.append(
            TransformCells(
                name=name,
                signature=made.signature,
                items=list(made.cases),
                tuned=tuned.correct,
                base=base.correct if base else None,
                tuned_log_odds=tuned.log_odds,
                base_log_odds=base.log_odds if base else None,
                exclusions=Counter(made.excluded.values()),
                fidelity=made.fidelity,
            )
        )
    tuned, base = read("tuned", PLAIN), None if two_cells else read("base", PLAIN)
    plain = PlainCells(
        items=list(ability.made[PLAIN].cases),
        tuned=tuned.correct,
        base=base.correct if base else None,
        tuned_log_odds=tuned.log_odds,
        base_log_odds=base.log_odds if base else None,
    )
    return judge_ability(
        task.name,
        plain,
        transforms,
        title=task.title,
        margin=settings.margin,
        chance=task.chance,
        seed=settings.seed,
    )


@dataclass(frozen=True)
class _Column:
    """One cell's outcomes, in the order of its items."""

    correct: list[bool]
    log_odds: list[float] | None


def _column(run: RunDirectory, cell: CellKey, items: Sequence[str]) -> _Column:
    found = {outcome.item: (outcome.correct, outcome.log_odds) for outcome in run.outcomes(cell)}
    missing = [item for item in items if item not in found]
    if missing:
        raise DormantError(
            f"{run.cell_file(cell)}: {len(missing)} items are missing, {missing[0]} first; "
            "start the run again to score them"
        )
    odds = [found[item][1] for item in items]
    return _Column(
        correct=[found[item][0] for item in items],
        log_odds=None if any(o is None for o in odds) else [o for o in odds if o is not None],
    )
