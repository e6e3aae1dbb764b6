"""A laboratory run on disk: settings, logs, weights, errors; it resumes after a kill.

::

    run.json                settings and versions; other settings are refused
    seed-N/pretraining.jsonl, finetuning.jsonl        loss and losses by step
    seed-N/pretrained.safetensors, finetuned.safetensors
    seed-N/errors.npz       squared errors of every predictor, prompt and position
    results.json            schema 1 (`records.LabResults`)
    figures/NAME.png, NAME.csv

While a phase is under way its checkpoint is there too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dormant.errors import DormantError
from dormant.files import append, guarded, replacing, write_atomically
from dormant.regression.checkpoints import load_weights
from dormant.regression.evaluation import Errors
from dormant.regression.records import LabResults
from dormant.regression.settings import LabSettings, flat, parse
from dormant.regression.transformer import Transformer
from dormant.rundirs import refuse_other_settings, refuse_unexpected_files, versions

_LABELS = {"summary"}  # settings that decide no number


class LabRun:
    """A run directory, open for reading.

    Args:
        path: The directory.

    Raises:
        DormantError: There is no laboratory run, or its ``run.json`` is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        file = path / "run.json"
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            raw, self.versions = manifest["laboratory"], dict[str, str](manifest["versions"])
        except FileNotFoundError:
            raise DormantError(f"{path}: no laboratory run there (run.json is missing)") from None
        except (ValueError, KeyError, TypeError):
            raise DormantError(f"{file}: damaged, or not a laboratory run") from None
        self.settings: LabSettings = parse(raw, str(file))

    @classmethod
    def start(cls, path: Path, settings: LabSettings) -> LabRun:
        """Make a run directory, or open the one that holds this very run.

        Raises:
            DormantError: It holds a run of other settings, or something that is no run; or it
                can't be written.
        """
        guarded(path, lambda: path.mkdir(parents=True, exist_ok=True))
        file = path / "run.json"
        if not file.exists():
            refuse_unexpected_files(path)
            body = {
                "schema": 1,
                "laboratory": settings.model_dump(mode="json"),
                "versions": versions("dormant", "torch", "numpy"),
            }
            guarded(path, lambda: write_atomically(file, json.dumps(body, indent=1) + "\n"))
        run = cls(path)
        then, now = flat(run.settings), flat(settings)
        different = [
            f"{name} was {then[name]!r}, now {now[name]!r}"
            for name in now
            if name not in _LABELS and then[name] != now[name]
        ]
        refuse_other_settings(path, different)
        return run

    def seed(self, seed: int) -> SeedFiles:
        """Return the files of one seed."""
        return SeedFiles(self.path / f"seed-{seed}")

    def all_errors(self) -> list[Errors]:
        """Read every seed's errors.

        Raises:
            DormantError: A seed has not been measured yet.
        """
        return [self.seed(seed).errors() for seed in self.settings.seeds]

    def results(self) -> LabResults:
        """Read ``results.json``.

        Raises:
            DormantError: The run has not finished, or the file is damaged.
        """
        file = self.path / "results.json"
        if not file.exists():
            raise DormantError(f"{self.path}: the run has not finished; start it again")
        try:
            return LabResults.model_validate_json(file.read_bytes())
        except ValueError:
            raise DormantError(f"{file}: not a results file of the laboratory") from None


class SeedFiles:
    """The files of one seed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def checkpoint(self, phase: str) -> Path:
        """Where a phase that is under way is kept."""
        return self.path / f"{phase}.checkpoint"

    def weights(self, name: str) -> Path:
        """Where ``pretrained`` or ``finetuned`` weights are."""
        return self.path / f"{name}.safetensors"

    def model(self, name: str, device: str = "cpu") -> Transformer:
        """Load the ``pretrained`` or ``finetuned`` transformer."""
        return load_weights(self.weights(name), device)

    def log(self, phase: str) -> Log:
        """Open a phase's log."""
        return Log(self.path / f"{phase}.jsonl")

    @property
    def measured(self) -> bool:
        """Whether the errors are there."""
        return (self.path / "errors.npz").exists()

    def errors(self) -> Errors:
        """Read the errors.

        Raises:
            DormantError: They are not there, or damaged.
        """
        file = self.path / "errors.npz"
        try:
            with np.load(file) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except FileNotFoundError:
            raise DormantError(f"{self.path}: not measured yet; start the run again") from None
        except (OSError, ValueError):
            raise DormantError(f"{file}: damaged; delete it and start the run again") from None

    def write_errors(self, errors: Mapping[str, NDArray[Any]]) -> None:
        """Keep the errors, atomically."""
        file = self.path / "errors.npz"

        def write() -> None:
            # An open file, since NumPy adds a suffix to a name.
            with replacing(file) as part, part.open("wb") as stream:
                np.savez_compressed(stream, allow_pickle=False, **errors)

        guarded(file, write)


class Log:
    """One JSON line a measurement: step, loss, seconds, and what else was measured then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: float | None = None  # step of the last row that this object wrote

    def rows(self) -> list[dict[str, float]]:
        """Return the rows in order of step; a half-written last line is left out."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def add(self, row: Mapping[str, float]) -> None:
        """Add a row; what a killed session logged from this step on is dropped.

        Raises:
            DormantError: The file can't be written.
        """
        if self._last is None or row["step"] <= self._last:
            kept = [old for old in self.rows() if old["step"] < row["step"]]
            text = "".join(json.dumps(one) + "\n" for one in [*kept, row])
            guarded(self.path, lambda: write_atomically(self.path, text))
        else:  # the file ends with this object's own row
            guarded(self.path, lambda: append(self.path, (json.dumps(row) + "\n").encode()))
        self._last = row["step"]
