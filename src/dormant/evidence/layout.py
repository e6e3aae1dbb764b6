"""What stands where in a case: its question, and the demonstrations before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from dormant.errors import DormantError
from dormant.prompts.case import Case
from dormant.prompts.segment import Segment


class UnfitError(DormantError):
    """An ability gives no examples of some kind; the message says why."""


class Shown(NamedTuple):
    """A question with its answer, as a demonstration has them.

    Attributes:
        inputs: The texts of its input, one a segment.
        output: The text of its answer.
    """

    inputs: tuple[str, ...]
    output: str


def question(case: Case) -> Shown:
    """Return what a case asks, with its right answer."""
    asked = tuple(part.text for part in case.segments if part.role == "query")
    return Shown(asked, case.target.text)


def demonstrations(case: Case) -> list[Shown]:
    """Return a case's demonstrations.

    Raises:
        UnfitError: Inputs and outputs don't take turns.
    """
    shown: list[Shown] = []
    inputs: list[str] = []
    for part in case.segments:
        if part.role == "input":
            inputs.append(part.text)
        elif part.role == "output":
            shown.append(Shown(tuple(inputs), part.text))
            inputs = []
    if inputs or not all(one.inputs for one in shown):
        raise UnfitError("its demonstrations are laid out in a way that isn't known")
    return shown


def with_demonstrations(case: Case, shown: Sequence[Shown]) -> Case:
    """Return a case with other demonstrations, as many and of the same shape as it has."""
    inputs = iter([text for one in shown for text in one.inputs])
    outputs = iter([one.output for one in shown])
    texts = {"input": inputs, "output": outputs}
    segments = tuple(
        Segment(next(texts[part.role]), part.role) if part.role in texts else part
        for part in case.segments
    )
    return replace(case, segments=segments)


def answered(case: Case, answer: str) -> Case:
    """Return a case as a training example: its prompt, and the whole of an answer behind it."""
    return replace(
        case, target=Segment(answer), distractor=None, others=(), target_words=None, content_free=()
    )
