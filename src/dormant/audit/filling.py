"""How full an audit's cells are, told to whoever watches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from dormant.audit.plan import Batch
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.results import AuditResults, ItemOutcome, Rung
from dormant.results.events import (
    AbilityJudged,
    AuditEvent,
    CellEvent,
    CellSoFar,
    Planned,
    SkillJudged,
    Tell,
)
from dormant.statistics.so_far import accuracy_so_far


@dataclass
class _Count:
    rung: Rung
    n: int
    done: int = 0
    correct: int = 0
    started: bool = False


class Filling:
    """Counts what reaches the disk, cell by cell.

    Args:
        tell: Told of each; `None` where nobody watches, and nothing is counted then.
    """

    def __init__(self, tell: Tell | None) -> None:
        self._tell = tell
        self._counts: dict[CellKey, _Count] = {}

    def tell(self, event: AuditEvent) -> None:
        """Hand an event on."""
        if self._tell is not None:
            self._tell(event)

    def plan(self, run: RunDirectory, work: Sequence[Batch], finished: Sequence[bool]) -> None:
        """Tell of cells that are to be filled now.

        Args:
            run: Where they are.
            work: All batches of them, cell by cell.
            finished: Which of these are on disk.
        """
        if self._tell is None:
            return
        ready: dict[CellKey, set[str]] = {}
        for batch, done in zip(work, finished, strict=True):
            key = batch.key
            count = self._counts.setdefault(key, _Count("prompt", 0))
            if key not in ready:
                ready[key] = set()
                count.rung, count.n = batch.plan.rungs.get(key.transform, "prompt"), 0
            count.n += len(batch.items)
            ready[key] |= set(batch.items if done else ())
        for key, items in ready.items():
            count = self._counts[key]
            count.done, count.correct = _on_disk(run, key, items)
            count.started = count.done == count.n
        self.tell(Planned(run=str(run.path), cells=[self._so_far(key) for key in ready]))

    def begin(self, run: RunDirectory, work: Iterable[Batch]) -> None:
        """Tell of cells whose first batch is put to a model."""
        for key in dict.fromkeys(batch.key for batch in work):
            count = self._counts.get(key)
            if self._tell is not None and count is not None and not count.started:
                count.started = True
                cell = self._so_far(key)
                self.tell(CellEvent(event="cell-started", run=str(run.path), cell=cell))

    def kept(self, run: RunDirectory, batch: Batch, outcomes: Sequence[ItemOutcome]) -> None:
        """Tell of a batch that is on disk."""
        count = self._counts.get(batch.key)
        if self._tell is None or count is None:
            return
        self.begin(run, [batch])  # Where it was scored elsewhere, nobody said so.
        count.done += len(outcomes)
        count.correct += sum(outcome.correct for outcome in outcomes)
        event = "cell-done" if count.done == count.n else "cell-progress"
        self.tell(CellEvent(event=event, run=str(run.path), cell=self._so_far(batch.key)))

    def judged(self, run: RunDirectory, results: AuditResults) -> None:
        """Tell of each ability's verdict."""
        for ability in results.abilities:
            said = {
                name: getattr(ability, name) for name in AbilityJudged.model_fields.keys() - _OWN
            }
            self.tell(AbilityJudged(run=str(run.path), **said))
        if (skill := results.skill) is not None:
            where = str(run.path)
            self.tell(
                SkillJudged(run=where, task=skill.task, verdict=skill.verdict, reason=skill.reason)
            )

    def _so_far(self, key: CellKey) -> CellSoFar:
        count = self._counts[key]
        return CellSoFar(
            model=key.model,
            task=key.task,
            transform=key.transform,
            rung=count.rung,
            n=count.n,
            done=count.done,
            correct=count.correct,
            accuracy=accuracy_so_far(count.correct, count.done),
        )


_OWN = {"event", "run"}


def _on_disk(run: RunDirectory, key: CellKey, items: Collection[str]) -> tuple[int, int]:
    """Count some items of a cell, and the successes among them."""
    if not items:
        return 0, 0
    right = {score.item: score.correct for score in run.scores(key) if score.item in items}
    return len(right), sum(right.values())
