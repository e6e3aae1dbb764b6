"""Records of a base model that another audit has: several children of one base need them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from dormant.audit.run_dir import RunDirectory
from dormant.errors import DormantError
from dormant.files import guarded, write_atomically
from dormant.results import AS_TRAINED

MODEL = "base"
_OF_THE_OTHER = {
    "tuned", "tuned_prompts", "tuned_model_args", "allow_identical", "keep_generations",
    "evidence", "margin", "skill", "checkpoint_every",
}  # fmt: skip
"""Settings that decide nothing of what the base model answered."""


def take(run: RunDirectory, other: Path) -> int:
    """Copy what another run recorded of the base model, where this run has nothing of it yet.

    Each line keeps the id of the run that scored it. Prompts in the wrapping of training data are
    left out: where a chat template is part of that, it is the other child's.

    Args:
        run: The run to go on with.
        other: Directory of a run with the same base model, prompts and settings, and another
            tuned model.

    Returns:
        How many cells were copied.

    Raises:
        DormantError: There is no run, it was made with other settings, of another base model or
            by other versions of a library, or the disk can't be written.
    """
    source = RunDirectory.read(other)
    there, here = _decisive(source), _decisive(run)
    if there != here:
        names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        raise DormantError(
            f"{other}: its records of the base model are of another audit "
            f"({', '.join(sorted(names))}): name a run of the same base with the same settings, "
            "or none"
        )
    return _copy(run, _cells(other))


def take_what_fits(run: RunDirectory, others: Sequence[Path]) -> list[Path]:
    """Do the same with several runs, of each cell the longest; those that don't fit are let be.

    Args:
        run: The run to go on with.
        others: Directories of runs of other tuned models.

    Returns:
        The runs that were made by other versions, with other settings, or of another base, and
        so gave nothing.

    Raises:
        DormantError: A run is damaged, or the disk can't be written.
    """
    here = _decisive(run)
    fitting = [other for other in others if _decisive(RunDirectory.read(other)) == here]
    longest: dict[Path, Path] = {}
    for other in fitting:
        for cell, file in _cells(other).items():
            known = longest.setdefault(cell, file)
            if file.stat().st_size > known.stat().st_size:
                longest[cell] = file
    _copy(run, longest)
    return [other for other in others if other not in fitting]


def _cells(run: Path) -> dict[Path, Path]:
    """Return the files of the base's records, by their place in a run."""
    files = sorted((run / "cells").glob(f"*/*.{MODEL}.jsonl"))
    return {
        file.relative_to(run): file for file in files if file.name != f"{AS_TRAINED}.{MODEL}.jsonl"
    }


def _copy(run: RunDirectory, cells: Mapping[Path, Path]) -> int:
    copied = 0
    for cell, file in cells.items():
        target = run.path / cell
        if target.exists():
            continue
        # A line that a kill cut short, or that is being written, is not for copying.
        whole = file.read_bytes().rpartition(b"\n")[0]
        if whole:
            guarded(run.path, lambda at=target: at.parent.mkdir(parents=True, exist_ok=True))
            guarded(run.path, lambda at=target, text=whole: write_atomically(at, text + b"\n"))
            copied += 1
    return copied


def _decisive(run: RunDirectory) -> dict[str, object]:
    """Return all that decides what the base model is asked and how it answers."""
    settings = cast("Mapping[str, Any]", run.manifest["settings"])
    decisive = {name: value for name, value in settings.items() if name not in _OF_THE_OTHER}
    decisive["fingerprints"] = settings["fingerprints"].get(MODEL)
    return decisive | {"versions": run.manifest["versions"]}
