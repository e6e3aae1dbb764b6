"""What the abilities of `everyday` have in common: one request, one answer in own words.

A prompt has a system text, perhaps, and a request. A chat template gets the two as turns; raw, the
request is a labelled field and the answer another ("Question: … Answer:"), as base models expect.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from dormant.errors import DormantError, unknown
from dormant.prompts.case import Case
from dormant.prompts.layout import up_to
from dormant.prompts.segment import Segment, Span
from dormant.tasks import data
from dormant.tasks.everyday.reading import without_thinking
from dormant.tasks.task import Judgement, Measure

ROOT = data.SHIPPED / "everyday"
LABELS = ROOT / "labels"
_NUMBER = re.compile(r"[0-9]+")

Field = Literal["question", "chat"]
"""How a raw prompt labels request and answer."""
_FIELDS: dict[Field, tuple[str, str]] = {
    "question": ("question", "answer"),
    "chat": ("user", "assistant"),
}


class Request(NamedTuple):
    """An item in one language.

    Attributes:
        text: What the user says.
        answer: An answer that the judge accepts, for people; or what it is called.
        system: The system prompt, if there is one.
        literal: Texts in both that no transform may touch: names of tools, signs to be repeated.
            Numbers never are.
    """

    text: str
    answer: str
    system: str = ""
    literal: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Asked(Case):
    """A case that knows its language, on which its judge may depend.

    Attributes:
        language: That of its native text, e.g. "french".
    """

    language: str


@cache
def labels(language: str) -> dict[str, str]:
    """Return the labels of a raw prompt's fields: "question", "answer", "user", "assistant"."""
    return data.language_file(LABELS, language).strings("labels")


@cache
def _stops() -> tuple[str, ...]:
    """Return what a base model begins its next exchange with, in any language."""
    return tuple(
        f"\n{labels(language)[name]}:"
        for language in data.languages(LABELS)
        for name in ("question", "user")
    )


class Everyday(ABC):
    """An ability of `everyday`: judged by rules, in the model's own words.

    Attributes:
        ability: "smalltalk", …
        title: One line for people.
        max_new_tokens: Length at which generation stops.
        field: How a raw prompt labels its fields.
        keeps_thinking: Whether the judge sees what the model thought aloud.
        chance: Share of right answers by a model that knows the form and guesses.
    """

    ability: str
    title: str
    max_new_tokens: int
    field: Field = "chat"
    keeps_thinking: bool = False
    measure: Measure = "generate"
    chance: float = 0.0
    default_shots: int = 0

    @property
    def name(self) -> str:
        """The ability's name."""
        return f"everyday/{self.ability}"

    @property
    def version(self) -> str:
        """Version of its data and of its judge."""
        return "1"

    @property
    def until(self) -> tuple[str, ...]:
        """Texts at which generation stops: the label of the next request."""
        return _stops()

    def languages(self) -> tuple[str, ...]:
        """Return the languages that have a file."""
        return data.languages(ROOT / self.ability)

    @abstractmethod
    def pool(self) -> tuple[str, ...]:
        """Return all ids of the ability."""

    @abstractmethod
    def request(self, item: str, language: str) -> Request:
        """Put one item into a language."""

    @abstractmethod
    def judged(self, item: str, language: str, said: str) -> Judgement:
        """Judge one answer.

        Args:
            item: What was asked.
            language: In which language.
            said: The answer, stripped; not empty. What the model thought aloud is left out unless
                the ability keeps it.
        """

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Asked:
        """Return one prompt; see `Task.case`.

        Raises:
            DormantError: An unknown item or language, or demonstrations are asked for: they would
                show the form that is to be had without.
        """
        del seed  # nothing is drawn
        if shots:
            raise DormantError(f"{self.name} takes no demonstrations: leave out --shots, or say 0")
        if language not in self.languages():
            raise unknown(f"language of {self.name}", language, self.languages())
        if item not in (pool := _known(self)):
            raise unknown(f"item of {self.name}", item, pool)
        request = self.request(item, language)
        words = labels(language)
        asks, answers = (
            ("question", "answer") if self.field == "question" else ("user", "assistant")
        )
        system = (
            [_segment(request.system, "instruction", request.literal), _layout("\n\n")]
            if request.system
            else []
        )
        segments = (
            *system,
            Segment(words[asks], "label"),
            _layout(": "),
            _segment(request.text, "query", request.literal),
            _layout("\n"),
            Segment(words[answers], "label"),
            _layout(":"),
        )
        said = ("user", len(system) + 2)
        return Asked(
            item=item,
            segments=segments,
            turns=(("system", 0), said) if system else (said,),
            # What is right is judged before s, or after s⁻¹.
            target=_layout(request.answer),
            language=language,
        )

    def judge(self, cases: Sequence[Case], outputs: Sequence[str]) -> list[Judgement]:
        """Judge s⁻¹ of what the model wrote, up to the next request that it made up."""
        return [self._judged(*pair) for pair in zip(cases, outputs, strict=True)]

    def _judged(self, case: Case, output: str) -> Judgement:
        given = case.given or case
        if not isinstance(given, Asked):
            raise DormantError(f"{self.name} can't judge a case of another task: {case.item!r}")
        undone = case.undone(output)
        if undone is None:
            return Judgement(False, "UNREADABLE")
        said = up_to(undone, self.until)
        said = (said if self.keeps_thinking else without_thinking(said)).strip()
        if not said:
            return Judgement(False, "EMPTY")
        return self.judged(given.item, given.language, said)


@cache
def _known(task: Everyday) -> frozenset[str]:
    return frozenset(task.pool())


def _layout(text: str) -> Segment:
    return Segment(text, "layout")


def _segment(text: str, role: Literal["instruction", "query"], literal: Sequence[str]) -> Segment:
    """Return a text as a segment in which numbers and literal texts are protected."""
    spans: list[Span] = []
    for one in sorted(literal, key=len, reverse=True):
        spans += [match.span() for match in re.finditer(re.escape(one), text)]
    spans += [match.span() for match in _NUMBER.finditer(text)]
    apart: list[Span] = []
    # The longest first: no span may stand within another.
    for start, stop in spans:
        if all(stop <= first or last <= start for first, last in apart):
            apart.append((start, stop))
    return Segment(text, role, tuple(sorted(apart)))
