"""How one way of an audit is run, timed and compared; for `time_to_verdict`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from asked import MODELS, Asked, Outcome, Place, Questions, recorded
from workers import Scored, write_rows

HERE = Path(__file__).parent


class Process(Protocol):
    """What scores prompts when it is told: a `Worker`, or a server's client."""

    loading: float
    about: dict[str, Any]

    def ask(self, way: str, file: Path) -> dict[str, Any]:
        """Have the prompts in a file scored."""
        ...

    def close(self) -> None:
        """Let it end."""
        ...


@dataclass
class Way:
    """What was measured of one way.

    Attributes:
        every: How many items stand for each one that it was asked.
        whole: Seconds of everything, by round, for all prompts.
        scoring: Seconds of all but loading, likewise.
        loading: Seconds of libraries and models, likewise.
        outcomes: What it said last.
        about: What else there is to say.
    """

    every: int = 1
    whole: list[float] = field(default_factory=list[float])
    scoring: list[float] = field(default_factory=list[float])
    loading: list[float] = field(default_factory=list[float])
    outcomes: dict[Place, Outcome] = field(default_factory=dict[Place, Outcome])
    about: dict[str, Any] = field(default_factory=dict[str, Any])

    def add(self, loading: float, scoring: float) -> None:
        """Note a round."""
        self.loading.append(loading)
        self.scoring.append(scoring)
        self.whole.append(loading + scoring)


def run_dormant(
    questions: Questions, folder: Path, more: Sequence[str], way: Way
) -> dict[str, str]:
    """Run the audit; return its verdicts."""
    settings = questions.settings
    stages, out = folder / "stages.json", folder / "run"
    words = [sys.executable, HERE / "watched.py", stages, "audit", settings.base, settings.tuned]
    words += ["-t", ",".join(settings.tasks), "-n", settings.n, "--device", settings.device]
    # Other ways know prompts only.
    words += ["--evidence", "prompt"]
    words += ["-s", ",".join(settings.transforms)] if settings.transforms else []
    start = time.perf_counter()
    done = subprocess.run(
        [str(word) for word in [*words, "--out", out, "--quiet", *more]],
        capture_output=True, text=True,
    )  # fmt: skip
    wall = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"dormant audit ended with {done.returncode}: {done.stderr[-2000:]}")
    told = json.loads(stages.read_text(encoding="utf-8"))
    loading = told["seconds"]["starting"] + told["seconds"].get("loading", 0.0)
    way.add(loading, wall - loading)
    way.outcomes = recorded(out, questions.all)
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    items = {one["task"]: one["n_items"] for one in results["abilities"]}
    way.about = {"prompts": len(way.outcomes), "items": items, **told}
    return {one["task"]: one["verdict"] for one in results["abilities"]}


def run_reference(
    name: str, process: Process, way: Way, asked: Sequence[Asked], count: int, folder: Path
) -> None:
    """Have a way score the prompts that it is given, and reckon what all would take."""
    file = folder / "prompts.jsonl"
    write_rows(file, [(one.prompt, one.answers) for one in asked])
    reply = process.ask(name, file)
    share = len(asked) * len(reply["said"]) / (count * len(MODELS))
    way.add(process.loading, reply["seconds"] / share)
    way.about = {**process.about, **reply["about"], "prompts": len(asked) * len(reply["said"])}
    way.outcomes = {
        one.at(model): Outcome.of([Scored(*answer) for answer in row])
        for model, rows in reply["said"].items()
        for one, row in zip(asked, rows, strict=True)
    }


def say(number: int, name: str, way: Way) -> None:
    """Tell how far it is."""
    print(
        f"round {number + 1}: {name} {way.whole[-1]:.1f} s, {way.loading[-1]:.1f} s of it loading",
        file=sys.stderr,
    )


def measured(way: Way) -> dict[str, Any]:
    """Return a way's times: medians, and every round's."""
    return {
        "every": way.every,
        "seconds": round(median(way.whole), 2),
        "loading": round(median(way.loading), 2),
        "scoring": round(median(way.scoring), 2),
        "rounds": [round(value, 2) for value in way.whole],
        "about": way.about,
    }


def against(
    questions: Questions, way: Way, ours: Way, verdicts: Mapping[str, str]
) -> dict[str, Any]:
    """Compare a way with Dormant: times within a round, and what both said."""
    asked = questions.every(way.every)
    both = [place for place in way.outcomes if place in ours.outcomes]
    apart = [
        abs(theirs.logprob - mine.logprob)
        for place in both
        if (theirs := way.outcomes[place]).logprob is not None
        and (mine := ours.outcomes[place]).logprob is not None
    ]
    told: dict[str, str] = {}
    mine: Mapping[str, str] = {}
    if all(one.at(model) in way.outcomes for one in asked for model in MODELS):
        told = questions.verdicts(way.outcomes, asked)
        # An audit that stops when it has decided hasn't asked them all.
        whole = all(one.at(model) in ours.outcomes for one in asked for model in MODELS)
        mine = questions.verdicts(ours.outcomes, asked) if whole else verdicts
    by_round = [slow / fast for slow, fast in zip(way.whole, ours.whole, strict=True)]
    scoring = [slow / fast for slow, fast in zip(way.scoring, ours.scoring, strict=True)]
    return {
        "ratio": round(median(by_round), 2),
        "ratios": [round(value, 2) for value in by_round],
        "ratio_of_scoring": round(median(scoring), 2),
        "verdicts": told,
        "verdicts_equal": sum(mine[task] == verdict for task, verdict in told.items()),
        "prompts_equal": sum(
            way.outcomes[place].correct == ours.outcomes[place].correct for place in both
        ),
        "prompts_compared": len(both),
        "largest_difference_of_logprobs": max(apart, default=None),
    }


def table(name: str, result: Mapping[str, Any]) -> str:
    """Lay out one audit's figures."""
    head = (
        f"{name}: {', '.join(result['abilities'])}; {result['cells']} cells, "
        f"{result['prompts']} prompts; medians of {len(result['ways']['dormant']['rounds'])} rounds"
    )
    titles = f"{'way':12} {'seconds':>9} {'loading':>8} {'scoring':>9} {'ratio':>6}"
    titles += f" {'of scoring':>10} {'verdicts':>9} {'prompts alike':>14} {'log p apart':>11}"
    lines = [head, titles]
    for way, row in result["ways"].items():
        mark = f" (every {row['every']}th item)" if row["every"] > 1 else ""
        line = f"{way:12} {row['seconds']:9.1f} {row['loading']:8.1f} {row['scoring']:9.1f}"
        if way != "dormant":
            apart = row["largest_difference_of_logprobs"]
            equal = f"{row['verdicts_equal']} of {len(row['verdicts'])}" if row["verdicts"] else "–"
            alike = f"{row['prompts_equal']} of {row['prompts_compared']}"
            line += f" {row['ratio']:6.2f} {row['ratio_of_scoring']:10.2f} {equal:>9} {alike:>14}"
            line += f" {'–' if apart is None else f'{apart:.1e}':>11}"
        lines.append(line + mark)
    return "\n".join(lines)
