"""Likelihoods of prompts on disk, beside the records of the run that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dormant.audit.record_lines import records_in
from dormant.audit.run_dir import RunDirectory
from dormant.files import append, content_of, guarded, write_atomically
from dormant.results.closeness import PromptLikelihood


@dataclass(frozen=True)
class Store:
    """``closeness/TASK/TRANSFORM.MODEL.jsonl`` of a run directory: one line a prompt.

    Attributes:
        run: The run, whose lock the caller holds.
    """

    run: RunDirectory

    def file(self, model: str, task: str, transform: str) -> Path:
        """Return the file of one model's prompts under one transform."""
        return self.run.record_file("closeness", task, transform, model)

    def known(self, model: str, task: str, transform: str) -> dict[str, PromptLikelihood]:
        """Return what is there, by item; a line that a kill cut short is dropped.

        Raises:
            DormantError: A record is damaged.
        """
        file = self.file(model, task, transform)
        if not file.exists():
            return {}
        text = content_of(file)
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            guarded(self.run.path, lambda: write_atomically(file, whole))
        return {one.item: one for one in records_in(file, PromptLikelihood)}

    def add(self, model: str, task: str, transform: str, found: Sequence[PromptLikelihood]) -> None:
        """Add a batch: all of it reaches the disk, or none.

        Raises:
            DormantError: The disk is full or can't be written.
        """
        file = self.file(model, task, transform)
        block = "".join(f"{one.model_dump_json(exclude_none=True)}\n" for one in found)
        guarded(file, lambda: file.parent.mkdir(parents=True, exist_ok=True))
        guarded(self.run.path, lambda: append(file, block.encode()))
