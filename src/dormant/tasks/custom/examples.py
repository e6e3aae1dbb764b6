"""A user's examples as a task: lines of prompts and answers, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from dormant.errors import DormantError, unknown
from dormant.prompts.case import Case, Style
from dormant.prompts.segment import Role, Segment
from dormant.tasks.custom.judging import Judging, judging, long_ones
from dormant.tasks.custom.task import compared
from dormant.tasks.demonstrations import draw_demonstrations, same_for_all
from dormant.tasks.examples import Example, read_examples
from dormant.tasks.task import Judgement, Measure
from dormant.translation.engines import best
from dormant.translation.identify import identify
from dormant.translation.languages import find

FEW = 20
"""Examples below which hardly anything can be decided."""

_ROLES: dict[str, Role] = {"system": "instruction", "user": "input", "assistant": "output"}
_TRANSLATIONS = ("spanish", "french", "german")
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples, each asked by itself and without demonstrations.

    Attributes:
        path: Their file.
        items: The examples by id, which is their line; repeated ones are left out.
        judged: How success is decided.
        left_out: What is said of repeated ones.
        style: Whether they go into the models' chat template; `None` leaves that to the audit.
        why_style: Why, for people.
    """

    path: Path
    items: dict[str, Example]
    judged: Judging
    left_out: tuple[str, ...] = ()
    style: Style | None = None
    why_style: str = "asked raw, or as --prompts says"
    default_shots: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        """The ability's name: the file's."""
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", self.path.stem) or "examples"

    @property
    def title(self) -> str:
        """What the ability is."""
        return f"{self.path.name}: an item is right where {self.judged.words}"

    @property
    def measure(self) -> Measure:
        """How success is decided."""
        return self.judged.measure

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        if self.judged.labels:
            return 1 / len(self.judged.labels)
        return 1 / (1 + self.judged.others) if self.judged.others else 0.0

    @property
    def version(self) -> str:
        """Fingerprint of the examples, and of how they are put and judged."""
        return self._version

    @cached_property
    def _version(self) -> str:
        content = [
            (item, [[turn.role, turn.text] for turn in each.turns], each.text, each.completion)
            for item, each in self.items.items()
        ]
        text = json.dumps([content, self.style, self.judged.words])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed, for the user to know."""
        count = len(self.items)
        said = [
            f"{self.name}: {count} examples ({_format(next(iter(self.items.values())))}), "
            f"{self.why_style}, without demonstrations; an item is right where {self.judged.words}",
            *self.left_out,
        ]
        if count < FEW:
            said.append(
                f"{self.name}: {count} examples are few, so intervals will be wide: give 50 or more"
            )
        exact = self.judged.measure == "greedy" and self.judged.first is None
        if exact and (long := long_ones([*self.items.values()])):
            lines = ", ".join(str(each.row.line) for each in long[:_SHOWN])
            said.append(
                f"{self.name}: the answers of {len(long)} examples (line {lines}"
                f"{', …' if len(long) > _SHOWN else ''}) are long: hardly any model writes them "
                "word for word"
            )
        return tuple(said)

    @property
    def extra_transforms(self) -> tuple[str, ...]:
        """Transforms to be tried beside those of every task: a translation, if one is at hand."""
        texts = [each.turns[-1].text for each in self.items.values()]
        try:
            english = sum(identify(text, ("en", "fr", "es", "de")) == "en" for text in texts)
        except DormantError:
            return ()
        if 2 * english <= len(texts):
            return ()
        for name in _TRANSLATIONS:
            try:
                best(find(name), "en")
            except DormantError:
                continue
            return (name,)
        return ()

    def asked(self, style: Style, why: str) -> Examples:
        """Return the same in a chat template, or raw.

        Args:
            style: Which.
            why: Why, as in "asked raw: …".
        """
        return replace(self, style=style, why_style=why)

    def languages(self) -> tuple[str, ...]:
        """Return one: examples have no versions in other languages."""
        return ("english",)

    def pool(self) -> tuple[str, ...]:
        """Return the lines of all examples."""
        return tuple(self.items)

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Case:
        """Return one example as a prompt; see `Task.case`.

        Raises:
            DormantError: Demonstrations are asked for: they would have to be put as the examples
                are, which only their author can do.
        """
        if shots:
            raise DormantError(
                f"{self.name} takes no demonstrations: leave out --shots, or put them into its "
                "prompts"
            )
        if item not in self.items:
            raise unknown(f"item of {self.name}", item, self.items)
        example = self.items[item]
        answer = example.completion.strip()
        segments, turns, prefix = _laid_out(example, self.style)
        return Case(
            item=item,
            segments=segments,
            turns=turns,
            target=Segment(answer),
            others=tuple(map(Segment, self._others(item, answer, seed))),
            target_words=self.judged.first,
            answer_prefix=prefix,
            style=self.style,
        )

    def _others(self, item: str, answer: str, seed: int) -> list[str]:
        if self.judged.labels:
            return [label for label in self.judged.labels if label != answer]
        if not self.judged.others:
            return []
        answers = [each.completion.strip() for each in self.items.values()]
        different = [text for text in dict.fromkeys(answers) if text != answer]
        # No demonstrations: wrong answers are drawn for each item whatever stands before it.
        with same_for_all(False):
            return draw_demonstrations(self.name, item, different, self.judged.others, seed)


class GeneratedExamples(Examples):
    """Examples whose answers are generated and compared."""

    until: tuple[str, ...] = ("\n\n",)

    @property
    def max_new_tokens(self) -> int:
        """Length at which generation stops, in tokens: with room for words before the answer."""
        longest = max(len(each.completion.encode()) for each in self.items.values())
        return min(512, 64 + longest)

    def judge(self, cases: Sequence[Case], outputs: Sequence[str]) -> list[Judgement]:
        """Compare outputs, after s⁻¹, with targets before s; letter case is ignored."""
        accept = self.judged.accept
        assert accept is not None  # these are made for such judging only
        return [compared(*pair, accept) for pair in zip(cases, outputs, strict=True)]


def read(path: Path, how: str = "") -> Examples:
    """Read a user's examples.

    Args:
        path: A JSONL file, or another table, in a form that `read_examples` knows.
        how: How they are judged, where the user says it (`judging`).

    Raises:
        DormantError: A line is of no known form, an answer is empty, or the answers can't be judged
            without being told how; file and line are named.
    """
    kept: dict[str, Example] = {}
    first: dict[object, Example] = {}
    same: list[str] = []
    other: list[str] = []
    examples = read_examples(path)
    lines = [str(example.row.line) for example in examples]
    if len({*lines}) < len(lines):  # a JSON list on one line
        lines = [str(number) for number in range(1, len(lines) + 1)]
    for line, example in zip(lines, examples, strict=True):
        before = first.setdefault(example.turns, example)
        if before is example:
            kept[line] = example
            continue
        equal = before.completion.strip() == example.completion.strip()
        (same if equal else other).append(f"{example.row.line} (as {before.row.line})")
    name = path.stem
    left_out = [
        f"{name}: {len(lines)} lines {what} earlier ones and are left out: "
        + ", ".join(lines[:_SHOWN])
        + (", …" if len(lines) > _SHOWN else "")
        for lines, what in ((same, "repeat"), (other, "ask the same, with other answers, as"))
        if lines
    ]
    judged = judging(path, [*kept.values()], how)
    kind = GeneratedExamples if judged.accept else Examples
    return kind(path, kept, judged, tuple(left_out))


def _laid_out(
    example: Example, style: str | None
) -> tuple[tuple[Segment, ...], tuple[tuple[str, int], ...], str]:
    """Return an example's segments, which of them are turns of a chat, and the answer's prefix."""
    if example.text is not None and (style != "chat" or not example.chat):
        ends_open = example.text[-1:].isspace()
        return (Segment(example.text, "query"),), (), example.lead or ("" if ends_open else " ")
    segments: list[Segment] = []
    turns: list[tuple[str, int]] = []
    for turn in example.turns:
        if segments:
            segments.append(Segment("\n\n", "layout"))
        turns.append((turn.role, len(segments)))
        role = "query" if turn is example.turns[-1] else _ROLES[turn.role]
        segments.append(Segment(turn.text, role))
    if style != "chat":
        # Without a template, an answer has a line of its own.
        return (*segments, Segment("\n", "layout")), (), ""
    return tuple(segments), tuple(turns) if len(turns) > 1 else (), ""


def _format(example: Example) -> str:
    """Name the fields that an example was read from."""
    columns = example.row.values
    for fields in (("messages",), ("conversations",), ("instruction", "output")):
        if all(name in columns for name in fields):
            return " and ".join(fields)
    names = ("prompt", "question", "completion", "answer", "response")
    return " and ".join([name for name in names if name in columns][:2])
