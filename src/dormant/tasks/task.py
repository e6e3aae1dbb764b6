"""What a task is: a pool of source items, and a way to put each to a model."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection, Sequence
from inspect import signature
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, cast, runtime_checkable

from dormant.errors import DormantError
from dormant.prompts.case import Case

Measure: TypeAlias = Literal["greedy", "most-likely", "most-likely-whole", "generate"]
"""When an answer is right: greedy decoding begins with the target (the paper's measure); the
target is the likeliest answer per character, after calibration where the case has a content-free
prompt; it is the likeliest as a whole; or the task judges what the model generates."""


class Judgement(NamedTuple):
    """What a task says of a generated answer.

    Attributes:
        success: Whether it counts as a success.
        label: What the task calls the outcome, e.g. "REFUSE".
        language: Code of the language that the answer is in, where the task detects it.
        familiar: Whether the answer is like those that the labels were learnt from; `None` where
            they weren't learnt.
    """

    success: bool
    label: str
    language: str | None = None
    familiar: bool | None = None


@runtime_checkable
class Task(Protocol):
    """An ability to be audited.

    Attributes:
        name: "group/ability", e.g. "icl/copy".
        title: One line for people.
        measure: How success is decided.
        chance: Accuracy of guessing, in [0, 1].
        default_shots: Demonstrations a prompt, where the user doesn't say.
        version: Version of data and template; part of every record's signature.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def measure(self) -> Measure: ...  # noqa: D102
    @property
    def chance(self) -> float: ...  # noqa: D102
    @property
    def default_shots(self) -> int: ...  # noqa: D102
    @property
    def version(self) -> str: ...  # noqa: D102

    def languages(self) -> tuple[str, ...]:
        """Return the languages in which the task has native text; the first is its plain one."""
        ...

    def pool(self) -> tuple[str, ...]:
        """Return the ids of all source items, in a fixed order."""
        ...

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Case:
        """Return one item as a prompt in `language`.

        Args:
            item: An id from the pool.
            language: One of `languages()`.
            shots: Number of demonstrations.
            seed: Decides which demonstrations; the same in every language.
        """
        ...


@runtime_checkable
class GenerativeTask(Task, Protocol):
    """A task whose answers are generated and then judged (measure "generate")."""

    @property
    def max_new_tokens(self) -> int:
        """Length at which generation stops, in tokens."""
        ...

    @property
    def until(self) -> tuple[str, ...]:
        """Texts at which generation stops, left out of the output."""
        ...

    def judge(self, cases: Sequence[Case], outputs: Sequence[str]) -> list[Judgement]:
        """Judge what the model generated, many answers at once.

        What an answer is judged may not depend on which others there are: how many come at once
        is the caller's affair.

        Args:
            cases: The cases as they were put to the model; `Case.given` and `Case.undone` give
                access to what one was before the transform, and to s⁻¹.
            outputs: The model's own words to each, before s⁻¹.

        Returns:
            A judgement of each, in their order.
        """
        ...


def notes_of(task: Task) -> tuple[str, ...]:
    """Return what a task assumed or left out, one line each, for its user to know.

    A task that has something to say has an attribute `notes`.
    """
    return tuple(map(str, getattr(task, "notes", ())))


def judge_all(
    task: GenerativeTask, cases: Sequence[Case], outputs: Sequence[str]
) -> list[Judgement]:
    """Have a task judge, and check what it says: it may be of another package.

    Raises:
        DormantError: The task judges answers one by one, as those written for Dormant 0.1 do, or
            doesn't give each a judgement.
    """
    check_judge(task)
    judgements = task.judge(cases, outputs)
    # Whatever the annotation says: the task may be another package's.
    given: Any = judgements
    if (
        not isinstance(given, list)
        or len(judgements) != len(cases)
        or not all(isinstance(one, Judgement) for one in cast("list[object]", given))
    ):
        raise DormantError(
            f"task {task.name}: judge must return a list of {len(cases)} Judgements for as many "
            f"cases, and returned {str(given)[:80]!r}"
        )
    return judgements


def check_judge(task: Task) -> None:
    """Refuse a task that judges one by one.

    Raises:
        DormantError: It does.
    """
    if isinstance(task, GenerativeTask) and "output" in signature(task.judge).parameters:
        raise DormantError(
            f"task {task.name}: its judge(case, output) is that of Dormant 0.1; it must be "
            "judge(cases, outputs) and return a list of Judgements"
        )


def stages_of(task: Task) -> tuple[int, ...]:
    """Return how long a task's pool was after each time that it grew; the last is its length now.

    A task whose pool grew has an attribute `stages`, and its earlier items stand first.
    """
    return tuple(getattr(task, "stages", ())) or (len(task.pool()),)


def items_in(task: Task, language: str) -> Collection[str]:
    """Return the items that have native text in a language.

    A task that lacks some in some language has a method `items_in`; others have all in all.
    """
    known: Callable[[str], Collection[str]] | None = getattr(task, "items_in", None)
    return task.pool() if known is None else known(language)


def shuffled_answers_say_nothing(task: Task) -> bool:
    """Say whether right answers, given to *other* prompts, tell nothing of the ability.

    So it is where an answer follows from its own prompt alone: whoever learns such answers learns
    no more than what an answer looks like. It is not where that *is* the ability (capitals, a
    language, a form, a small set of labels). A task for which it is so has an attribute of this
    name that is true.
    """
    return bool(getattr(task, "shuffled_answers_say_nothing", False))


def draw_items(task: Task, n: int, seed: int) -> tuple[str, ...]:
    """Draw `n` source items from a task's pool, without replacement, in pool order.

    The pool's stages are drawn one after the other: a later one is touched only where all items
    before it are taken, so that a pool may grow and small samples stay what they were.

    Raises:
        DormantError: `n` is below 1 or larger than the pool.
    """
    pool = task.pool()
    if n < 1:
        raise DormantError(f"the number of items must be at least 1, not {n}")
    if n > len(pool):
        raise DormantError(
            f"{task.name} has {len(pool)} items, fewer than the {n} asked for: "
            f"ask for at most {len(pool)}"
        )
    first, *later = stages_of(task)
    chosen = set(random.Random(f"{seed}/{task.name}").sample(pool[:first], min(n, first)))
    for start, end in pairwise((first, *later)):
        stage = in_random_order(pool[start:end], f"{seed}/{task.name}")
        chosen.update(stage[: n - len(chosen)])
    return tuple(item for item in pool if item in chosen)


def in_random_order(items: Sequence[str], stream: str) -> tuple[str, ...]:
    """Return items in an order that hangs on their names and on the stream's, and nothing else."""
    return tuple(
        sorted(items, key=lambda item: hashlib.sha256(f"{stream}/{item}".encode()).digest())
    )
