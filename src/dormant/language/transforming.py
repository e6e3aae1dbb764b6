"""Cases under a transform: native text where the task has it, the transform's own otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dormant import transforms
from dormant.errors import DormantError
from dormant.language.cases import Case, Segment
from dormant.language.tasks.task import Task
from dormant.transforms.text import TextTransform, apply_kept

NATIVE = "native"


@dataclass(frozen=True, kw_only=True)
class TransformedCases:
    """What a transform made of a task's items.

    Attributes:
        cases: The case of every item that came through, by item id, in the order asked for.
        excluded: The reason, for every item that did not.
        signature: What was really used, e.g. "french:native" or "spanish@apertium-3.8.3".
        fidelity: Share of the round trip that survives, in [0, 1]; `None` for native text.
    """

    cases: dict[str, Case]
    signature: str
    excluded: dict[str, str] = field(default_factory=dict[str, str])
    fidelity: float | None = None


@dataclass(frozen=True)
class Draw:
    """Which prompts of a task: the items, and the demonstrations before them.

    Attributes:
        items: Source items.
        shots: Demonstrations a prompt.
        seed: Decides the demonstrations.
    """

    items: tuple[str, ...]
    shots: int
    seed: int


def plain_cases(task: Task, draw: Draw) -> TransformedCases:
    """Return the items as they are, in the task's first language."""
    return _native(task, draw, task.languages()[0])


def split_name(task: Task, name: str) -> tuple[str | None, str]:
    """Split a transform's name into the task's native language, if it leads, and the rest.

    ``french+leetspeak`` is ("french", "leetspeak") for a task with French text, and
    (None, "french+leetspeak") for one without; ``french@apertium`` never means native text.
    """
    head, _, rest = name.partition("+")
    return (head, rest) if head in task.languages() else (None, name)


def transformed_cases(task: Task, draw: Draw, name: str) -> TransformedCases:
    """Put a task's items under a transform.

    Args:
        task: The ability.
        draw: Which items, with which demonstrations.
        name: A transform, e.g. "french", "leetspeak", "spanish@apertium", "french+leetspeak".

    Raises:
        DormantError: The transform is unknown, or what it needs is not installed.
    """
    language, rest = split_name(task, name)
    if language is None:
        return apply_transform(plain_cases(task, draw), transforms.get(rest))
    native = _native(task, draw, language)
    return apply_transform(native, transforms.get(rest)) if rest else native


def apply_transform(made: TransformedCases, transform: TextTransform) -> TransformedCases:
    """Apply a text transform to every segment and answer of every case.

    An item with a segment outside the transform's domain, or that the transform can't render, is
    excluded and says why.
    """
    cases: dict[str, Case] = {}
    excluded = dict(made.excluded)
    memory: dict[Segment, Segment | str] = {}
    for item, case in made.cases.items():
        try:
            changed = case.map(lambda segment: _change(segment, transform, memory))
            cases[item] = replace(changed, given=case, undo=transform.invert)
        except DormantError as error:
            excluded[item] = str(error)
    before = "" if made.signature == "plain" else f"{made.signature}+"
    return TransformedCases(
        cases=cases, excluded=excluded, signature=f"{before}{transform.signature}"
    )


def _change(
    segment: Segment, transform: TextTransform, memory: dict[Segment, Segment | str]
) -> Segment:
    # Instructions, labels and demonstrations recur from case to case.
    known = memory.get(segment)
    if known is None:
        try:
            if not transform.in_domain(segment.text):
                raise DormantError(f"outside the domain of {transform.name}")
            known = replace(
                segment, text=apply_kept(transform, segment.text, segment.kept), kept=()
            )
        except DormantError as error:
            known = str(error)
        memory[segment] = known
    if isinstance(known, str):
        raise DormantError(known)
    return known


def _native(task: Task, draw: Draw, language: str) -> TransformedCases:
    plain = language == task.languages()[0]
    return TransformedCases(
        cases={
            item: task.case(item, language=language, shots=draw.shots, seed=draw.seed)
            for item in draw.items
        },
        signature="plain" if plain else f"{language}:{NATIVE}",
    )


def default_transforms(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Return what the paper used: every native language but the plain one, and two word games."""
    native = {name: None for task in tasks for name in task.languages()[1:]}
    return (*native, "leetspeak", "pig-latin")
