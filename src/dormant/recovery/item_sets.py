"""Three sets of an ability's items that share nothing: to train, to choose, to report.

A demonstration is a use of its item, so no set's prompts show an item of another one, neither as
the question nor as a demonstration, nor one turned round (hot, cold; cold, hot). The reported items
are those that ``dormant audit`` asks with the same number and seed: so whoever audits what was
saved asks what nothing trained or chose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from dormant.audit.sample import ItemSample
from dormant.errors import DormantError
from dormant.evidence.layout import Shown, demonstrations, question, with_demonstrations
from dormant.evidence.questions import Questions, drawn
from dormant.prompts.case import Case
from dormant.tasks.skill import SkillTask
from dormant.tasks.task import Task, items_in, shuffled_answers_say_nothing

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


class Wanted(NamedTuple):
    """How many items an ability's sets are to have.

    Attributes:
        task: The ability.
        train: Items that may be trained on; fewer where the pool has no more.
        choose: Items that decide; 0 for an ability that decides nothing.
        report: Items that are reported on: an audit's, with this number and seed.
    """

    task: Task
    train: int
    choose: int
    report: int


def split(wanted: Sequence[Wanted], *, shots: int | None, seed: int) -> list[ItemSets]:
    """Cut abilities' items into three sets, apart from one another across abilities too.

    Several abilities may ask about one sentence: what is reported for one trains none.

    Args:
        wanted: The abilities.
        shots: Demonstrations a prompt; `None` means each task's own number.
        seed: Decides which items.

    Raises:
        DormantError: A pool is too small for three sets, or which items its prompts show isn't
            known.
    """
    pools = [_Pool(one, shots, seed) for one in wanted]
    reported = Questions([question for pool in pools for question in pool.reported()])
    chosen = [pool.take(one.choose, [reported]) for pool, one in zip(pools, wanted, strict=True)]
    choosing = Questions([_question(case) for cases in chosen for case in cases])
    sets: list[ItemSets] = []
    for pool, one, cases in zip(pools, wanted, chosen, strict=True):
        trained = pool.take(one.train, [reported, choosing])
        few = one.choose and min(len(cases), len(pool.report)) < _LEAST
        if few or (one.train and not trained):
            raise DormantError(
                f"{one.task.name} has {len(one.task.pool())} items, of which {len(pool.report)} "
                f"are reported on: {len(cases)} are left to choose by and {len(trained)} to train "
                f"on, and at least {_LEAST} of the first and one of the second are needed: report "
                "on fewer (-n)"
            )
        train, choose = (_own_demonstrations(some, seed) for some in (trained, cases))
        sets.append(ItemSets(one.task, train, choose, pool.report))
    return sets


class _Pool:
    """An ability's items: those that are reported on, and the others one after the other."""

    def __init__(self, wanted: Wanted, shots: int | None, seed: int) -> None:
        task = wanted.task
        sample = ItemSample.of(task, n=wanted.report, shots=shots, seed=seed)
        language = task.languages()[0]
        there = items_in(task, language)

        def case(item: str) -> Case:
            return task.case(item, language=language, shots=sample.shots, seed=seed)

        self.report = [case(item) for item in sample.items if item in there]
        shown = any(demonstrations(one) for one in self.report)
        if sample.shots and not shown and not shuffled_answers_say_nothing(task):
            raise DormantError(f"{task.name}: which items its prompts show isn't known")
        rest = {*task.pool()} & {*there} - {*sample.items}
        self._rest = map(case, sorted(rest, key=lambda item: _rank(seed, item)))

    def reported(self) -> Iterator[Shown]:
        """Yield all that is asked or shown in what is reported on."""
        for case in self.report:
            yield _question(case)
            yield from demonstrations(case)

    def take(self, count: int, taken: Sequence[Questions]) -> list[Case]:
        """Return the next so many cases that ask none of these; fewer where there are no more."""
        found: list[Case] = []
        while len(found) < count and (case := next(self._rest, None)) is not None:
            if all(each.apart(_question(case)) for each in taken):
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


def split_examples(skill: SkillTask, *, train: int, seed: int) -> ItemSets:
    """Cut held-out training examples, whose prompts are what they are, by their texts.

    Lines with the same prompt stay together. What isn't trained on is halved.

    Args:
        skill: The examples.
        train: How many prompts may be trained on; a fifth at most.
        seed: Decides which.

    Raises:
        DormantError: There are too few.
    """
    by_prompt: dict[str, list[Case]] = {}
    for item in skill.pool():
        case = skill.case(item, language="english", shots=0, seed=seed)
        by_prompt.setdefault(case.prompt, []).append(case)
    order = sorted(by_prompt, key=lambda prompt: _rank(seed, prompt))
    train = min(train, len(order) // 5)
    rest = order[train:]
    parts = order[:train], rest[: len(rest) // 2], rest[len(rest) // 2 :]
    sets = [[case for prompt in part for case in by_prompt[prompt]] for part in parts]
    if min(len(sets[1]), len(sets[2])) < _LEAST:
        raise DormantError(
            f"{skill.name} has {len(skill.pool())} examples: at least {2 * _LEAST} are needed, "
            "half of them to choose by and half to report on (400 are better)"
        )
    return ItemSets(skill, *sets)


def _rank(seed: int, text: str) -> bytes:
    return blake2b(f"{seed}/recover/{text}".encode(), digest_size=16).digest()
