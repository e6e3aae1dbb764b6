"""The files that lm-evaluation-harness wrote: which hold samples, and what is said beside them.

Since 0.4.3 a run writes ``MODEL/samples_TASK_TIME.jsonl`` and ``MODEL/results_TIME.json`` (or
``NAME_TIME.json`` beside its samples, where ``--output_path`` names a file); from 0.4.0 to 0.4.2 it
wrote ``ARGUMENTS_TASK.jsonl``, one JSON list, and ``results.json``. What `simple_evaluate` returns
holds samples and results in one object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from dormant.errors import DormantError
from dormant.integrations.logs.identity import Identity, identify
from dormant.integrations.logs.scored_log import recorded_weights
from dormant.models.weights import WEIGHTS, LoadedWeights
from dormant.results import PLAIN

_IDENTITY = "identity"
_STAMPED = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl?")
_HEAD = 1 << 16
"""Characters in which a file shows what it is."""


@dataclass(frozen=True)
class Run:
    """What a results file says.

    Attributes:
        model: The model.
        hash: Hash of its weights' revision, and of its adapter's.
        weights: The weights that Dormant's model of the harness loaded.
        transform: What Dormant's model of the harness did to the prompts.
        signature: What was really used.
        version: The harness's.
        higher: Whether more is better, by task and metric.
        filters: Names of each task's filters, in the order in which they ran.
        samples: The samples by task, where the file holds them itself.
        counts: How many samples the run scored, by task, where that is known.
    """

    model: Identity
    hash: str = ""
    weights: LoadedWeights | None = None
    transform: str = PLAIN
    signature: str = PLAIN
    version: str = ""
    higher: Mapping[str, Mapping[str, bool | None]] = field(default_factory=dict)
    filters: Mapping[str, list[str]] = field(default_factory=dict)
    samples: Mapping[str, list[Any]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleFile:
    """One task's samples.

    Attributes:
        path: The file.
        task: The task.
        time: When it was run, as the harness writes it; empty where the name doesn't say.
        run: What is known of the run.
    """

    path: Path
    task: str
    time: str
    run: Run


def is_samples(file: Path) -> bool:
    """Return whether a file holds samples, whatever it is called."""
    return bool(_STAMPED.fullmatch(file.name)) or '"doc_id"' in _head(file)


def is_results(file: Path) -> bool:
    """Return whether a file holds a run's results."""
    head = _head(file)
    return '"model_args"' in head or '"results"' in head or '"higher_is_better"' in head


def find(path: Path) -> list[SampleFile]:
    """Find all samples at a path.

    Args:
        path: A directory, a file of samples, or a results file, which stands for its samples.

    Raises:
        DormantError: A results file is damaged.
    """
    if path.is_dir():
        files = [*_files(path, "*.jsonl"), *_files(path, "*.json")]
        return [each for file in sorted(files) for each in _in_file(file, path)]
    if not is_samples(path) and is_results(path):
        run = _run(path, path.stem)
        if not run.samples:
            time = path.stem.rpartition("_")[2]
            beside = sorted(path.parent.glob(f"samples_*_{time}.json*"))
            return [each for file in beside for each in _in_file(file, path.parent)]
    return list(_in_file(path, None))


def text_of(file: Path) -> str:
    """Return a file's text.

    Raises:
        DormantError: It can't be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DormantError(f"{file}: can't be read: {error}") from None


def _files(folder: Path, pattern: str) -> list[Path]:
    return [file for file in folder.rglob(pattern) if file.is_file()]


def _in_file(file: Path, root: Path | None) -> Iterator[SampleFile]:
    """Yield what a file holds; `root` is the directory that was asked for, if one was."""
    if match := _STAMPED.fullmatch(file.name):
        run = _run_beside(file, match["time"], root)
        yield SampleFile(file, match["task"], match["time"], run)
    elif is_samples(file) and not _is_whole(file):
        yield _unstamped(file, root)
    elif file.suffix == ".json" and is_results(file):
        run = _run(file, file.stem)
        for task in run.samples:
            yield SampleFile(file, task, "", run)


def _is_whole(file: Path) -> bool:
    """Return whether a file is one object of results and samples."""
    return file.suffix == ".json" and is_results(file)


def _run_beside(file: Path, time: str, root: Path | None) -> Run:
    """Read the results of the same moment: beside the samples, above them, or elsewhere below."""
    folders = [file.parent, file.parent.parent]
    found = [each for folder in folders for each in sorted(folder.glob(f"*_{time}.json"))]
    if root:
        found += sorted(root.rglob(f"*_{time}.json"))
    for results in found:
        if not _STAMPED.fullmatch(results.name) and is_results(results):
            return _run(results, _place(file, root))
    return Run(Identity(_place(file, root)))


def _unstamped(file: Path, root: Path | None) -> SampleFile:
    """Describe samples under a name that the harness hasn't given, or one before 0.4.3 has."""
    beside = sorted(file.parent.glob("results*.json")) or sorted(file.parent.glob("*.json"))
    candidates = [each for each in beside if each != file and is_results(each)]
    task = file.stem if root else "samples"
    if len(candidates) != 1:
        return SampleFile(file, task, "", Run(Identity(_place(file, root))))
    (results,) = candidates
    arguments = _config(_parsed(results)).get("model_args")
    written = arguments if isinstance(arguments, str) else ""
    # The harness overwrote `results.json` in every run, and named the samples by the arguments.
    prefix = re.sub("/|=", "__", written) + "_"
    if file.stem.startswith(prefix):
        task = file.stem.removeprefix(prefix)
    elif re.match(r"(pretrained|model|path|engine|peft)__", file.stem):
        return SampleFile(file, task, "", Run(Identity(file.stem)))
    run = _run(results, _place(file, root))
    if len(run.higher) == 1 and task not in run.higher:
        (task,) = run.higher
    return SampleFile(file, task, "", run)


def _place(file: Path, root: Path | None) -> str:
    """Name a model by where its samples lie: the harness makes a folder for each."""
    if root is None:
        return file.stem
    return str(file.parent.relative_to(root)) if file.parent != root else root.name or str(root)


def _run(file: Path, otherwise: str) -> Run:
    results = _parsed(file)
    config = _config(results)
    arguments = _arguments(config.get("model_args"))
    # Dormant's model of the harness says what it does to the prompts of the model below it.
    conjugated = config.get("model") == "dormant"
    transform = str(arguments.get("transform", _IDENTITY)) if conjugated else _IDENTITY
    plain = transform == _IDENTITY
    # Where a model in memory was evaluated, there are no arguments, and "model" is its class.
    backend = arguments.get("base") if conjugated else arguments and config.get("model")
    configs = _table(results, "configs")
    samples = _table(results, "samples")
    return Run(
        model=identify(str(backend or ""), arguments, str(results.get("model_name") or otherwise)),
        hash="".join(str(config.get(f"{kind}_sha") or "") for kind in ("peft", "delta", "model")),
        weights=recorded_weights(config.get(WEIGHTS), file),
        transform=PLAIN if plain else transform,
        signature=PLAIN if plain else str(config.get("transform") or transform),
        version=str(results.get("lm_eval_version") or ""),
        higher=_directions(_table(results, "higher_is_better"), configs),
        filters={task: _filters(given) for task, given in configs.items()},
        samples={task: rows for task, rows in samples.items() if isinstance(rows, list)},
        counts=_counts(_table(results, "n-samples")),
    )


def _counts(given: Mapping[str, Any]) -> dict[str, int]:
    return {
        task: said["effective"]
        for task, said in given.items()
        if isinstance(said, dict) and isinstance(said.get("effective"), int)
    }


def _directions(
    logged: Mapping[str, Any], configs: Mapping[str, Any]
) -> dict[str, dict[str, bool | None]]:
    """Collect whether more is better; before 0.4.3 the tasks' configurations alone say it."""
    higher: dict[str, dict[str, bool | None]] = {task: {} for task in (*configs, *logged)}
    for task, config in configs.items():
        for metric in (config.get("metric_list") if isinstance(config, dict) else None) or ():
            if isinstance(metric, dict) and isinstance(metric.get("higher_is_better"), bool):
                higher[task][str(metric.get("metric"))] = metric["higher_is_better"]
    for task, metrics in logged.items():
        higher[task] |= {
            name: value
            for name, value in (metrics if isinstance(metrics, dict) else {}).items()
            if isinstance(value, bool)
        }
    return higher


def _filters(config: object) -> list[str]:
    listed = cast("dict[str, Any]", config).get("filter_list") if isinstance(config, dict) else None
    return [str(each["name"]) for each in listed or () if isinstance(each, dict) and "name" in each]


def _config(results: Mapping[str, Any]) -> dict[str, Any]:
    return _table(results, "config")


def _table(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = values.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _arguments(given: object) -> dict[str, Any]:
    """Return a model's arguments, which some versions keep as they were typed."""
    if isinstance(given, dict):
        return cast("dict[str, Any]", given)
    pairs = [part.partition("=") for part in str(given or "").split(",")]
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _parsed(file: Path) -> dict[str, Any]:
    try:
        results = json.loads(text_of(file))
    except ValueError as error:
        raise DormantError(f"{file}: not valid JSON: {error}") from None
    if not isinstance(results, dict):
        raise DormantError(f"{file}: not the results of lm_eval: an object {{…}} was expected")
    return cast("dict[str, Any]", results)


def _head(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(_HEAD)
    except OSError:
        return ""
