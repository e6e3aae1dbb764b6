"""A user's own task: its prompts, and how generated answers are compared with their targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

from dormant.errors import unknown
from dormant.prompts.case import Case, few_shot
from dormant.prompts.segment import Segment
from dormant.tasks.custom.schema import Accept, Contents
from dormant.tasks.demonstrations import draw_demonstrations
from dormant.tasks.task import Judgement, Measure


@dataclass(frozen=True, eq=False)
class Custom:
    """A user's own task, scored by log-probabilities."""

    contents: Contents

    @property
    def name(self) -> str:
        """The ability's name."""
        return self.contents.header.name

    @property
    def title(self) -> str:
        """What the ability is."""
        return self.contents.header.title

    @property
    def measure(self) -> Measure:
        """How success is decided."""
        return self.contents.header.measure

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        if self.contents.header.chance is not None:
            return self.contents.header.chance
        if not self.measure.startswith("most-likely"):
            return 0.0
        entries = self.contents.items[self.languages()[0]].values()
        return sum(1 / len(entry.answers) for entry in entries) / len(entries)

    @property
    def default_shots(self) -> int:
        """Demonstrations a prompt."""
        return self.contents.header.shots

    @property
    def shuffled_answers_say_nothing(self) -> bool:
        """What its author says of answers that are given to other prompts."""
        return self.contents.header.shuffled_answers_say_nothing

    @property
    def version(self) -> str:
        """The file's own version and its fingerprint."""
        return f"{self.contents.header.version}+{self.contents.digest}"

    def languages(self) -> tuple[str, ...]:
        """Return the languages of the file, in its order."""
        return tuple(self.contents.items)

    def pool(self) -> tuple[str, ...]:
        """Return all ids."""
        return self._pool

    @cached_property
    def _pool(self) -> tuple[str, ...]:
        return tuple(self.contents.items[self.languages()[0]])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {item: place for place, item in enumerate(self._pool)}

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Case:
        """Return one prompt; see `Task.case`."""
        entries, template = self.contents.items[language], self.contents.templates[language]
        if item not in entries:
            raise unknown(f"item of {self.name} in {language}", item, entries)
        others = _AllBut(self._pool, self._places[item])
        shown = draw_demonstrations(self.name, item, others, shots, seed)
        entry = entries[item]
        case = few_shot(
            item=item,
            instruction=template.instruction or "",
            input_label=template.input,
            output_label=template.output,
            demonstrations=[
                (Segment(entries[key].input), Segment(entries[key].target)) for key in shown
            ],
            query=Segment(entry.input),
            target=Segment(entry.target),
            distractor=Segment(entry.distractor) if entry.distractor else None,
            target_words=self.contents.header.target_words,
        )
        return replace(case, others=tuple(Segment(other) for other in entry.others))


class _AllBut(Sequence[str]):
    """All items but one: lists of all others would take time quadratic in a pool's items."""

    def __init__(self, items: Sequence[str], place: int) -> None:
        self._items, self._place = items, place

    def __len__(self) -> int:
        return len(self._items) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._items[index + (index >= self._place)]


class GenerativeCustom(Custom):
    """A user's own task whose answers are generated and compared with the target."""

    @property
    def max_new_tokens(self) -> int:
        """Length at which generation stops, in tokens."""
        return self.contents.header.max_new_tokens

    @property
    def until(self) -> tuple[str, ...]:
        """A blank line ends the answer: it would begin the next block."""
        return ("\n\n",)

    def judge(self, cases: Sequence[Case], outputs: Sequence[str]) -> list[Judgement]:
        """Compare outputs, after s⁻¹, with targets before s; letter case is ignored."""
        accept = self.contents.header.accept
        return [compared(*pair, accept) for pair in zip(cases, outputs, strict=True)]


def compared(case: Case, output: str, accept: Accept) -> Judgement:
    """Compare an output, after s⁻¹, with the target before s; letter case is ignored."""
    undone = case.undone(output)
    if undone is None:
        return Judgement(False, "UNREADABLE")
    said = _plain(undone)
    target = _plain((case.given or case).scored_target)
    success = _ACCEPTS[accept](said, target)
    return Judgement(success, "RIGHT" if success else "WRONG" if said else "EMPTY")


_ACCEPTS: Mapping[Accept, Callable[[str, str], bool]] = {
    "starts": str.startswith,
    "contains": lambda said, target: target in said,
    "exact": str.__eq__,
}


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
