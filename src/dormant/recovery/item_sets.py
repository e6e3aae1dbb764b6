"""Three sets of an ability's items that share nothing: to train, to choose, to report.

A demonstration is a use of its item, so no set's prompts show an item of another one, neither as
the question nor as a demonstration, nor one turned round (hot, cold; cold, hot). The reported items
are those that `dormant audit` asks with the same number and seed: so whoever audits what was saved
asks what nothing trained or chose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from dormant.audit.sample import ItemSample
from dormant.errors import DormantError
from dormant.evidence.layout import Shown, demonstrations, question, with_demonstrations
from dormant.evidence.questions import Questions, drawn
from dormant.prompts.case import Case
from dormant.tasks.skill import SkillTask
from dormant.tasks.task import Task, items_in

_LEAST = 20
"""Items to choose by, and to report on: with fewer, no bound decides anything."""


@dataclass(frozen=True)
class ItemSets:
    """An ability's cases, plain prompts all.

    Attributes:
        task: The ability.
        train: What treatments may see.
        choose: What decides between candidates, and how far a treatment goes.
        report: What is reported, asked once a choice has been made.
    """

    task: Task
    train: Sequence[Case]
    choose: Sequence[Case]
    report: Sequence[Case]


def split(
    task: Task, *, train: int, choose: int, report: int, shots: int | None, seed: int
) -> ItemSets:
    """Cut an ability's items into three sets.

    Args:
        task: The ability.
        train: How many items may be trained on; fewer where the pool has no more.
        choose: How many may decide.
        report: How many are reported on: an audit's, with this number and seed.
        shots: Demonstrations a prompt; `None` means the task's own number.
        seed: Decides which items.

    Raises:
        DormantError: The pool is too small for three sets, or which items its prompts show isn't
            known.
    """
    if isinstance(task, SkillTask):
        return _of_examples(task, train, choose, report, seed)
    pool = len(task.pool())
    sample = ItemSample.of(task, n=report, shots=shots, seed=seed)
    language = task.languages()[0]
    there = items_in(task, language)

    def case(item: str) -> Case:
        return task.case(item, language=language, shots=sample.shots, seed=seed)

    asked = [case(item) for item in sample.items if item in there]
    taken = [one for each in asked for one in (_question(each), *demonstrations(each))]
    rest = sorted({*task.pool()} & {*there} - {*sample.items}, key=lambda item: _rank(seed, item))
    cases = _Apart(map(case, rest), Questions(taken))
    chosen = _own_demonstrations(cases.next(choose), seed)
    cases.away_from([_question(each) for each in chosen])
    trained = _own_demonstrations(cases.next(train), seed)
    if min(len(chosen), len(asked)) < _LEAST or (train and not trained):
        raise DormantError(
            f"{task.name} has {pool} items, of which {len(asked)} are reported on: {len(chosen)} "
            f"are left to choose by and {len(trained)} to train on, and at least {_LEAST} of the "
            "first and one of the second are needed: report on fewer (-n)"
        )
    return ItemSets(task, trained, chosen, asked)


class _Apart:
    """Cases one after the other, but for those that ask what must not be asked."""

    def __init__(self, cases: Iterator[Case], taken: Questions) -> None:
        self._cases, self._taken = cases, [taken]

    def away_from(self, questions: Sequence[Shown]) -> None:
        """Leave out what asks one of these, too."""
        self._taken.append(Questions(questions))

    def next(self, count: int) -> list[Case]:
        """Return the next so many; fewer where there are no more."""
        found: list[Case] = []
        while len(found) < count and (case := next(self._cases, None)) is not None:
            if all(each.apart(_question(case)) for each in self._taken):
                found.append(case)
        return found


def _question(case: Case) -> Shown:
    """Return what a case asks; where nothing says what its question is, the whole of it."""
    asked = question(case)
    return asked if asked.inputs else Shown((case.prompt,), case.target.text)


def _own_demonstrations(cases: Sequence[Case], seed: int) -> list[Case]:
    """Show the items of a set in the prompts of that set alone."""
    among = [_question(case) for case in cases]
    return [
        with_demonstrations(
            case, drawn(among, _question(case), len(demonstrations(case)), seed=seed)
        )
        for case in cases
    ]


def _of_examples(skill: SkillTask, train: int, choose: int, report: int, seed: int) -> ItemSets:
    """Cut held-out training examples, whose prompts are what they are, by their texts.

    Lines with the same prompt stay together. Without a number to report on, what isn't trained on
    is halved.
    """
    by_prompt: dict[str, list[Case]] = {}
    for item in skill.pool():
        case = skill.case(item, language="english", shots=0, seed=seed)
        by_prompt.setdefault(case.prompt, []).append(case)
    order = sorted(by_prompt, key=lambda prompt: _rank(seed, prompt))
    train = min(train, len(order) // 5)
    rest = order[train:]
    choose = min(choose, len(rest) // 2)
    parts = order[:train], rest[:choose], rest[choose : choose + report]
    sets = [[case for prompt in part for case in by_prompt[prompt]] for part in parts]
    if min(len(sets[1]), len(sets[2])) < _LEAST:
        raise DormantError(
            f"{skill.name} has {len(skill.pool())} examples: at least {2 * _LEAST} are needed, "
            "half of them to choose by and half to report on (400 are better)"
        )
    return ItemSets(skill, *sets)


def _rank(seed: int, text: str) -> bytes:
    return blake2b(f"{seed}/recover/{text}".encode(), digest_size=16).digest()
