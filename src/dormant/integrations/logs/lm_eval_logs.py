"""What lm-evaluation-harness writes with ``--log_samples``."""

from __future__ import annotations

from pathlib import Path

from dormant.errors import DormantError
from dormant.integrations.logs.lm_eval_files import Run, SampleFile, find
from dormant.integrations.logs.lm_eval_samples import TaskSamples, read_samples
from dormant.integrations.logs.measures import Directions
from dormant.integrations.logs.scored_log import HOW, CellOrigin, Log, LogOrigin


def read(path: Path, directions: Directions) -> list[Log]:
    """Read the newest run of every task, for each model and transform among the samples.

    Args:
        path: A directory, a file of samples, or a results file, which stands for its samples.
        directions: What the user says of metrics whose logs don't.

    Raises:
        DormantError: There are none, or one is damaged; file and line are named.
    """
    files = find(path)
    if not files:
        raise DormantError(f"{path}: no samples_….jsonl there; {HOW}")
    evaluations: dict[tuple[str, ...], list[SampleFile]] = {}
    for file in files:
        run = file.run
        loaded = run.weights.model_dump_json() if run.weights else ""
        key = (run.model.name, run.hash, loaded, run.transform, run.signature, run.version)
        evaluations.setdefault(key, []).append(file)
    return [_log(path, same, directions) for same in evaluations.values()]


def _log(path: Path, files: list[SampleFile], directions: Directions) -> Log:
    run: Run = files[0].run
    newest: dict[str, SampleFile] = {}
    notes: list[str] = []
    for file in files:
        if other := newest.get(file.task):
            notes.append(
                f"{path} holds several runs of {file.task} by {run.model.name}: the newest was read"
            )
            file = max(other, file, key=lambda each: each.time)
        newest[file.task] = file
    whole = TaskSamples()
    for file in newest.values():
        task = read_samples(file, directions)
        whole.samples |= task.samples
        whole.lost |= task.lost
        whole.chances |= task.chances
        whole.titles |= task.titles
        whole.notes += task.notes
    origins = {
        name: CellOrigin(
            title=whole.titles.get(name, ""),
            chance=whole.chances.get(name, 0.0),
            signature=run.signature,
        )
        for name in whole.samples
    }
    folders = {file.path.parent for file in newest.values()}
    return Log(
        name=run.model.name,
        source=folders.pop() if path.is_dir() and len(folders) == 1 else path,
        abilities=whole.samples,
        notes=list(dict.fromkeys([*notes, *whole.notes])),
        versions={"lm-eval": run.version} if run.version else {},
        transform=run.transform,
        origin=LogOrigin(transform=run.transform, seed=0, abilities=origins),
        lost=whole.lost,
        time=max(file.time for file in newest.values()),
        adapts=run.model.adapts,
        hash=run.hash,
        weights=run.weights,
        settings=run.model.settings,
        named=run.model.named,
    )
