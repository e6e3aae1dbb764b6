"""What a user's own task holds: header, templates and items, each checked by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from dormant.tasks.task import Measure

Accept: TypeAlias = Literal["starts", "contains", "exact"]
ACCEPTS: tuple[Accept, ...] = ("starts", "contains", "exact")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_min_length=1)


class Template(_Strict):
    """How items are laid out in one language (`few_shot`).

    Attributes:
        instruction: First paragraph.
        input: Label of the input field, without colon.
        output: Label of the output field, without colon.
    """

    instruction: str | None = None
    input: str = "Input"
    output: str = "Output"


class Entry(_Strict):
    """One item in one language.

    Attributes:
        input: What is asked.
        target: The right answer.
        distractor: The answer of the reading that fine-tuning favours.
        others: Further wrong answers (multiple choice).
    """

    input: str
    target: str
    distractor: str | None = None
    others: tuple[str, ...] = Field(default=(), strict=False)

    @property
    def answers(self) -> list[str]:
        """All answers, the right one first."""
        return [answer for answer in (self.target, self.distractor, *self.others) if answer]


class Header(_Strict):
    """What the task is.

    Attributes:
        name: Ability, e.g. "opposites" or "mine/opposites".
        title: One line for people.
        measure: "greedy", "most-likely", "most-likely-whole" or "generate"; see `Measure`.
        accept: For "generate": the target is where the output starts, anywhere in it, or all.
        chance: Accuracy of guessing, in [0, 1]; by default 1 / (number of answers) for the
            multiple-choice measures, else 0.
        shots: Demonstrations a prompt, where the user doesn't say.
        target_words: How many leading words of the target are scored.
        max_new_tokens: For "generate": where generation stops.
        version: Any text; part of the records.
        shuffled_answers_say_nothing: Whether right answers, given to other prompts, tell nothing
            of the ability: `dormant.tasks.task.shuffled_answers_say_nothing`.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?$")
    title: str
    measure: Measure = "greedy"
    accept: Accept = "starts"
    chance: float | None = Field(default=None, ge=0, lt=1, strict=False)
    shots: int = Field(default=2, ge=0)
    target_words: int | None = Field(default=None, ge=1)
    max_new_tokens: int = Field(default=32, ge=1)
    version: str = "1"
    shuffled_answers_say_nothing: bool = False


@dataclass(frozen=True, eq=False)
class Contents:
    """A checked file.

    Attributes:
        header: What the task is.
        templates: By language; the first is the plain one.
        items: By language, then id; the same ids in every language.
        digest: Fingerprint of the file.
    """

    header: Header
    templates: Mapping[str, Template]
    items: Mapping[str, Mapping[str, Entry]]
    digest: str
