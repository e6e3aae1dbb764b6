"""From a finished run's outcomes to its verdicts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from dormant.audit.lazy_cases import some
from dormant.audit.plan import Plan
from dormant.audit.run_dir import UNDER, CellKey, RunDirectory
from dormant.audit.score import log_odds_per_byte, nats_a_character
from dormant.audit.settings import AuditSettings
from dormant.audit.wrong_answers import WrongAnswers
from dormant.errors import DormantError
from dormant.models.comparability import reads_otherwise
from dormant.prompts.case import Case
from dormant.results import (
    AS_TRAINED,
    PLAIN,
    AbilityResult,
    AuditResults,
    Comparison,
    ItemOutcome,
    NotTried,
    Rung,
    SkillResult,
)
from dormant.statistics import Success, Successes, judge_ability, plain_cells, transform_cells
from dormant.statistics.skill import judge_skill, judge_skill_by_likelihood
from dormant.tasks.skill import by_likelihood

_AT_ONCE = 256
"""Cases made together."""


def judge(
    settings: AuditSettings,
    plans: Sequence[Plan],
    run: RunDirectory,
    seen: Comparison,
    warnings: list[str],
    wrong_answers: WrongAnswers | None = None,
    not_tried: Mapping[str, Sequence[NotTried]] | None = None,
    up_to: Rung = "prompt",
) -> AuditResults:
    """Turn a finished run's outcomes into verdicts, one ability in memory at a time.

    Args:
        settings: The audit's.
        plans: Its abilities, and the skill.
        run: Where its outcomes are.
        seen: What was seen of the pair before it was scored.
        warnings: What a reader should know first.
        wrong_answers: Those that were looked at, where the training data are known.
        not_tried: What would have been evidence and could not be run, by ability.
        up_to: The highest rung that abilities may climb.
    """
    facts = seen.comparability
    per_byte = reads_otherwise(facts.base, facts.tuned)
    skills = [_judge_skill(settings, one, run) for one in plans if one.skill]
    return AuditResults(
        base=settings.base,
        tuned=settings.tuned,
        settings={
            **run.manifest["settings"],
            "evidence": up_to,
            **_notes(run, {name for ability in plans for name in ability.cells}),
        },
        versions=dict(run.manifest["versions"]),
        abilities=[
            _judge_plan(
                settings,
                ability,
                run,
                per_byte,
                wrong_answers,
                (not_tried or {}).get(ability.task.name, ()),
                up_to,
            )
            for ability in plans
            if ability.audited
        ],
        skill=skills[0] if skills else None,
        warnings=warnings,
        effect=seen.effect,
        comparability=facts if facts.tuned is not None else None,
        log_odds_unit="nats per byte" if per_byte else "nats",
    )


def _notes(run: RunDirectory, cells: Collection[str]) -> dict[str, str]:
    """Return what was decided on the way, but for rungs that were asked for another time."""
    return {
        subject: text
        for subject, text in run.notes().items()
        if UNDER not in subject or subject.rpartition(UNDER)[2] in cells
    }


def _judge_plan(
    settings: AuditSettings,
    ability: Plan,
    run: RunDirectory,
    per_byte: bool,
    wrong_answers: WrongAnswers | None,
    not_tried: Sequence[NotTried],
    up_to: Rung,
) -> AbilityResult:
    task = ability.task

    def read(name: str) -> tuple[list[str], Successes, Successes | None]:
        """Return a cell's items, and the outcomes of the tuned model and of the base."""
        cases = ability.cells[name].cases
        items = list(cases)
        odds = _per_byte(cases) if per_byte else None
        tuned = _successes(run, CellKey("tuned", task.name, name), items, odds)
        if settings.base is None:
            return items, tuned, None
        return items, tuned, _successes(run, CellKey("base", task.name, name), items, odds)

    transformed = {
        name: transform_cells(
            name,
            *read(name),
            signature=cell.signature,
            excluded=cell.excluded.values(),
            fidelity=cell.fidelity,
            rung=ability.rungs.get(name, "prompt"),
        )
        for name, cell in ability.cells.items()
        if name != PLAIN
    }
    as_trained = transformed.pop(AS_TRAINED, None)
    items, tuned, base = read(PLAIN)
    judged = judge_ability(
        task.name,
        plain_cells(items, tuned, base),
        list(transformed.values()),
        as_trained=as_trained,
        not_tried=not_tried,
        title=task.title,
        margin=settings.margin,
        chance=task.chance,
        seed=settings.seed,
        looks=ability.looks,
        # Without a base nothing climbs.
        up_to=None if settings.base is None else up_to,
    )
    if wrong_answers is None:
        return judged
    wrong = sum(not tuned[item].correct for item in items)
    return judged.model_copy(update={"hijack": wrong_answers.result(task.name, wrong)})


def _judge_skill(settings: AuditSettings, skill: Plan, run: RunDirectory) -> SkillResult:
    """Say whether tuning taught what it was to teach."""
    task, items = skill.task, list(skill.cells[PLAIN].cases)
    cells = [CellKey("tuned", task.name, PLAIN)]
    if settings.base is not None:
        cells.append(CellKey("base", task.name, PLAIN))
    if by_likelihood(task) and len(items) > 1:
        tuned, *base = (_likelihoods(run, cell, items) for cell in cells)
        return judge_skill_by_likelihood(
            task.name, tuned, base[0] if base else None, title=task.title
        )
    tuned, *base = (_successes(run, cell, items) for cell in cells)
    return judge_skill(
        task.name,
        items,
        tuned,
        base[0] if base else None,
        title=task.title,
        margin=settings.margin,
        looks=skill.looks,
    )


def _likelihoods(run: RunDirectory, cell: CellKey, items: Sequence[str]) -> list[float]:
    """Read the log-probability of each right answer, nats a character."""
    known = {outcome.item: nats_a_character(outcome) for outcome in run.outcomes(cell)}
    return [known[item] for item in items]


def _per_byte(cases: Mapping[str, Case]) -> Callable[[ItemOutcome], float | None]:
    """Return log-odds for models with different tokens: log-probabilities are per byte of answer.

    A model with longer tokens spreads an answer's probability over fewer choices.
    """
    items = list(cases)
    answers = {
        case.item: case.answers
        for start in range(0, len(items), _AT_ONCE)
        for case in some(cases, items[start : start + _AT_ONCE])
    }

    def odds(outcome: ItemOutcome) -> float | None:
        if outcome.log_odds is None:
            return None
        return log_odds_per_byte(outcome, answers[outcome.item])

    return odds


def _successes(
    run: RunDirectory,
    cell: CellKey,
    items: Iterable[str],
    odds: Callable[[ItemOutcome], float | None] | None = None,
) -> Successes:
    """Read what the verdict needs of a cell: two numbers an item.

    Args:
        run: Where it is.
        cell: The cell.
        items: The items to judge.
        odds: Returns an outcome's log-odds; by default they are as they were scored.

    Raises:
        DormantError: An item was not scored.
    """
    successes = (
        {score.item: Success(score.correct, score.log_odds) for score in run.scores(cell)}
        if odds is None
        else {
            outcome.item: Success(outcome.correct, odds(outcome)) for outcome in run.outcomes(cell)
        }
    )
    missing = [item for item in items if item not in successes]
    if missing:
        raise DormantError(
            f"{run.cell_file(cell)}: {len(missing)} items are missing, {missing[0]} first; "
            "start the run again to score them"
        )
    return successes
