"""A task: what comes next?"""

from __future__ import annotations

from dataclasses import dataclass

from dormant.prompts.case import Case, few_shot
from dormant.prompts.segment import Segment
from dormant.tasks.demonstrations import draw_demonstrations
from dormant.tasks.task import Measure

ROWS = (
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "January February March April May June July August September October November December",
    "one two three four five six seven eight nine ten eleven twelve",
    "first second third fourth fifth sixth seventh eighth ninth tenth",
)
PAIRS = {a: b for row in ROWS for a, b in zip(row.split(), row.split()[1:], strict=False)}


@dataclass(frozen=True)
class Next:
    """Name what follows: a day, a month, a number. Its attributes are those of Dormant's `Task`."""

    name: str = "example/next"
    title: str = "Name what comes next"
    measure: Measure = "greedy"
    chance: float = 0.0
    default_shots: int = 2
    version: str = "1"

    def languages(self) -> tuple[str, ...]:
        """Return the languages in which there is text; the first is the plain one."""
        return ("english",)

    def pool(self) -> tuple[str, ...]:
        """Return the ids of all items."""
        return tuple(PAIRS)

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Case:
        """Return one prompt."""
        del language  # there is one
        others = [key for key in PAIRS if key != item]
        shown = draw_demonstrations(self.name, item, others, shots, seed)
        return few_shot(
            item=item,
            instruction="Say what comes next.",
            input_label="Input",
            output_label="Output",
            demonstrations=[(Segment(key), Segment(PAIRS[key])) for key in shown],
            query=Segment(item),
            target=Segment(PAIRS[item]),
        )


def following() -> Next:
    """The task, for the entry point."""
    return Next()
