"""A user's own task, in one TOML or JSONL file (docs/tasks.md).

Both hold the same: what the task is, a template a language, and items that are parallel by id.
In a JSONL file the first line is the task, every further line one item in one language.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dormant.errors import DormantError, unknown
from dormant.prompts.case import Case, few_shot
from dormant.prompts.segment import Segment
from dormant.tasks import data
from dormant.tasks.tables import Row, read_rows
from dormant.tasks.task import Judgement, Measure, draw_demonstrations

Accept: TypeAlias = Literal["starts", "contains", "exact"]
_Model = TypeVar("_Model", bound=BaseModel)


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
        return sum(1 / len(_answers(entry)) for entry in entries) / len(entries)

    @property
    def default_shots(self) -> int:
        """Demonstrations a prompt."""
        return self.contents.header.shots

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
        own, others = self._places[item], range(len(self._pool) - 1)
        # Drawn by place, as a list of all others for each item would take time quadratic in them.
        drawn = draw_demonstrations(self.name, item, others, shots, seed)
        shown = [self._pool[place + (place >= own)] for place in drawn]
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

    def judge(self, case: Case, output: str) -> Judgement:
        """Compare the output, after s⁻¹, with the target before s; letter case is ignored."""
        undone = case.undone(output)
        if undone is None:
            return Judgement(False, "UNREADABLE")
        said = _plain(undone)
        target = _plain((case.given or case).scored_target)
        success = _ACCEPTS[self.contents.header.accept](said, target)
        return Judgement(success, "RIGHT" if success else "WRONG" if said else "EMPTY")


_ACCEPTS: Mapping[Accept, Callable[[str, str], bool]] = {
    "starts": str.startswith,
    "contains": lambda said, target: target in said,
    "exact": str.__eq__,
}


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def read(path: Path) -> Custom:
    """Read a user's task.

    Args:
        path: A file ending in .toml or .jsonl.

    Raises:
        DormantError: The file is not as docs/tasks.md says; the message names file and line.
    """
    if path.suffix == ".toml":
        contents = _from_toml(path)
    elif path.suffix == ".jsonl":
        contents = _from_jsonl(path)
    else:
        raise DormantError(f"{path}: a task's file must end in .toml or .jsonl")
    return (GenerativeCustom if contents.header.measure == "generate" else Custom)(contents)


class _Collector:
    """Gathers templates and items, checking what no single entry can show."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.templates: dict[str, Template] = {}
        self.items: dict[str, dict[str, Entry]] = {}

    def add(
        self, language: str, item: str, entry: Entry, error: Callable[[str], DormantError]
    ) -> None:
        entries = self.items.setdefault(language, {})
        if item in entries:
            raise error(f"item {item!r} occurs twice in {language}")
        answers = _answers(entry)
        if len(set(answers)) < len(answers):
            raise error(f"item {item!r}: two of its answers are the same")
        if self.header.measure.startswith("most-likely") and len(answers) < 2:
            raise error(f"item {item!r}: {self.header.measure!r} needs wrong answers in `others`")
        entries[item] = entry

    def finish(self, text: str, error: Callable[[str, str], DormantError]) -> Contents:
        """Check that the languages are parallel; `error` takes a message and a language."""
        first, *rest = self.items
        for language in rest:
            there, here = self.items[first], self.items[language]
            missing = [item for item in there if item not in here]
            extra = [item for item in here if item not in there]
            if missing or extra:
                found = f"{missing[0]!r} is missing" if missing else f"{extra[0]!r} is new"
                raise error(
                    f"{language} must hold the same items as {first}: {found}, so the cells "
                    "can't be paired",
                    language,
                )
        pool = len(self.items[first])
        if self.header.shots >= pool:
            raise error(
                f"{pool} items are too few for {self.header.shots} demonstrations before each: "
                "add items or set shots",
                first,
            )
        return Contents(
            header=self.header,
            templates=self.templates,
            # Items of one order, so that a draw is the same in every language.
            items={
                language: {item: entries[item] for item in self.items[first]}
                for language, entries in self.items.items()
            },
            digest=hashlib.sha256(text.encode()).hexdigest()[:12],
        )


def _from_toml(path: Path) -> Contents:
    data.read.cache_clear()  # the user may have changed the file since
    file = data.read(path)
    header = {key: value for key, value in file.values.items() if key != "languages"}

    def fail(message: str, *keys: str) -> DormantError:
        # What stands in an inline table has its line.
        while len(keys) > 1 and file.line_of(*keys) == 1:
            keys = keys[:-1]
        return file.error(message, *keys)

    collector = _Collector(_parse(Header, header, fail))
    for language in file.table("languages"):
        where = ("languages", language)
        values = dict(file.table(*where))
        items = values.pop("items", None)
        collector.templates[language] = _parse(Template, values, fail, where)
        if not isinstance(items, dict) or not items:
            raise file.error(f"[languages.{language}.items] is missing or empty", *where)
        for item, entry in cast("dict[str, object]", items).items():
            place = (*where, "items", item)
            parsed = _parse(Entry, entry, fail, place)
            collector.add(language, item, parsed, partial(_swap, fail, place))
    return collector.finish(file.text, lambda message, name: file.error(message, "languages", name))


def _from_jsonl(path: Path) -> Contents:
    first, *rows = read_rows(path)
    values = dict(first.values)
    templates = values.pop("languages", None)
    if not isinstance(templates, dict) or not templates:
        raise first.error(
            'the first line must be the task: {"name": …, "title": …, "languages": {"english": '
            "{…}}}"
        )
    collector = _Collector(_parse(Header, values, _located(first)))
    for language, body in cast("dict[str, object]", templates).items():
        collector.templates[language] = _parse(Template, body, _located(first))
    for row in rows:
        fields = dict(row.values)
        language, item = fields.pop("language", None), fields.pop("id", None)
        if not isinstance(item, str) or not item:
            raise row.error("an item needs an `id`, a text")
        if not isinstance(language, str) or language not in collector.templates:
            raise row.error(str(unknown("language", str(language), collector.templates)))
        entry = _parse(Entry, fields, _located(row))
        collector.add(language, item, entry, row.error)
    without = [name for name in collector.templates if name not in collector.items]
    if without:
        raise first.error(f"no items in {without[0]}")
    collector.items = {name: collector.items[name] for name in collector.templates}
    text = json.dumps([dict(row.values) for row in (first, *rows)])
    return collector.finish(text, lambda message, _: first.error(message))


def _swap(fail: Callable[..., DormantError], place: tuple[str, ...], message: str) -> DormantError:
    return fail(message, *place)


def _located(row: Row) -> Callable[..., DormantError]:
    """A row's error, for which it does not matter under which key the fault is."""

    def fail(message: str, *_: str) -> DormantError:
        return row.error(message)

    return fail


def _parse(
    model: type[_Model],
    values: object,
    fail: Callable[..., DormantError],
    place: tuple[str, ...] = (),
) -> _Model:
    """Validate a table; the first fault becomes an error at its line."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        keys = [str(part) for part in fault["loc"]]
        name = keys[0] if keys else "the entry"
        if fault["type"] == "extra_forbidden":
            message = str(unknown("key", name, model.model_fields))
        elif fault["type"] == "missing":
            message = f"{name} is missing"
        else:
            message = f"{'.'.join(keys) or name}: {fault['msg'].lower()}, not {fault['input']!r}"
        raise fail(message, *place, *keys[:1]) from None


def _answers(entry: Entry) -> list[str]:
    return [answer for answer in (entry.target, entry.distractor, *entry.others) if answer]
