"""What lm-evaluation-harness writes with ``--log_samples``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from dormant.errors import DormantError
from dormant.posthoc.logs import HOW, Log, Sample
from dormant.results import PLAIN

_IDENTITY = "identity"
_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")


def read(path: Path, files: list[Path]) -> Log:
    """Read the newest run of every task among the samples files of `path`.

    Raises:
        DormantError: There are none, or one is damaged; file and line are named.
    """
    newest: dict[str, tuple[str, Path]] = {}
    notes: list[str] = []
    for file in files:
        match = _SAMPLES.fullmatch(file.name)
        task, time = (match["task"], match["time"]) if match else (file.stem, "")
        if task in newest:
            notes.append(f"{path} holds several runs of {task}: the newest was read")
        newest[task] = max(newest.get(task, ("", file)), (time, file))
    if not newest:
        raise DormantError(f"{path}: no samples_….jsonl there; {HOW}")
    abilities: dict[str, dict[str, Sample]] = {}
    for task, (_, file) in newest.items():
        found, left_out = _samples(task, file)
        abilities |= found
        notes += left_out
    _, file = next(iter(newest.values()))
    told = _described(file)
    return Log(
        name=told.name or path.stem,
        source=path,
        abilities=abilities,
        notes=list(dict.fromkeys(notes)),
        versions=told.versions,
        transform=told.transform,
        time=next(iter(newest.values()))[0],
    )


def _samples(task: str, file: Path) -> tuple[dict[str, dict[str, Sample]], list[str]]:
    """Read one samples file: the samples by ability, and a note for each metric left out."""
    abilities: dict[str, dict[str, Sample]] = {}
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
    return {name: found for name, found in abilities.items() if name not in uncounted}, notes


def _prompt(row: Mapping[str, Any]) -> str:
    try:
        return str(row["arguments"]["gen_args_0"]["arg_0"])
    except (KeyError, TypeError):
        return ""


class _Described(NamedTuple):
    """What the results file beside the samples says."""

    name: str
    transform: str
    versions: dict[str, str]


def _described(samples: Path) -> _Described:
    """Read the model, the transform and lm_eval's version from the results file."""
    match = _SAMPLES.fullmatch(samples.name)
    beside = samples.with_name(f"results_{match['time']}.json") if match else None
    if beside is None or not beside.is_file():
        return _Described("", PLAIN, {})
    try:
        found = cast("dict[str, Any]", json.loads(_text(beside)))
    except ValueError as error:
        raise DormantError(f"{beside}: not valid JSON: {error}") from None
    config = found.get("config", {})
    arguments = _arguments(config.get("model_args"))
    # Dormant's model of the harness says what it does to the prompts of the model below it.
    conjugated = config.get("model") == "dormant"
    transform = str(arguments.get("transform", _IDENTITY)) if conjugated else _IDENTITY
    version = found.get("lm_eval_version")
    return _Described(
        str(arguments.get("pretrained") or found.get("model_name") or ""),
        PLAIN if transform == _IDENTITY else transform,
        {"lm-eval": str(version)} if version else {},
    )


def _arguments(found: object) -> dict[str, Any]:
    """Return a model's arguments, which some versions keep as they were typed."""
    if isinstance(found, dict):
        return cast("dict[str, Any]", found)
    pairs = [part.partition("=") for part in str(found or "").split(",")]
    return {name: value for name, equals, value in pairs if equals}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DormantError(f"{file}: can't be read: {error}") from None
