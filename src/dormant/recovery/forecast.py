"""What a recovery will take, before it is run: prompts, time and memory. Nothing is written."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dormant import devices
from dormant.audit.forecast import minutes, peak
from dormant.audit.pair import pair_of
from dormant.audit.score import score_cases
from dormant.models.generate import generate
from dormant.models.pair import ModelPair
from dormant.models.size import gigabytes, refuse_too_large, room, weights_in_memory
from dormant.models.spec import ModelSpec
from dormant.progress import Progress, Silent
from dormant.prompts.case import Case
from dormant.recovery import registry
from dormant.recovery.bench import STOP, TOKENS, Bench
from dormant.recovery.item_sets import ItemSets
from dormant.recovery.run import given_of, prepared
from dormant.recovery.sets import Sets
from dormant.recovery.settings import RecoverSettings
from dormant.recovery.store import Store
from dormant.recovery.treatment import (
    Change,
    Measured,
    Training,
    UnfitTreatmentError,
    pursue,
)
from dormant.results import Estimate, Record, Which

_MEASURED = 8
"""Prompts that are timed; answers, half of them."""


class RecoveryForecast(Record):
    """What a recovery will take.

    Attributes:
        candidates: How many each treatment makes.
        prompts: Prompts that are scored, of all models.
        answers: Answers that the fine-tuned model writes.
        steps: Training steps.
        seconds: Of scoring, writing, training and loading; measured on a few of each.
        weights_bytes: Memory of the fine-tuned model's weights, where files tell it.
        peak_bytes: The most memory in use while that was measured; `None` where nothing tells.
        room_bytes: Memory of the device; `None` where nothing tells.
        room: Its name.
        not_tried: Treatments that can't be tried, and why, as far as that is known before.
    """

    candidates: dict[str, int]
    prompts: int
    answers: int
    steps: int
    seconds: dict[str, float]
    weights_bytes: int | None
    peak_bytes: int | None
    room_bytes: int | None
    room: str
    not_tried: dict[str, str]

    def __str__(self) -> str:
        """Say it in a few lines."""
        made = ", ".join(f"{name} {count}" for name, count in self.candidates.items())
        parts = ", ".join(f"{name} {minutes(at)}" for name, at in self.seconds.items())
        there = "" if self.room_bytes is None else f" of {gigabytes(self.room_bytes)} ({self.room})"
        most = "unknown" if self.peak_bytes is None else f"{gigabytes(self.peak_bytes)}{there}"
        weights = (
            "" if self.weights_bytes is None else f"; weights: {gigabytes(self.weights_bytes)}"
        )
        lines = [
            f"candidates  {made or 'none'}",
            f"prompts     {self.prompts} scored, {self.answers} answered; {self.steps} training "
            "steps",
            f"time        about {minutes(sum(self.seconds.values()))} ({parts}), as measured on a "
            "few",
            f"memory      {most} at most{weights}",
            *(f"not tried   {name}: {why}" for name, why in self.not_tried.items()),
        ]
        return "\n".join(lines)


@dataclass
class _Counted:
    """What treatments ask for when they are told that all goes well."""

    candidates: dict[str, int] = field(default_factory=dict[str, int])
    answers: list[Case] = field(default_factory=list[Case])
    trainings: list[Training] = field(default_factory=list[Training])
    not_tried: dict[str, str] = field(default_factory=dict[str, str])


def forecast(settings: RecoverSettings, progress: Progress | None = None) -> RecoveryForecast:
    """Say what a recovery will take: the fine-tuned model is loaded, asked, and trained a little.

    Args:
        settings: What to recover, and how.
        progress: Told what is being done.

    Raises:
        DormantError: Bad input, a model that can't be loaded, or one that doesn't fit into memory.
    """
    settings = prepared(settings)
    watch = progress or Silent()
    pair = pair_of(settings.audit(), {})
    with devices.use(settings.device), tempfile.TemporaryDirectory() as folder:
        watch.stage("preparing prompts")
        sets = Sets.of(settings, pair)
        refuse_too_large(pair)
        store = Store.start(Path(folder), {}, {})
        bench = Bench(pair, settings, store, watch)
        try:
            return _measure(settings, sets, bench, pair, watch)
        finally:
            bench.close()
            store.close()


def _measure(
    settings: RecoverSettings, sets: Sets, bench: Bench, pair: ModelPair, watch: Progress
) -> RecoveryForecast:
    counted = _count(settings, sets, bench)
    began = time.perf_counter()
    lm = bench.lm("tuned")
    loading = time.perf_counter() - began
    watch.stage("timing")
    made, sides = sum(counted.candidates.values()), len(pair.models())
    seconds = {"loading": loading * (1 + made)}
    prompts, scoring = 0, 0.0
    for one, chooses in [*((one, True) for one in (*sets.abilities, sets.skill)),
                         *((one, False) for one in sets.also)]:  # fmt: skip
        count = len(one.report) * (sides + 1)
        count += len(one.choose) * (sides + made) if chooses else 0
        prompts += count
        scoring += count * _seconds_a_prompt(lm, one, settings)
    seconds["scoring"] = scoring
    if counted.answers:
        some = [case.prompt for case in counted.answers[:: max(1, len(counted.answers) // 4)]][:4]
        began = time.perf_counter()
        generate(lm, some, max_new_tokens=TOKENS, until=[STOP])
        seconds["writing"] = (time.perf_counter() - began) / len(some) * len(counted.answers)
    steps = sum(one.settings.steps for one in counted.trainings)
    if counted.trainings:
        seconds["training"] = steps * _seconds_a_step(bench, counted.trainings[0])
    tuned, there = pair.tuned, room(pair.tuned_options)
    return RecoveryForecast(
        candidates=counted.candidates,
        prompts=prompts,
        answers=len(counted.answers),
        steps=steps,
        seconds=seconds,
        weights_bytes=weights_in_memory(tuned, pair.tuned_options)
        if isinstance(tuned, ModelSpec)
        else None,
        peak_bytes=peak(),
        room_bytes=None if there is None else there[0],
        room="" if there is None else there[1],
        not_tried=counted.not_tried,
    )


def _count(settings: RecoverSettings, sets: Sets, bench: Bench) -> _Counted:
    """Let treatments propose, and tell them that each answer is right and each change good."""
    counted = _Counted()

    def complete(cases: Sequence[Case], model: Which = "tuned") -> list[str | None]:
        del model
        counted.answers += cases
        return [(case.given or case).target.text for case in cases]

    # Which of the abilities dropped isn't known before.
    given = given_of(settings, sets, bench, complete, {one.task.name for one in sets.abilities})
    nothing = Estimate(estimate=0.0, low=0.0, high=0.0)
    good = Measured(kept=True, skill_loss=nothing, gain=nothing, returned=nothing)

    def hear(change: Change) -> Measured:
        counted.trainings += [] if change.training is None else [change.training]
        return good

    for name in settings.treatments:
        one = registry.get(name)
        try:
            counted.candidates[name] = pursue(one(given), hear)
        except UnfitTreatmentError as error:
            counted.not_tried[name] = str(error)
    return counted


def _seconds_a_prompt(lm: Any, sets: ItemSets, settings: RecoverSettings) -> float:
    cases = sets.report[: _MEASURED + 2]
    score_cases(lm, sets.task, cases[:2], settings.prompts)
    began = time.perf_counter()
    score_cases(lm, sets.task, cases[2:], settings.prompts)
    return (time.perf_counter() - began) / max(1, len(cases[2:]))


def _seconds_a_step(bench: Bench, training: Training) -> float:
    few = replace(training, settings=replace(training.settings, steps=2))
    began = time.perf_counter()
    with bench.learnt(few):
        pass
    return (time.perf_counter() - began) / 2
