"""One task's samples, as lm-evaluation-harness has written them since 0.4.0."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from dormant.errors import DormantError
from dormant.integrations.logs.lm_eval_files import SampleFile, text_of
from dormant.integrations.logs.measures import Directions, Measured, lower_title, successes
from dormant.integrations.logs.scored_log import HOW, Sample

_CHOOSING = ("acc", "acc_norm")
"""Metrics of multiple choice."""
_FIELDS = (
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash"),
)
"""What a sample holds beside its metrics, which are named since 0.4.6 only."""


@dataclass
class TaskSamples:
    """What one file says, by ability.

    Attributes:
        samples: Its samples, by item.
        lost: The reason, for every item that was not scored.
        chances: Accuracy of guessing, where answers were chosen from several.
        titles: One line for people, where there is something to say.
        notes: What a reader should know, metrics that are left out among it.
    """

    samples: dict[str, dict[str, Sample]] = field(default_factory=dict[str, dict[str, Sample]])
    lost: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    chances: dict[str, float] = field(default_factory=dict[str, float])
    titles: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])


@dataclass
class _Metric:
    """A metric's values, and the rows that they stand in."""

    name: str
    measured: Measured = field(default_factory=Measured)
    rows: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


def read_samples(file: SampleFile, directions: Directions) -> TaskSamples:
    """Read one task's samples.

    Raises:
        DormantError: A sample is damaged, or an item occurs twice; file and line are named.
    """
    metrics: dict[str, _Metric] = {}
    seen: dict[str, int] = {}
    for place, row in _rows(file):
        try:
            item = str(row["doc_id"])
            names = (
                row["metrics"] if "metrics" in row else [key for key in row if key not in _FIELDS]
            )
            values = {str(name): row[name] for name in names}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _no_sample(place, error) from None
        filter_name = row.get("filter") or _filter(file, item, seen)
        for name, value in values.items():
            ability = f"{file.task}/{name}"
            ability += "" if filter_name == "none" else f",{filter_name}"
            metric = metrics.setdefault(ability, _Metric(name))
            if item in metric.rows:
                raise DormantError(f"{place}: item {item} occurs twice for {ability}{_ADVICE}")
            metric.rows[item] = row
            metric.measured.add(item, value)
    read = TaskSamples()
    if part := _missing(file, {item for metric in metrics.values() for item in metric.rows}):
        read.notes.append(part)
    for ability, metric in metrics.items():
        _take(read, file, ability, metric, directions)
    return read


_UNSURE = ("0.4.9", "0.4.10", "0.4.11", "0.4.12")
"""Versions whose count may be of all samples where only some were asked for (``--samples``)."""


def _missing(file: SampleFile, items: Collection[str]) -> str:
    """Say that a log holds a part of a run; empty where it is whole, or nothing says how many.

    Raises:
        DormantError: It surely is a part.
    """
    scored = file.run.counts.get(file.task, 0)
    if len(items) >= scored:
        return ""
    line = f"{file.path} holds {len(items)} of the {scored} samples that were scored"
    if file.run.version.split(".dev")[0] in _UNSURE:
        return f"{line}: was the rest cut off?"
    raise DormantError(f"{line}: half a run; copy the whole file, or evaluate again")


_ADVICE = " (before lm_eval 0.4.6 samples don't name their filter: keep results….json beside them)"


def _take(
    read: TaskSamples, file: SampleFile, ability: str, metric: _Metric, directions: Directions
) -> None:
    """Add one metric's samples, or the note that it is left out."""
    logged = file.run.higher.get(file.task, {}).get(metric.name)
    higher = directions.of(file.task, metric.name, logged)
    values, notes = successes(ability, metric.name, metric.measured, higher)
    read.notes += notes
    if values is None:
        return
    if not higher:
        read.titles[ability] = lower_title(metric.name)
    read.lost[ability] = metric.measured.lost
    read.samples[ability] = {
        item: _sample(metric.rows[item], value) for item, value in values.items()
    }
    choices = [_choices(metric.rows[item]) for item in values]
    if metric.name in _CHOOSING and min(choices) > 1:
        read.chances[ability] = sum(1 / count for count in choices) / len(choices)


def _rows(file: SampleFile) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every sample with its place: of JSON lines, one list, or one object with all."""
    if file.task in file.run.samples:
        yield from _objects(file, file.run.samples[file.task])
        return
    text = text_of(file.path)
    if re.match(r"\s*\[\s*\{", text):
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise DormantError(f"{file.path}: not valid JSON: {error}; {HOW}") from None
        yield from _objects(file, rows)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{file.path}:{number}"
            try:
                yield place, _object(json.loads(line))
            except (ValueError, TypeError) as error:
                raise _no_sample(place, error) from None


def _objects(file: SampleFile, rows: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in enumerate(rows, start=1):
        place = f"{file.path}, sample {number} of {file.task}"
        try:
            yield place, _object(row)
        except TypeError as error:
            raise _no_sample(place, error) from None


def _object(row: object) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise TypeError(f"{type(row).__name__}, not an object")
    return cast("dict[str, Any]", row)


def _no_sample(place: str, error: Exception) -> DormantError:
    return DormantError(
        f"{place}: not a sample of lm_eval ({type(error).__name__}: {error}); {HOW}"
    )


def _filter(file: SampleFile, item: str, seen: dict[str, int]) -> str:
    """Name the filter of a sample that doesn't: filters ran one after the other, over all items."""
    place = seen[item] = seen.get(item, -1) + 1
    names = file.run.filters.get(file.task) or ["none"]
    return names[place] if place < len(names) else names[-1]


def _sample(row: Mapping[str, Any], value: float) -> Sample:
    asked = _requests(row)
    prompt = str(asked[0][0]) if asked and asked[0] else ""
    return Sample(
        value=value,
        prompt=prompt,
        target=str(row.get("target", "")),
        # As the harness has made them since 0.4.3, so that older logs can be paired with newer.
        content=str(row.get("doc_hash") or _hash(_json(row.get("doc")))),
        asked=str(row.get("prompt_hash") or _hash(prompt)),
        generated=json.dumps([each[1:] for each in asked if _generates(each)], sort_keys=True),
    )


def _requests(row: Mapping[str, Any]) -> list[list[Any]]:
    """Return each request's arguments: lists before 0.4.3, and in what Python returns."""
    given = row.get("arguments")
    if isinstance(given, dict):
        given = list(cast("dict[str, Any]", given).values())
    if not isinstance(given, list):
        return []
    return [
        list(cast("dict[str, Any]", each).values()) if isinstance(each, dict) else [*each]
        for each in cast("list[Any]", given)
        if isinstance(each, (dict, list, tuple))
    ]


def _generates(request: list[Any]) -> bool:
    """Whether a request asks for a text: its prompt stands before settings."""
    return len(request) > 1 and isinstance(request[1], dict)


def _choices(row: Mapping[str, Any]) -> int:
    """Return how many answers an item was chosen from; 1 or less where there was no choice."""
    # Beside each choice after its prompt, some tasks score it after nothing.
    return sum(bool(arguments and arguments[0]) for arguments in _requests(row))


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
