"""What lm-evaluation-harness writes with ``--log_samples``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from dormant.errors import DormantError
from dormant.integrations.logs.scored_log import HOW, CellOrigin, Log, LogOrigin, Sample
from dormant.results import PLAIN

_IDENTITY = "identity"
_CHOOSING = ("acc", "acc_norm")
"""Metrics of multiple choice."""
_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")


def read(path: Path, files: list[Path]) -> list[Log]:
    """Read the newest run of every task, for each model and transform among the samples files.

    Raises:
        DormantError: There are none, or one is damaged; file and line are named.
    """
    if not files:
        raise DormantError(f"{path}: no samples_….jsonl there; {HOW}")
    described: dict[_Described, list[Path]] = {}
    for file in files:
        described.setdefault(_described(file), []).append(file)
    return [_read(path, same, evaluation) for evaluation, same in described.items()]


def _read(path: Path, files: list[Path], evaluation: _Described) -> Log:
    newest: dict[str, tuple[str, Path]] = {}
    notes: list[str] = []
    for file in files:
        match = _SAMPLES.fullmatch(file.name)
        task, time = (match["task"], match["time"]) if match else (file.stem, "")
        if task in newest:
            notes.append(f"{path} holds several runs of {task}: the newest was read")
        newest[task] = max(newest.get(task, ("", file)), (time, file))
    abilities: dict[str, dict[str, Sample]] = {}
    chances: dict[str, float] = {}
    for task, (_, file) in newest.items():
        read = _samples(task, file)
        abilities |= read.abilities
        chances |= read.chances
        notes += read.notes
    origins = {
        name: CellOrigin(chance=chances.get(name, 0.0), signature=evaluation.signature)
        for name in abilities
    }
    return Log(
        name=evaluation.name or path.stem,
        source=path,
        abilities=abilities,
        notes=list(dict.fromkeys(notes)),
        versions={"lm-eval": evaluation.version} if evaluation.version else {},
        transform=evaluation.transform,
        origin=LogOrigin(transform=evaluation.transform, seed=0, abilities=origins),
        time=next(iter(newest.values()))[0],
    )


class _Samples(NamedTuple):
    """One samples file: samples by ability, chance by ability, a note for each metric left out."""

    abilities: dict[str, dict[str, Sample]]
    chances: dict[str, float]
    notes: list[str]


def _samples(task: str, file: Path) -> _Samples:
    abilities: dict[str, dict[str, Sample]] = {}
    choices: dict[str, list[int]] = {}
    uncounted: set[str] = set()
    for number, line in enumerate(_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = cast("dict[str, Any]", json.loads(line))
            item, metrics = str(row["doc_id"]), list(row["metrics"])
            values = {metric: row[metric] for metric in metrics}
            filter_name = row.get("filter", "none")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DormantError(
                f"{file}:{number}: not a sample of lm_eval ({type(error).__name__}: {error}); {HOW}"
            ) from None
        for metric, value in values.items():
            name = f"{task}/{metric}" + ("" if filter_name == "none" else f",{filter_name}")
            if not isinstance(value, (bool, int, float)) or value not in (0, 1):
                uncounted.add(name)
                continue
            if metric in _CHOOSING:
                choices.setdefault(name, []).append(_choices(row))
            samples = abilities.setdefault(name, {})
            if item in samples:
                raise DormantError(f"{file}:{number}: item {item} occurs twice for {name}")
            samples[item] = Sample(
                correct=bool(value),
                group=item,
                prompt=_prompt(row),
                target=str(row.get("target", "")),
                content=str(row.get("doc_hash", "")),
                asked=str(row.get("prompt_hash", "")),
            )
    notes = [f"{name}: not a count of successes, left out" for name in sorted(uncounted)]
    return _Samples(
        {name: samples for name, samples in abilities.items() if name not in uncounted},
        {
            name: sum(1 / count for count in counts) / len(counts)
            for name, counts in choices.items()
            if min(counts) > 1
        },
        notes,
    )


def _choices(row: Mapping[str, Any]) -> int:
    """Return how many answers an item was chosen from; 1 or less where there was no choice."""
    try:
        asked = [request["arg_0"] for request in row["arguments"].values()]
    except (KeyError, TypeError, AttributeError):
        return 0
    # Beside each choice after its prompt, some tasks score it after nothing.
    return sum(bool(context) for context in asked)


def _prompt(row: Mapping[str, Any]) -> str:
    try:
        return str(row["arguments"]["gen_args_0"]["arg_0"])
    except (KeyError, TypeError):
        return ""


class _Described(NamedTuple):
    """What the results file beside the samples says."""

    name: str
    transform: str
    signature: str
    version: str


def _described(samples: Path) -> _Described:
    """Read the model, the transform and lm_eval's version from the results file."""
    match = _SAMPLES.fullmatch(samples.name)
    beside = samples.with_name(f"results_{match['time']}.json") if match else None
    if beside is None or not beside.is_file():
        return _Described("", PLAIN, PLAIN, "")
    try:
        results = cast("dict[str, Any]", json.loads(_text(beside)))
    except ValueError as error:
        raise DormantError(f"{beside}: not valid JSON: {error}") from None
    config = results.get("config", {})
    arguments = _arguments(config.get("model_args"))
    # Dormant's model of the harness says what it does to the prompts of the model below it.
    conjugated = config.get("model") == "dormant"
    transform = str(arguments.get("transform", _IDENTITY)) if conjugated else _IDENTITY
    plain = transform == _IDENTITY
    return _Described(
        str(arguments.get("pretrained") or results.get("model_name") or ""),
        PLAIN if plain else transform,
        PLAIN if plain else str(config.get("transform") or transform),
        str(results.get("lm_eval_version") or ""),
    )


def _arguments(given: object) -> dict[str, Any]:
    """Return a model's arguments, which some versions keep as they were typed."""
    if isinstance(given, dict):
        return cast("dict[str, Any]", given)
    pairs = [part.partition("=") for part in str(given or "").split(",")]
    return {name: value for name, equals, value in pairs if equals}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DormantError(f"{file}: can't be read: {error}") from None
