"""A laboratory run from end to end: pretrain, fine-tune, measure, for every seed.

Under ``torchrun`` all processes train together, and the first alone writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from dormant.errors import DormantError
from dormant.files import guarded, write_atomically
from dormant.progress import Progress, Silent
from dormant.regression.checkpoints import load_weights, save_weights
from dormant.regression.evaluation import follower, measure
from dormant.regression.priors import Prior
from dormant.regression.records import LabResults, summarise
from dormant.regression.rundir import LabRun, Log, SeedFiles
from dormant.regression.settings import LabSettings, flat
from dormant.regression.streams import stream
from dormant.regression.task_priors import World, world
from dormant.regression.training import StepLog, TrainingSettings, train
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
    place = _device(device)
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
    priors = world(settings, seed)
    if files.measured:
        return
    source = files
    if cache is not None:
        source = SeedFiles(cache / pretraining_key(settings, seed))
        guarded(source.path, lambda: source.path.mkdir(parents=True, exist_ok=True))
    with _exclusive(source.path, cache is not None and first):
        model = Transformer(settings.model, stream(seed, "weights")).to(device)
        phase = _Phase("pretraining", "pretrained", settings, seed, source, progress, first)
        model = phase.run(model, priors.pretraining, settings.pretraining, None)
    if source is not files and first:
        _adopt(source, files)
    phase = _Phase("finetuning", "finetuned", settings, seed, files, progress, first)
    pretrained = _copy(model)
    look = follower(model, priors, settings, seed) if first else None
    part = tunable(model, settings.tuning, stream(seed, "lora"))
    model = phase.run(model, priors.finetuning, settings.finetuning, look, part)
    if first:
        progress.stage(f"seed {seed} · measuring")
        files.write_errors(_timed(pretrained, model, priors, settings, seed))


class _Phase:
    """Pretraining or fine-tuning of one seed: trains, logs, and leaves weights."""

    def __init__(
        self,
        name: str,
        product: str,
        settings: LabSettings,
        seed: int,
        files: SeedFiles,
        progress: Progress,
        first: bool,
    ) -> None:
        self.name, self.seed, self.settings = name, seed, settings
        self.weights = files.weights(product)
        self.checkpoint = files.checkpoint(name)
        self.log: Log = files.log(name)
        self.progress, self.first = progress, first

    def run(
        self,
        model: Transformer,
        prior: Prior,
        how: TrainingSettings,
        look: Callable[[], dict[str, float]] | None,
        part: AbstractContextManager[Any] | None = None,
    ) -> Transformer:
        """Return the model trained: by training, or from disk if that was done before.

        `part` is entered while training and left before the weights are written.
        """
        if self.weights.exists():
            return self._loaded(next(model.parameters()).device)
        rows = self.log.rows() if self.first else []
        reached = int(rows[-1]["step"]) if rows else 0
        self.progress.stage(f"seed {self.seed} · {self.name}")
        if look is not None and not rows:
            self.log.add({"step": 0, "seconds": 0.0, **look()})
        begun = time.perf_counter()
        earlier: float | None = None

        def on_log(line: StepLog) -> None:
            nonlocal reached, earlier
            if earlier is None:
                before = [row["seconds"] for row in self.log.rows() if row["step"] < line.step]
                earlier = before[-1] if before else 0.0
            extra = look() if look is not None else {}
            seconds = round(earlier + time.perf_counter() - begun, 2)
            self.log.add({"step": line.step, "loss": line.loss, "seconds": seconds, **extra})
            self.progress.stage(f"seed {self.seed} · {self.name} · loss {line.loss:.3f}")
            self.progress.advance(max(0, line.step - reached))
            reached = max(reached, line.step)

        with part or contextlib.nullcontext():
            train(
                model,
                prior,
                how,
                positions=self.settings.model.positions,
                seed=self.seed,
                phase=self.name,
                checkpoint=self.checkpoint,
                on_log=on_log,
            )
        if self.first:
            unfinished = self.weights.with_suffix(".part")
            guarded(unfinished, lambda: save_weights(unfinished, model))
            unfinished.replace(self.weights)
            self.checkpoint.unlink(missing_ok=True)
        return model

    def _loaded(self, device: torch.device) -> Transformer:
        """Read weights that an earlier session left."""
        found = load_weights(self.weights, device)
        if found.settings != self.settings.model:
            there, here = flat(found.settings), flat(self.settings.model)
            name = next(name for name in here if there[name] != here[name])
            raise DormantError(
                f"{self.weights} is of another shape: {name} is {there[name]!r} there and "
                f"{here[name]!r} in this run; delete it, or choose another directory"
            )
        return found


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
    pretrained: Transformer, model: Transformer, priors: World, settings: LabSettings, seed: int
) -> dict[str, Any]:
    begun = time.perf_counter()
    found = measure(pretrained, model, priors, settings, seed)
    return {**found, "seconds": time.perf_counter() - begun}


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


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DormantError(f"device {name!r} can't be used here: {reason}") from None
    return device
