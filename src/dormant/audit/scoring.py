"""Batches put to a model that is open, a share a process, and kept on disk."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dormant.audit.filling import Filling
from dormant.audit.plan import Batch
from dormant.audit.process_group import ProcessGroup
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.audit.score import score_cases
from dormant.audit.settings import AuditSettings, Style
from dormant.progress import Progress
from dormant.results import ItemOutcome

if TYPE_CHECKING:
    from lm_eval.api.model import LM


@dataclass(frozen=True)
class Scoring:
    """How an audit scores.

    Attributes:
        settings: The audit's.
        opened: Its run directory, once it is opened; empty in all processes but the first.
        group: Its processes.
        progress: Told how far it is.
        filling: Told how full the cells are.
    """

    settings: AuditSettings
    opened: list[RunDirectory]
    group: ProcessGroup
    progress: Progress
    filling: Filling

    def note(self, subject: str, text: str | None) -> None:
        """Keep what was decided on a subject, for the results."""
        if self.opened and text:
            self.opened[0].note(subject, text)

    def missing(self, work: Sequence[Batch]) -> list[Batch]:
        """Return the batches that are not on disk; whoever watches is told how full cells are.

        Args:
            work: All batches of some cells.

        Raises:
            DormantError: A record is damaged.
        """
        finished = self.group.once(lambda: self._finished(work))
        for run in self.opened:
            self.filling.plan(run, work, finished)
        missing = [batch for batch, ready in zip(work, finished, strict=True) if not ready]
        whole = sum(batch.size for batch in work)
        self.progress.start(whole, whole - sum(batch.size for batch in missing))
        return missing

    def turns(self, work: Sequence[Batch]) -> Iterator[Sequence[Batch]]:
        """Yield batches that are scored at the same time, one a process."""
        size = self.group.size
        yield from (work[start : start + size] for start in range(0, len(work), size))

    def ask(self, lm: LM, turn: Sequence[Batch], style: Style) -> list[list[ItemOutcome]]:
        """Put one turn's batches to a model, and return the outcomes of all to all processes.

        Raises:
            DormantError: The model failed in one of the processes.
        """
        for run in self.opened:
            self.filling.begin(run, turn)
        own = turn[self.group.rank] if self.group.rank < len(turn) else None
        return self.group.share(functools.partial(self._score, lm, own, style))

    def keep(self, turn: Sequence[Batch], scored: Sequence[Sequence[ItemOutcome]]) -> None:
        """Write one turn's outcomes.

        Raises:
            DormantError: The disk is full or can't be written.
        """
        for batch, outcomes in zip(turn, scored, strict=False):
            for run in self.opened:
                where: dict[str, object] = {
                    "model": batch.key.model,
                    "transform": batch.key.transform,
                    "run": run.id,
                }
                if not self.settings.keep_generations:
                    where["output"] = None
                run.append(batch.key, [outcome.model_copy(update=where) for outcome in outcomes])
                self.filling.kept(run, batch, outcomes)
            self.progress.advance(batch.size)

    def _finished(self, work: Sequence[Batch]) -> list[bool]:
        """Say which batches are on disk, those of a cell together."""
        (run,) = self.opened
        by_cell: dict[CellKey, list[list[str]]] = {}
        for batch in work:
            by_cell.setdefault(batch.key, []).append(batch.items)
        flags = {key: iter(run.finished(key, every)) for key, every in by_cell.items()}
        return [next(flags[batch.key]) for batch in work]

    def _score(self, lm: LM, batch: Batch | None, style: Style) -> list[ItemOutcome]:
        if batch is None:
            return []
        key = batch.key
        self.progress.stage(f"{key.model} · {key.task} · {key.transform}")
        return score_cases(lm, batch.plan.task, batch.cases(), style)
