"""Memory and time of an audit of hundreds of thousands of prompts, without a model.

    python benchmarks/scale.py                      # 20 000 and 200 000 records
    python benchmarks/scale.py --records 1000000

Each size runs in a process of its own: a custom task of distinct few-shot prompts (about 600
characters), two models, plain and four transforms, so ten records an item. A stand-in answers at
once, so that what is left is Dormant's own work: planning, records, resuming, statistics, report.
Printed for each size: seconds and the process's peak memory, stage by stage; and how long a
process takes, from its start, to find that all is done and to judge it again, and the same where
a kill took the last tenth of the records.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measured_on import peak_mebibytes

TRANSFORMS = ("leetspeak", "pig-latin", "rot13", "reversed-characters")
CELLS = 2 * (1 + len(TRANSFORMS))
WORDS = [
    "river",
    "stone",
    "letter",
    "garden",
    "window",
    "silver",
    "morning",
    "paper",
    "little",
    "number",
]


def write_task(file: Path, items: int) -> None:
    """Write a task whose inputs are distinct sentences."""
    with file.open("w", encoding="utf-8") as stream:
        header = {"name": "scale/copy", "title": "copies", "languages": {"english": {}}}
        stream.write(json.dumps(header) + "\n")
        for number in range(items):
            words = [WORDS[int(digit)] for digit in f"{number:07}"]
            text = " ".join([*words, *reversed(words), *words, *words])
            row = {"language": "english", "id": f"{number}", "input": text, "target": words[6]}
            stream.write(json.dumps(row | {"distractor": "nothing at all"}) + "\n")


def stand_in() -> None:
    """Register a backend that answers by the prompt's hash."""
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model

    @register_model("stand-in")
    class StandIn(LM):
        def __init__(self, skill: str = "0.9", **_: Any) -> None:
            super().__init__()
            self.skill = float(skill)

        def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
            found: list[tuple[float, bool]] = []
            for request in requests:
                draw = hashlib.blake2b("".join(request.args).encode(), digest_size=4).digest()
                share = int.from_bytes(draw) / 2**32
                found.append((-1.0 - share, share < self.skill))
            return found

        def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
            raise NotImplementedError

        def generate_until(self, requests: list[Instance]) -> list[str]:
            raise NotImplementedError

    assert StandIn


class Stages:
    """Progress that keeps the time and the memory at which each stage ended."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.found: dict[str, dict[str, float]] = {}
        self.left = 1

    def start(self, total: int, done: int) -> None:
        """Hear that planning is over."""
        self.mark("planned")
        self.left = total - done

    def stage(self, text: str) -> None:
        """Hear that scoring is over."""
        if text == "estimating":
            self.mark("scored")

    def say(self, text: str) -> None:
        """Hear what was assumed."""

    def advance(self, amount: int) -> None:
        """Hear that a batch is on disk."""

    def mark(self, name: str) -> None:
        """Note a stage's end."""
        self.found[name] = {
            "seconds": round(time.perf_counter() - self.began, 1),
            "peak_mib": round(peak_mebibytes()),
        }


def settings_of(file: Path, records: int) -> Any:
    """Return the settings of the audit of a task's file."""
    from dormant.audit.settings import AuditSettings

    return AuditSettings(
        base="stand-in:skill=0.9", tuned="stand-in:skill=0.3", tasks=(str(file),),
        transforms=TRANSFORMS, n=records // CELLS,
    )  # fmt: skip


def again(records: int, folder: Path) -> None:
    """Give the command of a run that is there again."""
    stand_in()
    from dormant.audit.run import audit

    audit(settings_of(folder / "task.jsonl", records), folder / "run")


def one(records: int, folder: Path) -> dict[str, Any]:
    """Audit, report, and resume: the second call finds everything done."""
    stand_in()
    from dormant.audit.run import audit
    from dormant.audit.run_dir import RunDirectory
    from dormant.report import write_report

    file, out = folder / "task.jsonl", folder / "run"
    write_task(file, records // CELLS)
    settings = settings_of(file, records)
    libraries = round(peak_mebibytes())
    stages = Stages()
    results = audit(settings, out, stages)
    stages.mark("estimated")
    page = write_report(results, RunDirectory.read(out).all_outcomes(), out / "report.html", "html")
    stages.mark("reported")
    resumed = Stages()
    audit(settings, out, resumed)
    resumed.mark("estimated")
    return {
        "records": sum(f.read_bytes().count(b"\n") for f in out.rglob("*.jsonl")),
        "records_mib": round(sum(f.stat().st_size for f in out.rglob("*.jsonl")) / 2**20),
        "page_mib": round(page.stat().st_size / 2**20, 2),
        "libraries_mib": libraries,
        "first": stages.found,
        "resumed": resumed.found,
        "left_to_resume": resumed.left,
    }


def measure(records: int) -> dict[str, Any]:
    """Run one size in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, __file__, "--folder", folder]
        first = [*words, "--one", str(records)]
        found = json.loads(subprocess.run(first, check=True, capture_output=True).stdout)
        found["finished_run_process_seconds"] = seconds([*words, "--again", str(records)])
        cut(Path(folder) / "run", records // 10)
        found["last_tenth_process_seconds"] = seconds([*words, "--again", str(records)])
        return found


def seconds(words: Sequence[str]) -> float:
    """Time a process from its start to its end."""
    began = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return round(time.perf_counter() - began, 1)


def cut(run: Path, records: int) -> None:
    """Take the last records of a run, and what was made of them."""
    (run / "results.json").unlink()
    for file in sorted(run.rglob("*.tuned.jsonl"), reverse=True):
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(lines[: max(0, len(lines) - records)]))
        records -= len(lines)
        if records <= 0:
            return


def main(words: Sequence[str] | None = None) -> None:
    """Measure the sizes asked for."""
    parser = argparse.ArgumentParser(description="Memory and time of large audits.")
    parser.add_argument("--records", type=int, action="append", help="a size; may be repeated")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--again", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.one is not None:
        print(json.dumps(one(options.one, options.folder)))
        return
    if options.again is not None:
        again(options.again, options.folder)
        return
    for records in options.records or (20_000, 200_000):
        print(json.dumps(measure(records), indent=1), flush=True)


if __name__ == "__main__":
    main()
