"""A recovery, end to end: three sets of items, candidates, a choice, the proof, what is saved.

Sets are cut (`item_sets`); base and fine-tuned model are measured on the items that choose, and it
is seen whether there is a skill to keep and an ability to recover; treatments propose changes
(`treatment`), which are made (`bench`), measured on the items that choose, and kept (`store`); one
is taken by a fixed rule (`choose`), measured on the items that nobody has touched, and saved with
what was done and what it did (`save`).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dormant import devices
from dormant.audit.manifest import LIBRARIES
from dormant.audit.pair import pair_of
from dormant.errors import DormantError
from dormant.models.pair import ModelPair
from dormant.models.size import refuse_too_large
from dormant.models.spec import ModelSpec, parse
from dormant.progress import Progress, Silent
from dormant.recovery import registry
from dormant.recovery.bench import Bench
from dormant.recovery.choose import Candidate, choose
from dormant.recovery.measuring import Measuring, Skill
from dormant.recovery.registry import Configured
from dormant.recovery.reporting import Reporting
from dormant.recovery.sets import Sets
from dormant.recovery.settings import RecoverSettings
from dormant.recovery.store import Store
from dormant.recovery.treatment import (
    Change,
    Complete,
    Given,
    Measured,
    UnfitTreatmentError,
    pursue,
)
from dormant.results.recovery import RecoveryResults
from dormant.rundirs import versions
from dormant.statistics.wording import points

FOLDER = "recovery"
"""Where, in what is saved, a recovery keeps what it measured."""


def recover(
    settings: RecoverSettings,
    out: Path,
    progress: Progress | None = None,
    *,
    budget: float | None = None,
) -> RecoveryResults:
    """Give abilities back and keep the skill, or go on with a recovery that was stopped.

    Args:
        settings: What to recover, and how.
        out: Where the recovered model is saved; ``out/recovery`` holds what was measured.
        progress: Told how far it is.
        budget: Seconds after which no further candidate is made.

    Returns:
        The results, which are also in ``out/recovery/recovery.json``.

    Raises:
        DormantError: Bad input, no skill to keep, a model that can't be loaded or whose weights
            can't be reached, a disk that is full. What was computed is kept, and the same call
            goes on from there.
    """
    settings = prepared(settings)
    chosen = [registry.get(name) for name in settings.treatments]
    pair = pair_of(settings.audit(), {})
    watch = progress or Silent()
    with devices.use(settings.device):
        watch.stage("preparing prompts")
        sets = Sets.of(settings, pair)
        refuse_too_large(pair)
        store = Store.start(out / FOLDER, _recorded(settings, pair, sets), versions(*LIBRARIES))
        bench = Bench(pair, settings, store, watch)
        decisive = [*sets.abilities, sets.skill]
        bench.arithmetics.choose_by([(one.task, one.choose) for one in decisive])
        try:
            return _Recovery(settings, sets, bench, store, watch, budget).run(chosen, out)
        finally:
            bench.close()
            store.close()


@dataclass
class _Recovery:
    settings: RecoverSettings
    sets: Sets
    bench: Bench
    store: Store
    progress: Progress
    budget: float | None

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        skill = Skill(self.sets.skill, self.settings.skill_margin)
        self._measuring = Measuring(
            self.bench, self.sets.abilities, self.sets.also, skill, self.settings.margin
        )

    @property
    def _reporting(self) -> Reporting:
        return Reporting(
            self.settings,
            self.sets,
            self.bench,
            self.store,
            self._measuring,
            self.progress,
            self._began,
        )

    def run(self, chosen: Sequence[Configured], out: Path) -> RecoveryResults:
        """Do all of it."""
        self._measuring.measure_all(("base", "tuned"), "choose")
        dropped = self._dropped()
        if not dropped:
            drops = self._measuring.drops().items()
            lines = "; ".join(f"{task} dropped by {points(drop)}" for task, drop in drops)
            reason = f"Nothing to recover: {lines}; nothing of that is sure to be a loss."
            return self._reporting.finish(out, "nothing to do", reason)
        self._refuse_unlearnt()
        candidates: list[Candidate] = []
        not_tried: dict[str, str] = {}
        for one in chosen:
            self._try(one, dropped, candidates, not_tried)
        if not candidates:
            reasons = "; ".join(f"{name}: {why}" for name, why in not_tried.items())
            raise DormantError(f"no treatment could be tried ({reasons})")
        margin = self._measuring.skill_margin("choose")
        taken, reason = choose(candidates, margin)
        outcome = "nothing found" if taken is None else "recovered"
        return self._reporting.finish(out, outcome, reason, candidates, not_tried, taken, dropped)

    def _dropped(self) -> list[str]:
        """Return the abilities of which something is surely lost; all where there is no base."""
        if not self._measuring.has_base:
            return [one.task.name for one in self.sets.abilities]
        return [task for task, drop in self._measuring.drops().items() if drop.low > 0]

    def _refuse_unlearnt(self) -> None:
        """Refuse a skill at which the fine-tuned model isn't surely better than the base."""
        learnt = self._measuring.learnt()
        if learnt is not None and learnt.low <= 0:
            scale, unit = (1, "nats") if self._measuring.skill.by_likelihood else (100, "points")
            raise DormantError(
                f"--skill {self.settings.skill}: the fine-tuned model isn't surely better at it "
                f"than the base ({scale * learnt.estimate:+.2g} {unit}, {scale * learnt.low:.2g} "
                f"to {scale * learnt.high:.2g}): there is no skill to keep; give what it was tuned "
                "on, or more items of it"
            )

    def _try(
        self,
        one: Configured,
        dropped: Sequence[str],
        candidates: list[Candidate],
        not_tried: dict[str, str],
    ) -> None:
        """Let a treatment propose, and measure what it proposes."""
        name = one.name
        while name in not_tried:
            name += "'"
        made = {other.key for other in candidates}

        def measure(change: Change) -> Measured | None:
            began, key = time.monotonic(), self.bench.key(change)
            row = self.store.candidates().get(key)
            if row is None and self._is_spent():
                not_tried[name] = f"stopped: the budget of {self.budget:.0f} s was spent"
                return None
            measured = self._measuring.candidate(key, dropped)
            self.bench.let_go(key)
            seconds = round(time.monotonic() - began, 1) if row is None else row["seconds"]
            if row is None:
                settings = dict(change.settings)
                self.store.keep_candidate(
                    {"key": key, "treatment": one.name, "settings": settings, "seconds": seconds}
                )
            if key not in made:
                made.add(key)
                candidates.append(Candidate(key, one.name, change, measured, seconds))
                self.progress.say(_line(candidates[-1]))
            return measured

        try:
            pursue(one(self._given(dropped)), measure)
        except UnfitTreatmentError as error:
            not_tried[name] = str(error)

    def _is_spent(self) -> bool:
        return self.budget is not None and time.monotonic() - self._began > self.budget

    def _given(self, dropped: Sequence[str]) -> Given:
        return given_of(self.settings, self.sets, self.bench, self.bench.complete, dropped)


def given_of(
    settings: RecoverSettings,
    sets: Sets,
    bench: Bench,
    complete: Complete,
    dropped: Collection[str],
) -> Given:
    """Return what treatments may see.

    Args:
        settings: The recovery's.
        sets: Its items.
        bench: The models.
        complete: See `Given.complete`.
        dropped: Names of the abilities to be recovered.
    """
    return Given(
        prompts={one.task.name: one.train for one in sets.abilities if one.task.name in dropped},
        replay=functools.partial(sets.replayed, settings.replay, complete, bench.example),
        has_data=sets.replay is not None,
        has_base=bench.pair.base is not None,
        seed=settings.seed,
        scales=bench.scales(),
        complete=complete,
        example=bench.example,
    )


def _line(one: Candidate) -> str:
    back = one.measured.returned
    share = "" if back is None else f", {100 * back.estimate:.0f}% of the drop back"
    return (
        f"{one.treatment} {_short(one.change.settings)}: skill loss "
        f"{one.measured.skill_loss.estimate:+.3f}{share}"
    )


def _short(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())[:100]


def prepared(settings: RecoverSettings) -> RecoverSettings:
    """Take the base that an adapter names, where none is given; look at all names.

    Raises:
        DormantError: A treatment is unknown, or a model's weights can't be reached.
    """
    for name in settings.treatments:
        registry.get(name)
    specs = [parse(text) for text in (settings.base, settings.tuned) if text is not None]
    for spec in specs:
        _refuse_backend(spec)
    named = specs[-1].base
    return settings.model_copy(update={"base": settings.base or named})


def _refuse_backend(spec: ModelSpec) -> None:
    if spec.elsewhere:
        raise DormantError(
            f"the weights of {spec.text!r} can't be reached: recover where they are, or put a "
            f"transform before the model: dormant serve {spec.text} -s leetspeak"
        )
    if spec.kind == "backend":
        raise DormantError(f"{spec.text!r}: name the checkpoint itself, not a backend")


def _recorded(settings: RecoverSettings, pair: ModelPair, sets: Sets) -> dict[str, object]:
    """Return all that decides the numbers."""
    every = [*sets.abilities, *sets.also, sets.skill]
    recorded = settings.model_dump(mode="json")
    # What is tried, and on what else is reported, may grow: rows are kept by content.
    for name in ("treatments", "also", "control"):
        del recorded[name]
    return {
        **recorded,
        "fingerprints": pair.fingerprints(),
        "task_versions": {one.task.name: one.task.version for one in every},
        "replay_version": None if sets.replay is None else sets.replay.version,
    }
