"""What the recipes share: their arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

from dormant.errors import DormantError
from dormant.regression.rundir import LabRun
from dormant.regression.settings import flat


def arguments(text: str | None, run: str, **more: str) -> argparse.Namespace:
    """Read ``[RUN] [--out DIR]`` and further options, given as name=default."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", nargs="?", type=Path, default=Path(run), help=f"directory [{run}]")
    parser.add_argument("--out", type=Path, help="where the PNG and the CSV go [RUN/figures]")
    for name, default in more.items():
        parser.add_argument(f"--{name}", default=default, help=f"[{default}]")
    read = parser.parse_args()
    read.out = read.out or read.run / "figures"
    read.out.mkdir(parents=True, exist_ok=True)
    return read


def sweep_runs(sweep: Path, field: str) -> dict[float, LabRun]:
    """Return the finished runs of a sweep over one numeric field, by its value, in order."""
    runs = [LabRun(path.parent) for path in sorted(sweep.glob("runs/*/results.json"))]
    if not runs:
        raise DormantError(f"{sweep}: no finished run of a sweep there; make it as told above")
    by_value = {float(flat(run.settings)[field]): run for run in runs}
    return dict(sorted(by_value.items()))
