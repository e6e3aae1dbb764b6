"""How the answers of a user's examples are judged, and which answers can't be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from dormant.errors import DormantError, unknown
from dormant.tasks.custom.schema import ACCEPTS, Accept
from dormant.tasks.examples import Example, labels_of
from dormant.tasks.task import Measure

LONGEST = 60
"""Characters, about ten words, that a model may be asked to write word for word."""
OTHERS = 3
"""Answers to other prompts with which one's own is compared."""

_NAMES = ("greedy", "first=N", "likeliest", *ACCEPTS)
_GENERATED = {
    "starts": "the answer that a model writes begins with its answer",
    "contains": "the answer that a model writes contains its answer",
    "exact": "the answer that a model writes is its answer",
}


@dataclass(frozen=True)
class Judging:
    """How success is decided.

    Attributes:
        measure: As tasks name it.
        words: How an item is right, for people: "an item is right where …".
        labels: The answers to choose from, where they are labels.
        others: How many answers of other items one's own is compared with.
        first: How many leading words of an answer count; `None` for all.
        accept: For answers that are generated: how one is compared.
    """

    measure: Measure
    words: str
    labels: tuple[str, ...] = ()
    others: int = 0
    first: int | None = None
    accept: Accept | None = None


def judging(path: Path, examples: Sequence[Example], name: str = "") -> Judging:
    """Decide how examples are judged.

    Answers that are labels: the likeliest of them counts. Other short answers: greedy decoding must
    begin with them. Longer ones are texts of their own, which no model writes word for word: both
    models would score 0, and the drop would be 0 whatever was lost. So they are refused until
    the user says how they are judged.

    Args:
        path: Their file, for messages.
        examples: The examples.
        name: What the user says: "greedy", "first=3", "likeliest", "starts", "contains", "exact".

    Raises:
        DormantError: The name is unknown, or the answers are long and there is none.
    """
    if name:
        return _named(path, examples, name)
    if len(labels := labels_of(examples)) > 1:
        listed = ", ".join(labels[:4]) + (", …" if len(labels) > 4 else "")
        return Judging(
            "most-likely-whole",
            f"its answer is the likeliest of the {len(labels)} labels ({listed})",
            labels=labels,
        )
    lengths = [len(example.completion.strip()) for example in examples]
    if median(lengths) > LONGEST:
        words = round(median(len(example.completion.split()) for example in examples))
        raise DormantError(
            f"{path}: its answers are texts of {words} words (median), which no model writes word "
            f"for word: say how they are judged: {path}@first=3 (greedy decoding begins with their "
            f"first three words), {path}@likeliest (likelier than the answers to {OTHERS} other "
            "prompts), or write a task (docs/tasks.md)"
        )
    return _greedy()


def long_ones(examples: Sequence[Example]) -> list[Example]:
    """Return the examples whose answers are too long to be written word for word."""
    return [each for each in examples if len(each.completion.strip()) > LONGEST]


def _named(path: Path, examples: Sequence[Example], name: str) -> Judging:
    if name == "greedy":
        return _greedy()
    if name == "likeliest":
        if len(examples) <= OTHERS:
            raise DormantError(f"{path}@likeliest: {OTHERS + 1} examples are needed at least")
        return Judging(
            "most-likely",
            f"its answer is likelier, per character, than the answers to {OTHERS} other prompts",
            others=OTHERS,
        )
    if match := re.fullmatch(r"first=([1-9]\d*)", name):
        count = int(match[1])
        return Judging(
            "greedy",
            f"greedy decoding begins with the first {count} words of its answer",
            first=count,
        )
    if name in ACCEPTS:
        accept: Accept = name
        return Judging("generate", _GENERATED[accept] + ", case and spaces aside", accept=accept)
    raise unknown(f"way to judge {path}", name, _NAMES)


def _greedy() -> Judging:
    return Judging("greedy", "greedy decoding begins with its answer")
