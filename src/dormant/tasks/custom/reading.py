"""Reads a user's own task from its file, and says where a bad one is wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from pydantic import BaseModel, ValidationError

from dormant.errors import DormantError, unknown
from dormant.tasks import data
from dormant.tasks.custom import examples
from dormant.tasks.custom.examples import Examples
from dormant.tasks.custom.schema import Contents, Entry, Header, Template
from dormant.tasks.custom.task import Custom, GenerativeCustom
from dormant.tasks.examples import FIELDS as EXAMPLE_FIELDS
from dormant.tasks.tables import Row, read_rows

_Model = TypeVar("_Model", bound=BaseModel)


def read(path: Path, how: str = "") -> Custom | Examples:
    """Read a user's task, or examples of one.

    Args:
        path: A file ending in .toml, or a table (`dormant.tasks.tables`).
        how: How examples are judged (`dormant.tasks.custom.judging`).

    Raises:
        DormantError: The file is not as docs/tasks.md says; the message names file and line.
    """
    if path.suffix == ".toml":
        contents = _from_toml(path)
    elif path.suffix != ".jsonl" or any(
        name in read_rows(path)[0].values for name in EXAMPLE_FIELDS
    ):
        return examples.read(path, how)
    else:
        contents = _from_jsonl(path)
    if how:
        raise DormantError(f"{path}@{how}: a task says itself how it is judged: `measure`")
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
        answers = entry.answers
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
                odd = f"{missing[0]!r} is missing" if missing else f"{extra[0]!r} is new"
                raise error(
                    f"{language} must hold the same items as {first}: {odd}, so the cells "
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
            '{…}}}, or every line an example: {"prompt": …, "answer": …}'
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
