"""Pretraining or fine-tuning of one seed, resumable: trained weights are not trained again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from dormant.errors import DormantError
from dormant.files import guarded
from dormant.progress import Progress
from dormant.regression.checkpoints import load_weights, save_weights
from dormant.regression.priors import Prior
from dormant.regression.rundir import Log, SeedFiles
from dormant.regression.settings import LabSettings, flat
from dormant.regression.training import StepLog, TrainingSettings, train
from dormant.regression.transformer import Transformer


class Phase:
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
        follow: Callable[[], dict[str, float]] | None,
        part: AbstractContextManager[Any] | None = None,
    ) -> Transformer:
        """Return the model trained: by training, or from disk if that was done before.

        Args:
            model: What to train, in place.
            prior: What its prompts are drawn from.
            how: How long and how fast.
            follow: Measures what else is logged; called before the first step and at each line.
            part: Entered while training and left before the weights are written.

        Raises:
            DormantError: Training diverged, a file can't be written, or weights on disk are of
                another shape.
        """
        if self.weights.exists():
            return self._loaded(next(model.parameters()).device)
        rows = self.log.rows() if self.first else []
        reached = int(rows[-1]["step"]) if rows else 0
        self.progress.stage(f"seed {self.seed} · {self.name}")
        if follow is not None and not rows:
            self.log.add({"step": 0, "seconds": 0.0, **follow()})
        begun = time.perf_counter()
        earlier: float | None = None

        def on_log(line: StepLog) -> None:
            nonlocal reached, earlier
            if earlier is None:
                before = [row["seconds"] for row in self.log.rows() if row["step"] < line.step]
                earlier = before[-1] if before else 0.0
            extra = follow() if follow is not None else {}
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
            guarded(self.weights, lambda: save_weights(self.weights, model))
            self.checkpoint.unlink(missing_ok=True)
        return model

    def _loaded(self, device: torch.device) -> Transformer:
        """Read weights that an earlier session left."""
        loaded = load_weights(self.weights, device)
        if loaded.settings != self.settings.model:
            there, here = flat(loaded.settings), flat(self.settings.model)
            name = next(name for name in here if there[name] != here[name])
            raise DormantError(
                f"{self.weights} is of another shape: {name} is {there[name]!r} there and "
                f"{here[name]!r} in this run; delete it, or choose another directory"
            )
        return loaded
