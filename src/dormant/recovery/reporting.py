"""The end of a recovery: what was taken is measured on untouched items, and saved."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dormant.files import guarded, write_atomically
from dormant.progress import Progress
from dormant.recovery.bench import Bench
from dormant.recovery.choose import Candidate, front
from dormant.recovery.measuring import Measuring
from dormant.recovery.save import save
from dormant.recovery.sets import Sets
from dormant.recovery.settings import RecoverSettings
from dormant.recovery.store import Store
from dormant.results.recovery import CandidateResult, Outcome, RecoveryResults

RESULTS = "recovery.json"


@dataclass(frozen=True)
class Reporting:
    """What measures, saves and tells at the end.

    Attributes:
        settings: The recovery's.
        sets: Its items.
        bench: The models.
        store: What was kept.
        measuring: What is measured.
        progress: Told what is being done.
        began: When the recovery began, by the monotonic clock.
    """

    settings: RecoverSettings
    sets: Sets
    bench: Bench
    store: Store
    measuring: Measuring
    progress: Progress
    began: float

    def finish(
        self,
        out: Path,
        outcome: Outcome,
        reason: str,
        candidates: Sequence[Candidate] = (),
        not_tried: Mapping[str, str] | None = None,
        taken: Candidate | None = None,
        dropped: Sequence[str] = (),
    ) -> RecoveryResults:
        """Measure what was taken on untouched items, save it, and keep the results."""
        best = {one.key for one in front(candidates)}
        results = RecoveryResults(
            base=self.settings.base,
            tuned=self.settings.tuned,
            saved=None if taken is None else str(out),
            settings=self.settings.model_dump(mode="json"),
            versions=dict(self.store.manifest["versions"]),
            models=dict(self.store.manifest["settings"]["fingerprints"]),
            outcome=outcome,
            reason=reason,
            chosen=None if taken is None else taken.key,
            choosing=self.measuring.choosing(dropped) if candidates else None,
            candidates=[self._row(one, on_front=one.key in best) for one in candidates],
            abilities=[],
            skill=None,
            not_tried=dict(not_tried or {}),
        )
        if candidates:
            results = self._reported(results, None)
        if taken is not None:
            # Before the control, which takes as long as the treatment took.
            self._save(taken, self._kept(results), out)
            if (control := self._control(taken)) is not None:
                results = self._reported(results, control)
                self._save(taken, results, out)
        return self._kept(results)

    def _kept(self, results: RecoveryResults) -> RecoveryResults:
        """Write what is known, with what was warned of and how long it took; return it."""
        results = results.model_copy(
            update={
                "warnings": self.bench.pair.warnings(),
                "wall_seconds": round(time.monotonic() - self.began, 1),
            }
        )
        file = self.store.path / RESULTS
        guarded(file, lambda: write_atomically(file, results.to_json()))
        return results

    def _reported(self, results: RecoveryResults, control: str | None) -> RecoveryResults:
        """Add what became of the skill and of each ability."""
        measuring, key = self.measuring, results.chosen
        measuring.measure_all(("base", "tuned", key), "report")
        abilities = [
            measuring.ability_change(one, key, named=named, control=control)
            for every, named in ((self.sets.abilities, True), (self.sets.also, False))
            for one in every
        ]
        skill = measuring.skill_change(key)
        return results.model_copy(update={"abilities": abilities, "skill": skill})

    def _save(self, taken: Candidate, results: RecoveryResults, out: Path) -> None:
        save(self.bench.build(taken.change), taken.change, results, self.bench.pair, out)

    def _control(self, taken: Candidate) -> str | None:
        """Train the base as the candidate was trained; return its key, `None` where it wasn't."""
        change = taken.change
        if not self.settings.control or not self.measuring.has_base:
            return None
        if change.training is None or change.factors != (1.0,):
            return None
        same = replace(change, factors=(0.0,))
        self.progress.stage("training the base alike")
        return self.bench.key(same)

    def _row(self, one: Candidate, *, on_front: bool) -> CandidateResult:
        measuring, sets = self.measuring, self.sets
        skill = measuring.values(one.key, "choose", sets.skill)
        accuracy = {
            each.task.name: measuring.values(one.key, "choose", each) for each in sets.abilities
        }
        return CandidateResult(
            key=one.key,
            treatment=one.treatment,
            settings=dict(one.change.settings),
            trained=one.change.training is not None,
            skill=sum(skill) / len(skill),
            skill_loss=one.measured.skill_loss,
            kept=one.measured.kept,
            gain=one.measured.gain,
            returned=one.measured.returned,
            accuracy={task: sum(values) / len(values) for task, values in accuracy.items()},
            seconds=one.seconds,
            on_front=on_front,
        )
