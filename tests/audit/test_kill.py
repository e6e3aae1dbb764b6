"""An audit of a real (tiny) model, killed ten times at random moments, ends as an unbroken one."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

KILLS = 10

PROGRAM = textwrap.dedent(
    """
    import sys, time
    from dormant.audit import run_dir as store
    keep = store.RunDirectory.append
    def told(self, cell, outcomes):
        keep(self, cell, outcomes)
        print('kept', len(outcomes), flush=True)  # now it counts as kept
        time.sleep({pause})
    store.RunDirectory.append = told
    sys.argv = ["dormant", "audit", {model!r}, "-n", "40", "-t", "icl/plural,icl/antonym",
                "-s", "french,leetspeak", "--checkpoint-every", "5", "--quiet", "--out", {out!r}]
    from dormant.cli import main
    main()
    """
)


def start(model, out, pause):
    code = PROGRAM.format(model=str(model), out=str(out), pause=pause)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kept_in(line):
    """Return how many records a line tells of; a run that got to its end prints others."""
    return int(line.split()[1]) if line.startswith("kept ") else 0


def records(out):
    return sum(file.read_bytes().count(b"\n") for file in (out / "cells").rglob("*.jsonl"))


def cells(out):
    return {
        file.relative_to(out): file.read_bytes() for file in sorted(out.rglob("cells/*/*.jsonl"))
    }


def abilities(out):
    return json.loads((out / "results.json").read_bytes())["abilities"]


@pytest.mark.slow
def test_ten_kills_lose_nothing_but_the_batch_in_flight(tmp_path, tiny_checkpoint):
    whole, out = tmp_path / "whole", tmp_path / "killed"
    began = time.monotonic()
    unbroken = start(tiny_checkpoint, whole, 0)
    _, err = unbroken.communicate(timeout=300)
    assert unbroken.returncode == 0, err
    lasted = time.monotonic() - began
    rng = random.Random(4)
    moments = []
    for number in range(KILLS):
        before = records(out)
        process = start(tiny_checkpoint, out, 0.1)
        kept = 0
        if number % 2:
            # Any moment: loading and planning too.
            time.sleep(rng.uniform(0, lasted))
        else:
            # A moment after some batches, so that each second run gets on.
            for _ in range(rng.randrange(1, 5)):
                kept += kept_in(process.stdout.readline())
            time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=60)
        kept += sum(map(kept_in, rest.splitlines()))
        moments.append((before, kept, records(out)))
        # What was reported as kept is on disk, with what was there; the rest is one batch at most.
        assert before + kept <= records(out) <= before + kept + 5, moments
    assert any(kept for _, kept, _ in moments)
    last = start(tiny_checkpoint, out, 0)
    _, err = last.communicate(timeout=300)
    assert last.returncode == 0, err
    assert cells(out) == cells(whole)
    assert abilities(out) == abilities(whole)
