"""Abilities that need a rule and no facts, whose items are all generated (`generators`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from dormant.errors import unknown
from dormant.prompts.case import Case, few_shot
from dormant.prompts.segment import Segment
from dormant.tasks import data, icl_vs_if
from dormant.tasks.demonstrations import draw_demonstrations
from dormant.tasks.generators import FOLDER, GENERATORS, segment, texts
from dormant.tasks.task import Measure

_SHOWN = 100
"""Demonstrations are drawn among the first items, so that a prompt stays when a pool grows."""


@dataclass(frozen=True)
class Rule:
    """A few-shot ability with one right answer, which follows from a rule.

    Attributes:
        ability: "reverse", "count", "arithmetic" or "date".
        title: What the ability is.
    """

    ability: str
    title: str
    measure: Measure = "greedy"
    chance: float = 0.0
    default_shots: int = 2
    version: str = "1"

    @property
    def name(self) -> str:
        """The ability's name."""
        return f"rule/{self.ability}"

    @property
    def shuffled_answers_say_nothing(self) -> bool:
        """Whether answers of other prompts tell nothing; see `shuffled_answers_say_nothing`.

        They do of dates: how one is written is the ability.
        """
        return self.ability != "date"

    def languages(self) -> tuple[str, ...]:
        """Return the languages that have a file."""
        return data.languages(FOLDER)

    def pool(self) -> tuple[str, ...]:
        """Return all ids of the ability."""
        return GENERATORS[self.ability].items()

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Case:
        """Return one prompt; see `Task.case`."""
        if item not in (known := _known(self.ability)):
            raise unknown(f"item of {self.name}", item, known)
        among = _demonstrable(self.ability, item)
        shown = draw_demonstrations(self.name, item, among, shots, seed)
        labels = icl_vs_if.texts(language)
        query, target = self._put(item, language)
        return few_shot(
            item=item,
            instruction=texts(language).instructions[self.ability],
            input_label=labels.input_label,
            output_label=labels.output_label,
            demonstrations=[self._put(other, language) for other in shown],
            query=query,
            target=target,
        )

    def _put(self, item: str, language: str) -> tuple[Segment, Segment]:
        given, answer = GENERATORS[self.ability].put(item, language)
        return segment(given), segment(answer)


@cache
def _known(ability: str) -> frozenset[str]:
    return frozenset(GENERATORS[ability].items())


@cache
def _demonstrable(ability: str, item: str) -> list[str]:
    """Return the items that may be shown before another: none that has its answer."""
    items, put = GENERATORS[ability]
    _, answer = put(item, "english")
    return [key for key in items()[:_SHOWN] if key != item and put(key, "english")[1] != answer]


TASKS = (
    Rule("reverse", "Reverse the order of two words"),
    Rule("count", "Count on"),
    Rule("arithmetic", "Calculate"),
    Rule("date", "Write a date with its month's name"),
)
