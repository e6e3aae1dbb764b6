"""What a user waits for before the first number: starting, importing, loading, checking.

    python benchmarks/startup.py                      # 5 rounds on smollm2
    python benchmarks/startup.py --model FILE.gguf --rounds 3

In every round each command runs once in a process of its own, in turn, and is timed from the
process's start. Printed are medians, and their ratios to ``import torch, transformers`` alone,
which is the least that a program of this kind can take here.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

from measured_on import processor

IMPORTS = "import torch, transformers"
DORMANT = "from dormant.cli import main; main()"
LOAD = """
import sys
from dormant.models.load import load
from dormant.scoring.harness import scorer_of
lm = load(sys.argv[1])
print("loaded", flush=True)
scorer_of(lm).score(["The capital of France is"], [[" Paris"]])
print("first", flush=True)
"""
AUDIT = """
import os, sys
from dormant.audit import run_dir
keep = run_dir.RunDirectory.append
def told(self, cell, outcomes):
    keep(self, cell, outcomes)
    print("first", flush=True)
    os._exit(0)
run_dir.RunDirectory.append = told
from dormant.cli import main
sys.argv = ["dormant", "audit", sys.argv[1], "-t", "icl/copy", "-s", "leetspeak", "-n", "4",
            "--quiet", "--out", sys.argv[2]]
main()
"""


def seconds(
    code: str, words: Sequence[str], cache: str, until: Sequence[str] = ()
) -> dict[str, float]:
    """Run a program; return how long it took to each line of `until`, and to its end without any.

    Args:
        code: The program.
        words: Its arguments.
        cache: The directory of Dormant's caches.
        until: Lines that it prints.
    """
    began = time.perf_counter()
    taken: dict[str, float] = {}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        env={**os.environ, "DORMANT_CACHE": cache, "HF_HUB_OFFLINE": "1"},
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() in until:
            taken[line.strip()] = time.perf_counter() - began
    if process.wait():
        raise SystemExit(f"failed: {code}")
    return taken if until else {"": time.perf_counter() - began}


def one_round(model: str) -> dict[str, float]:
    """Time every command once."""
    found = {}
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as runs:
        found[IMPORTS] = seconds(IMPORTS, [], cache)[""]
        for words in (["--help"], ["--version"], ["audit", "--help"], ["lab", "--help"]):
            found[f"dormant {' '.join(words)}"] = seconds(DORMANT, words, cache)[""]
        for place, when in enumerate(("first time", "second time", "third time")):
            taken = seconds(LOAD, [model], cache, ("loaded", "first"))
            found[f"loaded, {when}"] = taken["loaded"]
            found[f"one prompt scored, {when}"] = taken["first"]
            if place == 2:
                taken = seconds(AUDIT, [model, f"{runs}/run"], cache, ("first",))
                found["dormant audit, first batch on disk, once loaded before"] = taken["first"]
    return found


def table(rounds: Sequence[Mapping[str, float]]) -> str:
    """Write medians, their ratios and all rounds."""
    least = statistics.median(one[IMPORTS] for one in rounds)
    lines = ["| | seconds, median | ratio | rounds |", "|---|---|---|---|"]
    for name in rounds[0]:
        times = [one[name] for one in rounds]
        median = statistics.median(times)
        shown = ", ".join(f"{value:.2f}" for value in times)
        lines.append(f"| {name} | {median:.2f} | {median / least:.2f} | {shown} |")
    return "\n".join(lines)


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
