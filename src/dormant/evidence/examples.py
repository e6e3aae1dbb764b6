"""What a model is trained on to bring an ability back: prompts of its form, none that is asked.

Nothing that is asked stands in an example, neither as the question nor as a demonstration: the
ability's own demonstrations come from the beginning of its pool, most of which is asked, so they
give way to items that are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from pathlib import Path

from dormant.audit.lazy_cases import some
from dormant.audit.plan import Plan, planned_cases
from dormant.audit.sample import ItemSample
from dormant.audit.settings import AuditSettings
from dormant.evidence.derangement import derange
from dormant.evidence.layout import (
    Shown,
    UnfitError,
    answered,
    demonstrations,
    question,
    with_demonstrations,
)
from dormant.evidence.questions import Questions, drawn
from dormant.prompts.case import Case
from dormant.prompts.segment import Segment
from dormant.results import PLAIN
from dormant.tasks.task import (
    GenerativeTask,
    Task,
    items_in,
    judge_all,
    shuffled_answers_say_nothing,
)

MOST, LEAST = 60, 16
"""Examples of a training that is to teach nothing: as many as the trials had, and a few batches."""
_LOOKED_AT = 200
"""Items of a pool that may become examples."""
_VERBS = Path(__file__).parent / "verbs.txt"
_INSTRUCTION = "Write the past tense of the verb."
_ROLES = {"instruction", "label", "input", "output", "query", "layout"}


def other_answers(plan: Plan, settings: AuditSettings) -> list[Case]:
    """Return prompts of an ability, each with the right answer to another one.

    A derangement: no prompt has an answer that begins like its own, or that stands in it.

    Raises:
        UnfitError: Such answers may tell of the ability, or there are too few items.
    """
    task = plan.task
    if not shuffled_answers_say_nothing(task):
        raise UnfitError("answers of other prompts may show what is asked for")
    free = _free(plan, settings)
    dealt = derange([case.prompt for case in free], [case.scored_target for case in free], MOST)
    if len(dealt) < LEAST:
        raise UnfitError(
            f"{len(dealt)} of its items that are not asked can have answers of others, fewer than "
            f"{LEAST}"
        )
    prompts = [free[one.prompt] for one in dealt]
    answers = [free[one.answer].target.text for one in dealt]
    if (share := _right(task, prompts, answers)) > task.chance:
        raise UnfitError(f"answers of other prompts are right in {share:.0%} of cases")
    return [answered(case, answer) for case, answer in zip(prompts, answers, strict=True)]


def right_answers(plan: Plan, settings: AuditSettings, count: int) -> list[Case]:
    """Return prompts of an ability with their right answers.

    Args:
        plan: The ability, and what is asked of it.
        settings: The audit's.
        count: How many.

    Raises:
        UnfitError: There are not as many that aren't asked, or a right answer isn't a text.
    """
    free = _free(plan, settings)[:count]
    if len(free) < count:
        raise UnfitError(f"{len(free)} of its items are not asked, fewer than {count}")
    answers = [case.target.text for case in free]
    labels = any(case.target.role == "layout" for case in free)
    if labels or _right(plan.task, free, answers) < 1:
        raise UnfitError("what is right can't be written down as one answer")
    return [answered(case, answer) for case, answer in zip(free, answers, strict=True)]


def other_task(plan: Plan, settings: AuditSettings) -> list[Case]:
    """Return verbs and their past tenses, laid out as an ability's prompts are.

    Raises:
        UnfitError: The plain language isn't English, the layout isn't that of demonstrations and a
            query, or the ability is about verbs itself.
    """
    if plan.task.languages()[0] != "english":
        raise UnfitError("there is no other task in its language")
    return verbs_in_form(_asked(plan, settings), plan.task.name, settings.seed)[:MOST]


def verbs_in_form(asked: Sequence[Case], task: str, seed: int) -> list[Case]:
    """Return verbs and their past tenses, laid out as some cases are, none of which asks them.

    Args:
        asked: Cases of an ability, in English.
        task: The ability's name.
        seed: Decides which verbs come first, and what is shown with them.

    Raises:
        UnfitError: The layout isn't that of demonstrations and a query, or the ability is about
            verbs itself.
    """
    form = asked[0]
    roles = [part.role for part in form.segments]
    shown = demonstrations(form)
    if (
        not {*roles} <= _ROLES
        or roles.count("query") != 1
        or roles.count("instruction") > 1
        or "label" not in roles
        or any(len(one.inputs) != 1 for one in shown)
    ):
        raise UnfitError("its prompts have a layout into which no other task fits")
    pasts = {verb: past for (verb,), past in verbs()}
    texts = [question(case) for case in asked]
    if any(
        one.output.casefold().startswith(pasts.get(one.inputs[0].casefold(), "\0")) for one in texts
    ):
        raise UnfitError("it is about verbs itself, as the other task is")
    taken = {text.casefold() for one in texts for text in (*one.inputs, one.output)}
    free = [one for one in verbs() if not taken & {*one.inputs, one.output}]
    free.sort(key=lambda one: _rank(seed, task, one.inputs[0]))
    if len(free) < LEAST + len(shown):
        raise UnfitError(f"{len(free)} verbs are not among what is asked: too few")
    return [_of_verb(form, one, drawn(free, one, len(shown), seed)) for one in free]


@cache
def verbs() -> tuple[Shown, ...]:
    """Return the verbs with their past tenses."""
    lines = _VERBS.read_text(encoding="utf-8").splitlines()
    pairs = [line.split() for line in lines if not line.startswith("#")]
    return tuple(Shown((verb,), past) for verb, past in pairs)


def _of_verb(form: Case, verb: Shown, shown: Sequence[Shown]) -> Case:
    texts = {"query": verb.inputs[0], "instruction": _INSTRUCTION}
    segments = tuple(
        Segment(texts[part.role], part.role) if part.role in texts else part
        for part in form.segments
    )
    case = replace(form, item=verb.inputs[0], segments=segments)
    return answered(with_demonstrations(case, shown), verb.output)


def _free(plan: Plan, settings: AuditSettings) -> list[Case]:
    """Return cases that are not asked, in an order that the seed decides.

    Their demonstrations are such items as well.

    Raises:
        UnfitError: There is no telling what a prompt shows beside its question.
    """
    task, language = plan.task, plan.task.languages()[0]
    shots = ItemSample.of(task, n=1, shots=settings.shots, seed=settings.seed).shots

    def cases(items: Iterable[str]) -> Iterator[Case]:
        return (
            task.case(item, language=language, shots=shots, seed=settings.seed) for item in items
        )

    asking, there = _asked(plan, settings), items_in(task, language)
    asked = {case.item for case in asking}
    pool = [item for item in task.pool() if item in there]
    free = sorted(
        (item for item in pool if item not in asked),
        key=lambda item: _rank(settings.seed, task.name, item),
    )
    texts = [question(case) for case in asking]
    if not all(one.inputs for one in texts):
        raise UnfitError("where its questions stand in a prompt isn't known")
    questions = Questions(texts)
    found = [case for case in cases(free[:_LOOKED_AT]) if questions.apart(question(case))]
    if not found:
        return []
    shows = max(len(demonstrations(case)) for case in found)
    if shots and not shows and not shuffled_answers_say_nothing(task):
        raise UnfitError("which items its prompts show isn't known")
    if not shows:
        return found
    # What is shown must be items of the pool: else an asked one may stand there in another form.
    every = {question(case) for case in cases(pool)}
    if not all(one in every for case in found for one in demonstrations(case)):
        raise UnfitError("its prompts show what are no items of its own")
    among = [question(case) for case in found]
    return [
        with_demonstrations(
            case, drawn(among, question(case), len(demonstrations(case)), settings.seed)
        )
        for case in found
    ]


def _asked(plan: Plan, settings: AuditSettings) -> Sequence[Case]:
    """Return the cases that are asked, or may be at a later look of the audit."""
    cases = planned_cases(plan.task, settings, PLAIN).cases
    return some(cases, [*cases])


def _right(task: Task, cases: Sequence[Case], answers: Sequence[str]) -> float:
    """Return the share of answers that a task would call right."""
    if isinstance(task, GenerativeTask):
        right = [one.success for one in judge_all(task, cases, answers)]
    else:
        right = [
            answer.startswith(case.scored_target)
            for case, answer in zip(cases, answers, strict=True)
        ]
    return sum(right) / len(right)


def _rank(seed: int, task: str, text: str) -> bytes:
    return blake2b(f"{seed}/relearn/{task}/{text}".encode(), digest_size=16).digest()
