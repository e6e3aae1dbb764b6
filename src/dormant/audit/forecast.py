"""What an audit will take, before it is run: prompts, time and memory. Nothing is written."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dormant import devices
from dormant.audit.pair import pair_of
from dormant.audit.plan import Batch, Plan, batches, cells
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
    """What an audit will take.

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
    """

    prompts: dict[str, int]
    seconds: dict[str, float]
    loading_seconds: dict[str, float]
    weights_bytes: dict[str, int]
    peak_bytes: int | None
    room_bytes: int | None
    room: str

    def __str__(self) -> str:
        """Say it in a few lines."""
        total = sum(self.seconds.values()) + sum(self.loading_seconds.values())
        sides = ", ".join(
            f"{which} {_minutes(seconds + self.loading_seconds[which])}"
            for which, seconds in self.seconds.items()
        )
        weights = ", ".join(f"{which} {gigabytes(n)}" for which, n in self.weights_bytes.items())
        there = "" if self.room_bytes is None else f" of {gigabytes(self.room_bytes)} ({self.room})"
        peak = "unknown" if self.peak_bytes is None else f"{gigabytes(self.peak_bytes)}{there}"
        lines = [
            f"prompts  {sum(self.prompts.values())}: "
            + ", ".join(f"{task} {count}" for task, count in self.prompts.items()),
            f"time     about {_minutes(total)} ({sides}), as measured on a few prompts",
            f"memory   {peak} at most{f'; weights: {weights}' if weights else ''}",
        ]
        return "\n".join(lines)


def forecast(
    settings: AuditSettings,
    progress: Progress | None = None,
    live: Mapping[Which, LiveModel] | None = None,
) -> Forecast:
    """Say what an audit will take.

    Each model is loaded and asked a few prompts of each ability.

    Args:
        settings: What to audit and how.
        progress: Told what is being done.
        live: Models that are in memory already; the settings hold their names.

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
        work = batches(settings, plans)
        try:
            return _measure(settings, pair, plans, work, watch)
        finally:
            pair.close()


def _measure(
    settings: AuditSettings,
    pair: ModelPair,
    plans: Sequence[Plan],
    work: Sequence[Batch],
    watch: Progress,
) -> Forecast:
    seconds: dict[str, float] = {}
    loading: dict[str, float] = {}
    sides: list[Which] = ["tuned"] if pair.base is None else ["base", "tuned"]
    for which in sides:
        watch.stage(f"loading the {which} model")
        began = time.perf_counter()
        with pair.open(which) as lm:
            loading[which] = time.perf_counter() - began
            watch.stage(f"timing the {which} model")
            rates = {
                ability.task.name: _seconds_a_character(lm, ability, settings, which)
                for ability in plans
            }
        seconds[which] = sum(
            rates[batch.key.task] * batch.size for batch in work if batch.key.model == which
        )
    prompts = {ability.task.name: 0 for ability in plans}
    for key, ability in cells(settings, plans):
        prompts[key.task] += len(ability.cells[key.transform].cases)
    there = room(pair.options if pair.base is not None else pair.tuned_options)
    return Forecast(
        prompts=prompts,
        seconds=seconds,
        loading_seconds=loading,
        weights_bytes=_weights(pair),
        peak_bytes=_peak(),
        room_bytes=None if there is None else there[0],
        room="" if there is None else there[1],
    )


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
    sides: tuple[Which, ...] = ("base", "tuned")
    sizes = {
        which: weights_in_memory(model, pair.options_of(which))
        for which in sides
        if isinstance(model := pair.model(which), ModelSpec)
    }
    return {which: size for which, size in sizes.items() if size is not None}


def _peak() -> int | None:
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


def _minutes(seconds: float) -> str:
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.1f} min"
