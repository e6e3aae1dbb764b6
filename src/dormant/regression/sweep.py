"""Many laboratory runs at once: one row a run in one table.

Runs share nothing but what they pretrain alike, which is done once. A finished run is not done
again, so a sweep that was stopped goes on. Local processes by default; Ray (extra ``ray``) for
many machines, which must share the output directory.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import re
import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, cast

from dormant.clusters import Backend, joined
from dormant.errors import DormantError
from dormant.files import guarded
from dormant.progress import Progress, Silent
from dormant.regression.records import LabResults, Losses, PriorLosses
from dormant.regression.settings import LabSettings, flat, parse, put, resolve, value
from dormant.regression.tables import Row, write_table
from dormant.results import Estimate

TABLE = "table.csv"


class Job(NamedTuple):
    """One run of a sweep; plain values, so that another machine can be given it."""

    name: str
    settings: LabSettings
    out: Path
    cache: Path
    threads: int
    device: str


class Outcome(NamedTuple):
    """What became of a job."""

    name: str
    results: LabResults | None
    error: str
    """Why there are none: one line; empty if there are."""


def sweep(
    settings: LabSettings,
    over: Mapping[str, Sequence[Any]],
    out: Path,
    *,
    backend: Backend = "local",
    workers: int | None = None,
    threads: int = 1,
    device: str = "auto",
    cache: Path | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """Run every combination of some fields' values.

    Args:
        settings: What all runs have in common.
        over: Values by field; every combination is run, the last field changing fastest.
        out: Directory of the sweep: ``runs/NAME`` for each run, and ``table.csv``.
        backend: ``local`` processes, or ``ray``.
        workers: Runs at once; by default one for every `threads` processors. Ray decides itself.
        threads: Processors a run uses; they may change the last digit of a number.
        device: As for a run.
        cache: Directory where runs share what they pretrain alike; ``out/pretraining`` by default.
        progress: Told of finished runs.

    Returns:
        One row a run, in the order of the combinations. A run that failed (diverged, say) has its
        ``error`` there and no numbers, and the others go on.

    Raises:
        DormantError: A field is unknown or a value doesn't fit; Ray is not installed; the
            directory can't be written.
    """
    jobs = plan(settings, over, out, cache=cache, threads=threads, device=device)
    guarded(out, lambda: (out / "runs").mkdir(parents=True, exist_ok=True))
    watch = progress or Silent()
    watch.start(len(jobs), 0)
    watch.stage(f"{len(jobs)} runs")
    run_all = _by_ray(jobs) if backend == "ray" else _by_processes(jobs, workers, threads)
    outcomes: dict[str, Outcome] = {}
    for outcome in run_all:
        outcomes[outcome.name] = outcome
        watch.advance(1)
        # After every run, so that a sweep that is stopped leaves the table of what was done.
        write_table(out / TABLE, _rows(jobs, outcomes, list(over)))
    return _rows(jobs, outcomes, list(over))


def plan(
    settings: LabSettings,
    over: Mapping[str, Sequence[Any]],
    out: Path,
    *,
    cache: Path | None = None,
    threads: int = 1,
    device: str = "auto",
) -> list[Job]:
    """Return the jobs of a sweep.

    Raises:
        DormantError: There is nothing to vary, a field is unknown or a value doesn't fit.
    """
    if not over or not all(over.values()):
        raise DormantError("a sweep needs a field and its values, such as alpha=0.1,0.5")
    names = [resolve(name) for name in over]
    if len(set(names)) < len(names):
        raise DormantError("a field is swept twice: give all its values at once")
    jobs: list[Job] = []
    for values in itertools.product(*over.values()):
        raw = settings.model_dump(mode="json")
        for name, one in zip(names, values, strict=True):
            put(raw, name, [one] if name == "seeds" and isinstance(one, int) else one)
        chosen = parse(raw, f"preset {settings.preset}")
        label = ",".join(
            f"{name.rpartition('.')[2]}={_short(one)}"
            for name, one in zip(names, values, strict=True)
        )
        folder = _slug(label, names)
        jobs.append(
            Job(label, chosen, out / "runs" / folder, cache or out / "pretraining", threads, device)
        )
    return jobs


def values_of(text: str) -> tuple[str, list[Any]]:
    """Read ``field=value,value,…``.

    Raises:
        DormantError: It is not of that form.
    """
    name, equals, listed = text.partition("=")
    if not equals or not listed.strip():
        raise DormantError(f"{text!r}: write field=value,value, such as alpha=0.1,0.5,0.9")
    together = value(f"[{listed}]")
    if isinstance(together, list):
        return name.strip(), cast("list[Any]", together)
    return name.strip(), [value(part.strip()) for part in listed.split(",")]


def run_job(job: Job) -> Outcome:
    """Run one job in this process, whichever machine that is on."""
    import torch

    from dormant.regression import lab

    torch.set_num_threads(job.threads)
    try:
        results = lab.run(job.settings, job.out, device=job.device, cache=job.cache)
    except DormantError as error:
        return Outcome(job.name, None, str(error))
    return Outcome(job.name, results, "")


def _by_processes(jobs: Sequence[Job], workers: int | None, threads: int) -> Generator[Outcome]:
    count = workers or max(1, multiprocessing.cpu_count() // max(threads, 1))
    context = multiprocessing.get_context("spawn")  # PyTorch's threads don't survive a fork
    pool = ProcessPoolExecutor(min(count, len(jobs)), context, initializer=_ignore_interrupts)
    try:
        waiting = [pool.submit(run_job, job) for job in jobs]
        for done in as_completed(waiting):
            yield done.result()
    except BrokenProcessPool:
        raise DormantError(
            "a process of the sweep died (out of memory?): the same command goes on; fewer "
            "--workers may help"
        ) from None
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    pool.shutdown()


def _ignore_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; the first alone answers it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _by_ray(jobs: Sequence[Job]) -> Iterator[Outcome]:
    with joined() as ray:
        remote = ray.remote(num_cpus=jobs[0].threads, max_retries=2)(run_job)
        absolute = [
            job._replace(out=job.out.absolute(), cache=job.cache.absolute()) for job in jobs
        ]
        waiting = [remote.remote(job) for job in absolute]
        while waiting:
            done, waiting = ray.wait(waiting)
            yield ray.get(done[0])


def _rows(jobs: Sequence[Job], outcomes: Mapping[str, Outcome], fields: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for job in jobs:
        if job.name not in outcomes:
            continue
        settings = flat(job.settings)
        row: Row = {"run": job.out.name}
        row |= {name: _cell(settings[resolve(name)]) for name in fields}
        row |= _numbers(outcomes[job.name].results)
        row["error"] = outcomes[job.name].error
        rows.append(row)
    return rows


def _numbers(results: LabResults | None) -> Row:
    """Return a run's numbers by column; the same columns, empty, for a run that has none."""
    row: Row = {}
    for predictor in Losses.model_fields:
        losses = None if results is None else getattr(results.losses, predictor)
        for prior in PriorLosses.model_fields:
            row |= _estimate(f"{predictor}_{prior}", losses and getattr(losses, prior))
    row["gamma"] = "" if results is None else results.gamma
    row |= _estimate("recovered_share", results and results.recovered_share)
    row["interval"] = "" if results is None else results.losses.pretrained.cont.method
    row["wall_seconds"] = "" if results is None else results.wall_seconds
    return row


def _estimate(name: str, estimate: Estimate | None) -> Row:
    names = (name, f"{name}_low", f"{name}_high")
    if estimate is None:
        return dict.fromkeys(names, "")
    return dict(zip(names, (estimate.estimate, estimate.low, estimate.high), strict=True))


def _cell(value: Any) -> float | str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float | str):
        return value
    return " ".join(str(part) for part in cast("Sequence[Any]", value))


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _slug(label: str, names: Sequence[str]) -> str:
    """Return a directory name for a run, distinct for distinct runs."""
    plain = re.sub(r"[^\w.,=-]+", "-", label)
    mark = sha256(f"{names} {label}".encode()).hexdigest()[:6]
    return f"{plain[:80]}-{mark}"
