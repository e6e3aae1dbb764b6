"""Paired comparison of two evaluations that were run elsewhere, without a model.

Reads what lm-evaluation-harness writes with ``--log_samples`` and Inspect's ``.eval`` logs. Both
tools report each model on its own; here the same items are compared pairwise, which the drop's
interval and McNemar's test need.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from dormant.errors import DormantError
from dormant.results import AuditResults, ItemOutcome
from dormant.verdicts import MARGIN, PlainCells, judge_ability

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")
_HOW = (
    "pass a directory that `lm_eval --log_samples --output_path DIRECTORY` wrote, one of its "
    "samples_….jsonl files, or a .eval log of Inspect"
)
_GRADES: Mapping[object, bool] = {"C": True, "I": False, "N": False, True: True, False: False}
"""Inspect's grades: correct, incorrect, no answer; 1 and 0 are equal to true and false."""


@dataclass(frozen=True)
class Sample:
    """One item of a log.

    Attributes:
        correct: Whether it was a success.
        group: The source item, where several samples share one (epochs).
        prompt: The prompt, if the log has it.
        target: The right answer, if the log has it.
        content: Fingerprint of the item; equal in both logs, or they can't be paired.
        asked: Fingerprint of the prompt; another one is worth a warning.
    """

    correct: bool
    group: str
    prompt: str = ""
    target: str = ""
    content: str = ""
    asked: str = ""


@dataclass(frozen=True)
class Log:
    """What one evaluation found.

    Attributes:
        name: The model, as far as the log says.
        source: Where it was read.
        abilities: Samples by ability ("TASK/METRIC") and item.
        notes: What was left out, and why.
        versions: Versions of the tool that wrote it.
    """

    name: str
    source: Path
    abilities: dict[str, dict[str, Sample]]
    notes: list[str] = field(default_factory=list[str])
    versions: dict[str, str] = field(default_factory=dict[str, str])


def compare(base: Log, tuned: Log, margin: float = MARGIN) -> AuditResults:
    """Judge every ability that two logs share, over the same items.

    Args:
        base: The base model's log.
        tuned: The fine-tuned model's.
        margin: Drop, as a fraction, that counts as one.

    Returns:
        Results without transforms: an ability is retained, or it is inconclusive with its drop.

    Raises:
        DormantError: The logs share no ability, or hold other items for one.
    """
    shared = [name for name in base.abilities if name in tuned.abilities]
    if not shared:
        raise DormantError(
            f"{base.source} and {tuned.source} share no task and metric: the first has "
            f"{', '.join(base.abilities) or 'none'}, the second "
            f"{', '.join(tuned.abilities) or 'none'}"
        )
    warnings = [*base.notes, *tuned.notes]
    for one, other in ((base, tuned), (tuned, base)):
        alone = [name for name in one.abilities if name not in other.abilities]
        if alone:
            warnings.append(f"{', '.join(alone)}: in {one.source} only, left out")
    found = []
    for name in shared:
        first, second = base.abilities[name], tuned.abilities[name]
        _refuse_other_items(name, base, tuned)
        asked = sum(sample.asked != second[item].asked for item, sample in first.items())
        if asked:
            warnings.append(
                f"{name}: the prompts of {asked} of {len(first)} items differ between the logs, "
                "so a difference may come from the template or the demonstrations"
            )
        groups = [sample.group for sample in first.values()]
        found.append(
            judge_ability(
                name,
                PlainCells(
                    items=list(first),
                    base=[sample.correct for sample in first.values()],
                    tuned=[second[item].correct for item in first],
                    groups=groups if len(set(groups)) < len(groups) else None,
                ),
                [],
                margin=margin,
            )
        )
    return AuditResults(
        base=base.name,
        tuned=tuned.name,
        settings={"from": [str(base.source), str(tuned.source)], "margin": margin},
        versions={**tuned.versions, **base.versions},
        abilities=found,
        warnings=warnings,
    )


def outcomes(base: Log, tuned: Log) -> Iterator[ItemOutcome]:
    """Yield both logs' samples of the shared abilities as records, for the report's item view."""
    sides: tuple[tuple[Literal["base", "tuned"], Log, Log], ...] = (
        ("base", base, tuned),
        ("tuned", tuned, base),
    )
    for which, log, other in sides:
        for name, samples in log.abilities.items():
            if name not in other.abilities:
                continue
            for item, sample in samples.items():
                yield ItemOutcome(
                    model=which,
                    task=name,
                    transform="plain",
                    item=item,
                    prompt=sample.prompt,
                    target=sample.target,
                    target_logprob=None,
                    target_greedy=sample.correct,
                    correct=sample.correct,
                )


def read_log(path: Path) -> Log:
    """Read one evaluation.

    Args:
        path: A directory that lm_eval wrote, one of its samples files, or an Inspect log.

    Raises:
        DormantError: It is none of these, or damaged; the message names file and line.
    """
    if path.suffix == ".eval":
        return _read_inspect(path)
    if path.is_dir():
        return _read_harness(path, sorted(path.rglob("samples_*.jsonl")))
    if path.is_file() and path.suffix == ".jsonl":
        return _read_harness(path, [path])
    raise DormantError(f"{path}: {'no such log' if not path.exists() else 'not a log'}; {_HOW}")


def _refuse_other_items(name: str, base: Log, tuned: Log) -> None:
    first, second = base.abilities[name], tuned.abilities[name]
    odd = sorted(first.keys() ^ second.keys())
    if odd:
        raise DormantError(
            f"{name}: item {odd[0]} is in only one of {base.source} and {tuned.source} "
            f"({len(odd)} such): evaluate both models on the same items"
        )
    other = [item for item, sample in first.items() if sample.content != second[item].content]
    if other:
        raise DormantError(
            f"{name}: item {other[0]} is not the same in {base.source} and {tuned.source} "
            f"({len(other)} such): evaluate both models on the same data"
        )


def _read_harness(path: Path, files: list[Path]) -> Log:
    newest: dict[str, tuple[str, Path]] = {}
    notes: list[str] = []
    for file in files:
        match = _SAMPLES.fullmatch(file.name)
        task, time = (match["task"], match["time"]) if match else (file.stem, "")
        if task in newest:
            notes.append(f"{path} holds several runs of {task}: the newest was read")
        newest[task] = max(newest.get(task, ("", file)), (time, file))
    if not newest:
        raise DormantError(f"{path}: no samples_….jsonl there; {_HOW}")
    abilities: dict[str, dict[str, Sample]] = {}
    for task, (_, file) in newest.items():
        found, left_out = _samples(task, file)
        abilities |= found
        notes += left_out
    _, file = next(iter(newest.values()))
    name, versions = _described(file)
    return Log(name or path.stem, path, abilities, list(dict.fromkeys(notes)), versions)


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
                f"{file}:{number}: not a sample of lm_eval ({type(error).__name__}: {error}); "
                f"{_HOW}"
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


def _described(samples: Path) -> tuple[str, dict[str, str]]:
    """Read the model's name and lm_eval's version from the results file beside the samples."""
    match = _SAMPLES.fullmatch(samples.name)
    beside = samples.with_name(f"results_{match['time']}.json") if match else None
    if beside is None or not beside.is_file():
        return "", {}
    try:
        found = cast("dict[str, Any]", json.loads(_text(beside)))
    except ValueError as error:
        raise DormantError(f"{beside}: not valid JSON: {error}") from None
    arguments = found.get("config", {}).get("model_args")
    name = str(
        cast("dict[str, Any]", arguments).get("pretrained", "")
        if isinstance(arguments, dict)
        else found.get("model_name") or ""
    )
    version = found.get("lm_eval_version")
    return name, {"lm-eval": str(version)} if version else {}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DormantError(f"{file}: can't be read: {error}") from None


def _read_inspect(path: Path) -> Log:
    if not path.is_file():
        raise DormantError(f"{path}: no such log; {_HOW}")
    try:
        from inspect_ai.log import read_eval_log
    except ImportError:
        raise DormantError(
            f"{path}: reading Inspect's logs needs inspect-ai: pip install 'dormant[inspect]'"
        ) from None
    try:
        log = read_eval_log(str(path))
    except Exception as error:
        # Inspect reads zip, zstandard and JSON, and lets all their errors through.
        raise DormantError(
            f"{path}: not a log of Inspect ({type(error).__name__}: {error})"
        ) from error
    abilities: dict[str, dict[str, Sample]] = {}
    uncounted: set[str] = set()
    for sample in log.samples or []:
        for scorer, score in (sample.scores or {}).items():
            name = f"{log.eval.task}/{scorer}"
            value: object = score.value
            if not isinstance(value, (str, bool, int, float)) or value not in _GRADES:
                uncounted.add(name)
                continue
            abilities.setdefault(name, {})[f"{sample.id}#{sample.epoch}"] = Sample(
                correct=_GRADES[value],
                group=str(sample.id),
                prompt=str(sample.input),
                target=str(sample.target),
                content=f"{sample.input}\n{sample.target}",
            )
    if not abilities and not uncounted:
        raise DormantError(f"{path}: the log holds no scored samples (status {log.status})")
    return Log(
        name=str(log.eval.model),
        source=path,
        abilities={name: found for name, found in abilities.items() if name not in uncounted},
        notes=[f"{name}: not a count of successes, left out" for name in sorted(uncounted)],
        versions={key: str(value) for key, value in log.eval.packages.items()},
    )
