"""An audit's cells spread over a Ray cluster; whoever starts it owns the run directory.

Each worker (`dormant.audit.worker`) scores a batch, hands its outcomes back, and gets another. Of a
cell one batch is out at a time, so that records come in order: they are those of one process. What
came back is on disk at once; a batch whose worker is lost goes to another one.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dormant.audit.gate import Gate
from dormant.audit.manifest import LIBRARIES
from dormant.audit.manifest_file import differences
from dormant.audit.plan import Batch, Known
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.audit.scoring import Scoring
from dormant.audit.settings import AuditSettings
from dormant.audit.worker import Part, Scored, Told, Worker
from dormant.errors import DormantError, one_line
from dormant.models.pair import ModelPair, Which
from dormant.models.spec import ModelSpec
from dormant.rundirs import versions

_LOSSES = 3
"""Workers that a cell may lose before one of its batches comes back."""
_PATIENCE = 60.0
"""Seconds without an answer after which the cluster is asked whether it has room at all."""


class _LostError(Exception):
    """A worker is gone, and what it was at with it."""


@dataclass
class _Hand:
    """A worker on the cluster.

    Attributes:
        actor: Ray's handle of it.
        model: Which model it has open, or is to have first.
        batch: What it is scoring.
    """

    actor: Any
    model: Which
    batch: Batch | None = None


@dataclass
class Workers:
    """The workers of one audit.

    Args:
        ray: The package, with a cluster joined (`dormant.clusters.joined`).
        most: How many workers at most; else as many as there is room for.
    """

    ray: Any
    most: int | None = None
    _busy: dict[Any, _Hand] = field(init=False, default_factory=dict[Any, _Hand])
    _idle: list[_Hand] = field(init=False, default_factory=list[_Hand])
    _losses: Counter[CellKey | None] = field(init=False, default_factory=Counter[CellKey | None])

    def fill(self, scoring: Scoring, gate: Gate, known: Known, missing: Sequence[Batch]) -> None:
        """Score what is missing, and keep it.

        Args:
            scoring: The audit's, with its run directory open.
            gate: Is given what the models look like beside each other, unless it knows.
            known: What planning found out.
            missing: Batches, in the order in which one process scores them.

        Raises:
            DormantError: The cluster has no room for a worker, its machines differ from this one,
                or it is lost; a model can't be loaded or fails; nothing would be audited.
        """
        cells: dict[CellKey, deque[Batch]] = {}
        for batch in missing:
            cells.setdefault(batch.key, deque()).append(batch)
        # All looks of an audit pass here: each with workers of its own, which hold no memory after.
        self._busy, self._idle, self._losses = {}, [], Counter()
        try:
            self._run(scoring, gate, known, missing, cells)
        except self.ray.exceptions.RayTaskError:
            raise  # A worker's own error, with its traceback, as if it had come about here.
        except (self.ray.exceptions.RayError, ConnectionError) as error:
            raise DormantError(
                f"the Ray cluster is lost: {one_line(error)}; what was scored is kept, and the "
                "same command goes on"
            ) from error
        finally:
            for hand in [*self._busy.values(), *self._idle]:
                with contextlib.suppress(self.ray.exceptions.RayError, ConnectionError):
                    self.ray.kill(hand.actor)

    def _run(
        self,
        scoring: Scoring,
        gate: Gate,
        known: Known,
        missing: Sequence[Batch],
        cells: Mapping[CellKey, deque[Batch]],
    ) -> None:
        (run,) = scoring.opened
        settings, progress = scoring.settings, scoring.progress
        start = self._starter(settings, known)
        sides = [*dict.fromkeys(batch.key.model for batch in missing)]
        count = self._room(len(cells))
        progress.stage(f"starting {count} workers on Ray")
        for number in range(count):
            start(sides[number % len(sides)])
        comparing: _Hand | None = None
        waits = gate.waits_for("tuned") or gate.waits_for("base")
        while waits or any(cells.values()) or any(hand.batch for hand in self._busy.values()):
            ready, _ = self.ray.wait([*self._busy], num_returns=1, timeout=_PATIENCE)
            if not ready:
                self._room(count)
                continue
            hand = self._busy.pop(ready[0])
            try:
                told = self._got(ready[0], hand)
            except _LostError as lost:
                self._count_loss(hand, lost, count)
                if hand.batch is not None:
                    cells[hand.batch.key].appendleft(hand.batch)
                comparing = None if comparing is hand else comparing
                progress.say(f"a worker on Ray was lost ({lost}): another one takes its place")
                start(hand.model)
            else:
                if hand.batch is not None:
                    self._keep(scoring, run, hand.batch, told)
                    hand.batch = None
                elif comparing is hand:
                    comparing, waits = None, False
                    gate.seen = told
                    run.keep_comparison(told)
                    gate.refuse_identical()
                else:
                    _refuse_other(run, *told)
                self._idle.append(hand)
            if waits and comparing is None and self._idle:
                comparing = self._idle.pop()
                progress.stage("comparing base and tuned")
                parts = [Part(batch.key, batch.items) for batch in missing]
                self._ask(comparing, "compare", parts)
            elif not waits:
                self._hand_out(cells, progress)

    def _hand_out(self, cells: Mapping[CellKey, deque[Batch]], progress: Any) -> None:
        """Give every idle worker a batch of a cell that no other one is at."""
        out = {hand.batch.key for hand in self._busy.values() if hand.batch is not None}
        for hand in [*self._idle]:
            free = [key for key, waiting in cells.items() if waiting and key not in out]
            if not free:
                return
            # To open the other model takes longer than most batches.
            key = next((key for key in free if key.model == hand.model), free[0])
            out.add(key)
            self._idle.remove(hand)
            hand.model, hand.batch = key.model, cells[key].popleft()
            progress.stage(f"{len(self._busy) + 1} at work on Ray · {key.model} · {key.task}")
            self._ask(hand, "score", Part(key, hand.batch.items))

    def _keep(self, scoring: Scoring, run: RunDirectory, batch: Batch, scored: Scored) -> None:
        scoring.keep([batch], [scored.outcomes])
        scoring.note(f"precision of {batch.key.model}", scored.precision)
        if scored.warnings:
            run.warn(scored.warnings)

    def _ask(self, hand: _Hand, method: str, *args: Any) -> None:
        self._busy[getattr(hand.actor, method).remote(*args)] = hand

    def _got(self, done: Any, hand: _Hand) -> Any:
        """Return what a worker answered.

        Raises:
            _LostError: It is gone.
            DormantError: It answered with an error.
        """
        exceptions = self.ray.exceptions
        try:
            told: Told = self.ray.get(done)
        except (exceptions.RayActorError, exceptions.ObjectLostError) as error:
            raise _LostError(_reason(error)) from error
        if told.error:
            raise DormantError(told.error)
        if hand.batch is not None:
            self._losses.clear()
        return told.value

    def _count_loss(self, hand: _Hand, lost: _LostError, count: int) -> None:
        """Count a lost worker.

        Raises:
            DormantError: What it was at has cost too many.
        """
        key = None if hand.batch is None else hand.batch.key
        self._losses[key] += 1
        # A machine that goes takes all of its workers along.
        if self._losses[key] < (_LOSSES * count if key is None else _LOSSES):
            return
        what = "before they scored anything" if key is None else f"at {key.task}"
        raise DormantError(
            f"{self._losses[key]} workers on Ray were lost {what}: {lost}; where memory ran out, "
            "fewer --workers may help, and the same command goes on"
        ) from lost

    def _starter(self, settings: AuditSettings, known: Known) -> Any:
        ray = self.ray
        threads, gpus = _threads(), self._gpus(settings)
        kind = ray.remote(Worker).options(num_cpus=threads, num_gpus=gpus, max_restarts=0)
        shared = ray.put(known)

        def start(model: Which) -> None:
            actor = kind.remote(settings, shared, str(Path.cwd()), threads)
            self._ask(_Hand(actor, model), "begin")

        return start

    def _gpus(self, settings: AuditSettings) -> int:
        wanted = settings.device == "auto" or settings.device.startswith("cuda")
        return int(wanted and self.ray.cluster_resources().get("GPU", 0) >= 1)

    def _room(self, cells: int) -> int:
        """Return how many workers are started: no more than there are cells, or room.

        Raises:
            DormantError: There is no room for one.
        """
        threads = _threads()
        machines = [
            int(node["Resources"].get("CPU", 0)) for node in self.ray.nodes() if node["Alive"]
        ]
        room = sum(processors // threads for processors in machines)
        if room == 0:
            raise DormantError(
                f"no machine of the Ray cluster has {threads} processors, as a worker uses here "
                f"(the most are {max(machines, default=0)}): set OMP_NUM_THREADS to fewer"
            )
        gpus = int(self.ray.cluster_resources().get("GPU", 0))
        return min(cells, room, *([gpus] if gpus else []), *([self.most] if self.most else []))


def refuse_what_ray_cannot(pair: ModelPair, processes: int) -> None:
    """Refuse models that can't be sent to other machines, and processes of another launcher.

    Raises:
        DormantError: A model is in memory, or starts copies by itself; or torchrun started this.
    """
    if processes > 1:
        raise DormantError(
            "--backend ray starts its workers itself: give the command without torchrun"
        )
    for model in pair.models().values():
        if not isinstance(model, ModelSpec):
            raise DormantError(
                f"model {model.text} is in this process's memory, which Ray's workers don't share: "
                "save it and name its directory, or leave backend ray out"
            )
        for word in ("data_parallel_size", "tensor_parallel_size", "pipeline_parallel_size"):
            if model.kind == "backend" and word in model.location:
                raise DormantError(
                    f"model {model.text!r} spreads itself by {word}: leave that out, or "
                    "--backend ray"
                )


def _reason(error: Exception) -> str:
    """Return why a worker is gone: the cause comes last where it could not be made at all."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    made = bool(lines) and "creation task" not in lines[0]
    return one_line(lines[0 if made else -1] if lines else error, 160)


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _refuse_other(
    run: RunDirectory, machine: str, decisive: Mapping[str, Any], there: Mapping[str, str]
) -> None:
    """Refuse a worker whose records would be others.

    Raises:
        DormantError: Its files, translators or libraries are not this machine's.
    """
    here = run.manifest
    different = differences(here["settings"], decisive)
    if not different:
        # A run goes on with other libraries, with a warning; two kinds at a time are refused.
        different = differences(versions(*LIBRARIES), there)
    if different:
        raise DormantError(
            f"the worker on {machine} would give other records: {'; '.join(different)}: the same "
            "files and packages must be on every machine of the cluster"
        )
