"""Records of a base model that another audit has: several children of one base need them once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from dormant.audit.run_dir import RunDirectory
from dormant.errors import DormantError
from dormant.files import guarded, write_atomically

MODEL = "base"
_OF_THE_OTHER = {
    "tuned", "tuned_prompts", "tuned_model_args", "allow_identical", "keep_generations",
    "evidence", "margin", "skill", "checkpoint_every",
}  # fmt: skip
"""Settings that decide nothing of what the base model answered."""


def take(run: RunDirectory, other: Path) -> int:
    """Copy what another run recorded of the base model, where this run has nothing of it yet.

    Each line keeps the id of the run that scored it.

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
    copied = 0
    for file in sorted((other / "cells").glob(f"*/*.{MODEL}.jsonl")):
        target = run.path / file.relative_to(other)
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
