"""A laboratory run from end to end: pretrain, fine-tune, measure, for every seed.

Under ``torchrun`` all processes train together, and the first alone writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from dormant.devices import pick_device
from dormant.files import guarded, write_atomically
from dormant.progress import Progress, Silent
from dormant.regression.evaluation import follower, measure
from dormant.regression.phase import Phase
from dormant.regression.records import LabResults, summarise
from dormant.regression.rundir import LabRun, SeedFiles
from dormant.regression.settings import LabSettings
from dormant.regression.streams import stream
from dormant.regression.task_priors import TaskPriors, task_priors
from dormant.regression.transformer import Transformer
from dormant.regression.tuning import tunable
from dormant.rundirs import first_process, locked


def run(
    settings: LabSettings,
    out: Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    cache: Path | None = None,
) -> LabResults | None:
    """Run a laboratory run, or what is left of it.

    Args:
        settings: Everything that decides the numbers.
        out: Run directory; resumed if it holds this run.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, …
        progress: Told how far it is, in training steps.
        cache: Directory where runs of a sweep share what they pretrain alike.

    Returns:
        The results, which are in ``results.json`` too; `None` on processes other than the first.

    Raises:
        DormantError: The directory holds something else or is in use; a training diverged (the
            last good checkpoint is kept).
    """
    place = torch.device(pick_device(device, mps=False))
    first = first_process()
    lock = locked(out) if first else None
    try:
        directory = LabRun.start(out, settings) if first else None
        watch = (progress if first else None) or Silent()
        _announce(settings, out, watch)
        with _flushing_denormals():
            for seed in settings.seeds:
                files = SeedFiles(out / f"seed-{seed}")
                _run_seed(settings, seed, files, place, watch, cache, first)
        if directory is None:
            return None
        results = _results(directory)
        guarded(out, lambda: write_atomically(out / "results.json", results.to_json()))
        return results
    finally:
        if lock is not None:
            lock.release()


def pretraining_key(settings: LabSettings, seed: int) -> str:
    """Return a short name for everything that decides a seed's pretrained weights."""
    parts = (
        settings.prior.model_dump_json(),
        settings.model.model_dump_json(),
        settings.pretraining.model_dump_json(),
        str(seed),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _run_seed(
    settings: LabSettings,
    seed: int,
    files: SeedFiles,
    device: torch.device,
    progress: Progress,
    cache: Path | None,
    first: bool,
) -> None:
    if first:
        guarded(files.path, lambda: files.path.mkdir(parents=True, exist_ok=True))
    priors = task_priors(settings, seed)
    if files.measured:
        return
    source = files
    if cache is not None:
        source = SeedFiles(cache / pretraining_key(settings, seed))
        guarded(source.path, lambda: source.path.mkdir(parents=True, exist_ok=True))
    with _exclusive(source.path, cache is not None and first):
        model = Transformer(settings.model, stream(seed, "weights")).to(device)
        phase = Phase("pretraining", "pretrained", settings, seed, source, progress, first)
        model = phase.run(model, priors.pretraining, settings.pretraining, None)
    if source is not files and first:
        _adopt(source, files)
    phase = Phase("finetuning", "finetuned", settings, seed, files, progress, first)
    pretrained = _copy(model)
    follow = follower(model, priors, settings, seed) if first else None
    part = tunable(model, settings.tuning, stream(seed, "lora"))
    model = phase.run(model, priors.finetuning, settings.finetuning, follow, part)
    if first:
        progress.stage(f"seed {seed} · measuring")
        files.write_errors(_timed(pretrained, model, priors, settings, seed))


def _announce(settings: LabSettings, out: Path, progress: Progress) -> None:
    """Tell the whole work in steps, and how much of it earlier sessions did."""
    per_seed = settings.pretraining.steps + settings.finetuning.steps
    done = 0
    for seed in settings.seeds:
        for phase in ("pretraining", "finetuning"):
            rows = SeedFiles(out / f"seed-{seed}").log(phase).rows()
            done += int(rows[-1]["step"]) if rows else 0
    progress.start(per_seed * len(settings.seeds), done)


def _timed(
    pretrained: Transformer,
    model: Transformer,
    priors: TaskPriors,
    settings: LabSettings,
    seed: int,
) -> dict[str, Any]:
    begun = time.perf_counter()
    errors = measure(pretrained, model, priors, settings, seed)
    return {**errors, "seconds": time.perf_counter() - begun}


def _results(directory: LabRun) -> LabResults:
    settings = directory.settings
    seconds = 0.0
    for seed in settings.seeds:
        files = directory.seed(seed)
        seconds += float(files.errors()["seconds"])
        for phase in ("pretraining", "finetuning"):
            rows = files.log(phase).rows()
            seconds += rows[-1]["seconds"] if rows else 0.0
    return summarise(
        settings.preset,
        settings.seeds,
        directory.all_errors(),
        settings.evaluation.gammas,
        seconds,
    )


@contextlib.contextmanager
def _flushing_denormals() -> Generator[None]:
    """Treat numbers below 1e-38 as 0 for now: a CPU is slow at them, and training makes many.

    The processor's state is the whole process's, so it is put back as it was found.
    """
    tiny = torch.finfo(torch.float64).tiny
    before = float(torch.tensor(tiny, dtype=torch.float64) / 2) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@contextlib.contextmanager
def _exclusive(path: Path, wanted: bool) -> Generator[None]:
    """Hold a cache entry while it is being pretrained; others wait and then find it done."""
    if not wanted:
        yield
        return
    with FileLock(path / ".lock"):
        yield


def _adopt(source: SeedFiles, files: SeedFiles) -> None:
    """Copy what a cache entry holds into the run, so that the run is whole."""
    log = source.log("pretraining").path
    for old, new in (
        (source.weights("pretrained"), files.weights("pretrained")),
        (log, files.log("pretraining").path),
    ):
        if not new.exists():
            data = old.read_bytes()
            guarded(new, lambda new=new, data=data: write_atomically(new, data))


def _copy(model: Transformer) -> Transformer:
    twin = Transformer(model.settings, torch.Generator())
    twin.load_state_dict(model.state_dict())
    return twin.to(next(model.parameters()).device).eval()
