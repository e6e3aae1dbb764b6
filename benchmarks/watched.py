"""The command ``dormant`` with a clock: itself, and how long each of its stages took.

python benchmarks/watched.py STAGES.json audit smollm2 smollm2-sentiment …
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Generator
from pathlib import Path

from measured_on import peak_mebibytes

BEGAN = time.perf_counter()


class Stages:
    """Progress that adds up how long was spent in each stage, seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.current, self.since = "starting", BEGAN

    def stage(self, text: str) -> None:
        """Hear that another stage begins; those of scoring are one, and so are those of loading."""
        now = time.perf_counter()
        spent = self.seconds.get(self.current, 0.0) + now - self.since
        self.seconds[self.current] = spent
        kind = "scoring" if " · " in text else "loading" if text.startswith("loading") else text
        self.current, self.since = kind, now

    def start(self, total: int, done: int) -> None:
        """Hear how much work there is."""

    def say(self, text: str) -> None:
        """Hear a note."""

    def advance(self, amount: int) -> None:
        """Hear that a batch is on disk."""


def main() -> None:
    """Run the command, and write its stages' seconds to a file when it ends."""
    _, file, *words = sys.argv
    sys.argv = ["dormant", *words]
    from dormant import cli
    from dormant.watch import watching as module
    from dormant.watch.watching import Watching

    stages = Stages()

    @contextlib.contextmanager
    def watching(*, quiet: bool, lines: bool = False) -> Generator[Watching]:
        del quiet, lines
        yield Watching(stages, None)
        stages.stage("report")

    module.watching = watching
    try:
        cli.main()
    finally:
        stages.stage("end")
        told = {"seconds": stages.seconds, "peak_mib": round(peak_mebibytes())}
        Path(file).write_text(json.dumps(told) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
