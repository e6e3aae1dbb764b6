"""What a user waits for before the first number: starting, importing, loading, checking.

    python benchmarks/startup.py                      # 5 rounds on smollm2
    python benchmarks/startup.py --model FILE.gguf --rounds 3

In every round each command runs once in a process of its own, in turn, and is timed from the
process's start, and by the processors' time that it used, for machines that do other work as well.
Printed are medians, and their ratios to ``import torch, transformers`` alone,
which is the least that a program of this kind can take here.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from measured_on import processor

IMPORTS = "import torch, transformers"
DORMANT = "from dormant.cli import main; main()"
LOAD = """
import sys, time
from dormant.models.load import load
from dormant.scoring.harness import scorer_of
lm = load(sys.argv[1])
print("loaded", time.process_time(), flush=True)
scorer_of(lm).score(["The capital of France is"], [[" Paris"]])
print("first", time.process_time(), flush=True)
"""
AUDIT = """
import os, sys, time
from dormant.audit import run_dir
keep = run_dir.RunDirectory.append
def told(self, cell, outcomes):
    keep(self, cell, outcomes)
    print("first", time.process_time(), flush=True)
    os._exit(0)
run_dir.RunDirectory.append = told
from dormant.cli import main
sys.argv = ["dormant", "audit", sys.argv[1], "-t", "icl/copy", "-s", "leetspeak", "-n", "4",
            "--quiet", "--out", sys.argv[2]]
main()
"""


class Taken(NamedTuple):
    """Seconds since a process's start, and seconds of processors that it used, all its threads."""

    wall: float
    processor: float


def run(code: str, words: Sequence[str], cache: str, until: Sequence[str] = ()) -> dict[str, Taken]:
    """Run a program; return what it took to each line of `until`, or to its end without any.

    Args:
        code: The program.
        words: Its arguments.
        cache: The directory of Dormant's caches.
        until: What lines that it prints begin with; behind it, the processor's seconds so far.
    """
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken: dict[str, Taken] = {}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        env={**os.environ, "DORMANT_CACHE": cache, "HF_HUB_OFFLINE": "1"},
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if until and line.split()[0] in until:
            name, used = line.split()
            taken[name] = Taken(time.perf_counter() - began, float(used))
    if process.wait():
        raise SystemExit(f"failed: {code}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return taken if until else {"": Taken(time.perf_counter() - began, used)}


def one_round(model: str) -> dict[str, Taken]:
    """Time every command once."""
    found: dict[str, Taken] = {}
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as runs:
        found[IMPORTS] = run(IMPORTS, [], cache)[""]
        for words in (["--help"], ["--version"], ["audit", "--help"], ["lab", "--help"]):
            found[f"dormant {' '.join(words)}"] = run(DORMANT, words, cache)[""]
        for place, when in enumerate(("first time", "second time", "third time")):
            taken = run(LOAD, [model], cache, ("loaded", "first"))
            found[f"loaded, {when}"] = taken["loaded"]
            found[f"one prompt scored, {when}"] = taken["first"]
            if place == 2:
                taken = run(AUDIT, [model, f"{runs}/run"], cache, ("first",))
                found["dormant audit, first batch on disk, once loaded before"] = taken["first"]
    return found


def table(rounds: Sequence[Mapping[str, Taken]]) -> str:
    """Write medians, their ratios and all rounds."""
    lines = [
        "| | seconds, median | ratio | processor | ratio | rounds |",
        "|---|---|---|---|---|---|",
    ]
    least = _median([one[IMPORTS] for one in rounds])
    for name in rounds[0]:
        times = [one[name] for one in rounds]
        median = _median(times)
        shown = ", ".join(f"{one.wall:.2f}" for one in times)
        lines.append(
            f"| {name} | {median.wall:.2f} | {median.wall / least.wall:.2f} "
            f"| {median.processor:.2f} | {median.processor / least.processor:.2f} | {shown} |"
        )
    return "\n".join(lines)


def _median(times: Sequence[Taken]) -> Taken:
    return Taken(*(statistics.median(values) for values in zip(*times, strict=True)))


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="Time from a process's start to its first use.")
    parser.add_argument("--model", default="smollm2", help="what `dormant audit` takes")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(words)
    print(f"{processor()}, {os.cpu_count()} cores")
    one_round(options.model)  # files come into memory, and modules are compiled
    print(table([one_round(options.model) for _ in range(options.rounds)]))


if __name__ == "__main__":
    main()
