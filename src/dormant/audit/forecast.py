"""What an audit will take, before it is run: prompts, time and memory. Nothing is written."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dormant import devices
from dormant.audit.pair import pair_of
from dormant.audit.plan import Batch, Plan, batches, cells
from dormant.audit.rung import HigherRung
from dormant.audit.rung_forecast import RungForecast, forecast_rungs
from dormant.audit.score import refuse_long, score_cases
from dormant.audit.settings import AuditSettings
from dormant.audit.training import Training
from dormant.models.live import LiveModel
from dormant.models.pair import ModelPair, Which
from dormant.models.size import gigabytes, refuse_too_large, room, weights_in_memory
from dormant.models.spec import ModelSpec
from dormant.progress import Progress, Silent
from dormant.results import Record

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_MEASURED = 8
"""Prompts of each ability that are timed."""


class Forecast(Record):
    """What an audit will take: at most, where each ability is audited until it is decided.

    Attributes:
        prompts: Prompts of both models, by ability.
        seconds: Seconds of scoring, by "base" and "tuned"; measured on a few prompts of each
            ability, and scaled by the characters of all. Loading is not in it.
        loading_seconds: What loading took, likewise.
        weights_bytes: Memory of each model's weights, where files tell it.
        peak_bytes: The most memory that this process, or its GPU, had in use while a few prompts
            were scored; `None` where nothing tells.
        room_bytes: Memory of the device; `None` where nothing tells.
        room: Its name.
        least_prompts: As `prompts`, were each ability decided at its first look; `None` where the
            number of items is fixed.
        least_seconds: As `seconds`, likewise.
        rungs: What the rungs above prompting take on top of that, were every ability to climb.
    """

    prompts: dict[str, int]
    seconds: dict[str, float]
    loading_seconds: dict[str, float]
    weights_bytes: dict[str, int]
    peak_bytes: int | None
    room_bytes: int | None
    room: str
    least_prompts: dict[str, int] | None = None
    least_seconds: dict[str, float] | None = None
    rungs: tuple[RungForecast, ...] = ()

    def __str__(self) -> str:
        """Say it in a few lines."""
        loading = sum(self.loading_seconds.values())
        total = sum(self.seconds.values()) + loading
        least = self.least_prompts or {}
        prompts = _range(sum(least.values()), sum(self.prompts.values()))
        by_task = (f"{task} {_range(least.get(task), n)}" for task, n in self.prompts.items())
        about = f"about {minutes(total)}"
        if self.least_seconds is not None:
            shortest = sum(self.least_seconds.values()) + loading
            about = f"{minutes(shortest)} if all is decided at once, {minutes(total)} at most"
        sides = ", ".join(
            f"{which} {minutes(seconds + self.loading_seconds[which])}"
            for which, seconds in self.seconds.items()
        )
        weights = ", ".join(f"{which} {gigabytes(n)}" for which, n in self.weights_bytes.items())
        there = "" if self.room_bytes is None else f" of {gigabytes(self.room_bytes)} ({self.room})"
        peak = "unknown" if self.peak_bytes is None else f"{gigabytes(self.peak_bytes)}{there}"
        lines = [
            f"prompts  {prompts}: {', '.join(by_task)}",
            f"time     {about} ({sides}), as measured on a few prompts",
            *(_line(rung) for rung in self.rungs),
            f"memory   {peak} at most{f'; weights: {weights}' if weights else ''}",
        ]
        return "\n".join(lines)


def forecast(
    settings: AuditSettings,
    progress: Progress | None = None,
    live: Mapping[Which, LiveModel] | None = None,
    rungs: Sequence[HigherRung] = (),
) -> Forecast:
    """Say what an audit will take.

    Each model is loaded and asked a few prompts of each ability.

    Args:
        settings: What to audit and how.
        progress: Told what is being done.
        live: Models that are in memory already; the settings hold their names.
        rungs: What is tried where prompts leave an ability open, the lowest first.

    Raises:
        DormantError: Bad input, a model that can't be loaded, or one that doesn't fit into memory;
            the latter names the option with which it would.
    """
    watch = progress or Silent()
    pair = pair_of(settings, live or {})
    with devices.use(settings.device):
        refuse_too_large(pair)
        watch.stage("preparing prompts")
        plans = Training.of(settings, pair).plans(settings, pair)
        try:
            return _measure(settings, pair, plans, watch, rungs)
        finally:
            pair.close()


def _measure(
    settings: AuditSettings,
    pair: ModelPair,
    plans: Sequence[Plan],
    watch: Progress,
    rungs: Sequence[HigherRung],
) -> Forecast:
    work = batches(settings, plans)
    first = [ability.at(0) for ability in plans]
    seconds: dict[str, float] = {}
    least: dict[str, float] = {}
    loading: dict[str, float] = {}
    measured: dict[Which, dict[str, float]] = {}
    for which in pair.models():
        watch.stage(f"loading the {which} model")
        began = time.perf_counter()
        with pair.open(which) as lm:
            loading[which] = time.perf_counter() - began
            watch.stage(f"timing the {which} model")
            rates = {
                ability.task.name: _seconds_a_character(lm, ability, settings, which)
                for ability in plans
            }
        measured[which] = rates
        seconds[which] = _seconds(which, work, rates)
        least[which] = _seconds(which, batches(settings, first), rates)
    looks = any(ability.looks for ability in plans)
    there = room(pair.options if pair.base is not None else pair.tuned_options)
    return Forecast(
        prompts=_prompts(settings, plans),
        seconds=seconds,
        loading_seconds=loading,
        weights_bytes=_weights(pair),
        peak_bytes=peak(),
        room_bytes=None if there is None else there[0],
        room="" if there is None else there[1],
        least_prompts=_prompts(settings, first) if looks else None,
        least_seconds=least if looks else None,
        rungs=tuple(forecast_rungs(rungs, plans, pair, measured)),
    )


def _seconds(which: Which, work: Sequence[Batch], rates: Mapping[str, float]) -> float:
    return sum(rates[batch.key.task] * batch.size for batch in work if batch.key.model == which)


def _prompts(settings: AuditSettings, plans: Sequence[Plan]) -> dict[str, int]:
    """Count the prompts of each ability, of both models."""
    prompts = {ability.task.name: 0 for ability in plans}
    for key, ability in cells(settings, plans):
        prompts[key.task] += len(ability.cells[key.transform].cases)
    return prompts


def _seconds_a_character(lm: LM, ability: Plan, settings: AuditSettings, which: Which) -> float:
    """Time an ability's longest cell on a few prompts, after two to warm up."""
    style = settings.style(which)
    filled = [cell for cell in ability.cells.values() if cell.cases]
    cell = max(filled, key=lambda cell: len(cell.cases[next(iter(cell.cases))].prompt))
    cases = [cell.cases[item] for item in list(cell.cases)[: _MEASURED + 2]]
    refuse_long(lm, ability.task, cases, style)
    score_cases(lm, ability.task, cases[:2], style)
    timed = cases[2:] or cases
    began = time.perf_counter()
    score_cases(lm, ability.task, timed, style)
    return (time.perf_counter() - began) / max(1, sum(len(case.prompt) for case in timed))


def _weights(pair: ModelPair) -> dict[str, int]:
    sizes = {
        which: weights_in_memory(model, pair.options_of(which))
        for which, model in pair.models().items()
        if isinstance(model, ModelSpec)
    }
    return {which: size for which, size in sizes.items() if size is not None}


def peak() -> int | None:
    """Return the most memory in use so far: the GPU's where there is one, else the process's."""
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:
        return None  # Windows.
    import sys

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _line(rung: RungForecast) -> str:
    """Say what one rung takes: "noise    at most 72 prompts more (2 s), if all climb"."""
    said: list[str] = []
    if parts := rung.parts():
        seconds = minutes(sum(rung.seconds.values()))
        without = ", trainings not counted" if len(parts) > 1 else ""
        said.append(f"at most {' and '.join(parts)} more ({seconds}{without}), if all climb")
    if missing := rung.missing():
        said.append(f"not tried: {missing}")
    return f"{rung.rung:<8} {'; '.join(said)}"


def _range(least: int | None, most: int) -> str:
    return f"{least} to {most}" if least and least < most else str(most)


def minutes(seconds: float) -> str:
    """Write a time for people."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.1f} min"
