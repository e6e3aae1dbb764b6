"""The paper's Table 1 of a run: accuracy over its four tasks, base and tuned, by language.

dormant audit BASE TUNED --task icl_vs_if -n 130 --out runs/table1
python experiments/language/table1.py runs/table1 --figure table1.png

Runs of the same pair, each with some of the tasks, are one table: `repeat-arithmetic` has items for
`-n 200`, `repeat-blank` has 130.

The paper prints the mean of the four tasks. Their items are others, so the interval of a mean is
made of the tasks' own by their squared half-widths (MOVER; Zou & Donner 2008, Statistics in
Medicine 27: 1693-1702), which needs no normal distribution of any of them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.results import PLAIN, AbilityResult, Estimate
from dormant.statistics.intervals import paired_difference, proportion


class Line(NamedTuple):
    """One language: means over tasks, fractions; log-odds in the audit's unit."""

    name: str
    base: Estimate
    tuned: Estimate
    drop: Estimate
    log_odds: float | None


def mean(parts: Sequence[Estimate]) -> Estimate:
    """Return the mean of independent estimates, with MOVER's interval."""
    middle = sum(one.estimate for one in parts) / len(parts)
    below = math.sqrt(sum((one.estimate - one.low) ** 2 for one in parts)) / len(parts)
    above = math.sqrt(sum((one.high - one.estimate) ** 2 for one in parts)) / len(parts)
    return Estimate(estimate=middle, low=middle - below, high=middle + above, method="mover")


class Task(NamedTuple):
    """An ability, and the run that has its records."""

    run: RunDirectory
    ability: AbilityResult


def pairs(paths: Sequence[Path]) -> dict[str, list[Task]]:
    """Return the tasks of each pair by its title. ValueError: a run of one model (no drop)."""
    found: dict[str, list[Task]] = {}
    for path in paths:
        run = RunDirectory.read(path)
        results = run.results()
        if results.base is None:
            raise ValueError(f"{path}: an audit of one model has no drop")
        tasks = found.setdefault(f"{results.base} → {results.tuned}", [])
        tasks += [Task(run, ability) for ability in results.abilities]
    return found


def lines(tasks: Sequence[Task]) -> list[Line]:
    """Return the table, plain prompts first, of the transforms that every task has."""
    names = [PLAIN, *(cell.name for cell in tasks[0].ability.transforms)]
    had = [{PLAIN, *(cell.name for cell in one.ability.transforms)} for one in tasks]
    return [line(tasks, name) for name in names if all(name in one for one in had)]


def line(tasks: Sequence[Task], transform: str) -> Line:
    """Return one language's line."""
    base, tuned, drop, shifts = [], [], [], []
    for run, ability in tasks:
        before, after = (
            {one.item: one for one in run.scores(CellKey(which, ability.task, transform))}
            for which in ("base", "tuned")
        )
        items = [item for item in before if item in after]
        right = [[side[item].correct for item in items] for side in (before, after)]
        base.append(proportion(right[0]))
        tuned.append(proportion(right[1]))
        drop.append(paired_difference(right[0], right[1]))
        moved = [
            now - then
            for item in items
            if (then := before[item].log_odds) is not None
            and (now := after[item].log_odds) is not None
        ]
        if moved:
            shifts.append(sum(moved) / len(moved))
    return Line(
        transform,
        mean(base),
        mean(tuned),
        mean(drop),
        sum(shifts) / len(shifts) if shifts else None,
    )


def percent(one: Estimate) -> str:
    return f"{100 * one.estimate:.0f} ({100 * one.low:.0f} to {100 * one.high:.0f})"


def table(found: Sequence[Line]) -> str:
    """Return the table as Markdown; a shift above 0 leans to the demonstrations' reading."""
    rows = [
        "| prompts | base, % | tuned, % | drop, points | shift of log-odds, nats |",
        "|" + "---|" * 5,
    ]
    for one in found:
        shift = "–" if one.log_odds is None else f"{one.log_odds:+.2f}"
        cells = [one.name, percent(one.base), percent(one.tuned), percent(one.drop), shift]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def draw(found: Sequence[Line], title: str, file: Path) -> None:
    """Draw base and tuned by language, with intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6.4, 0.42 * len(found) + 1.2))
    for shift, name, colour in ((-0.12, "base", "#77736a"), (0.12, "tuned", "#2856a3")):
        for place, one in enumerate(found):
            value: Estimate = getattr(one, name)
            axis.plot(
                [100 * value.low, 100 * value.high], [place + shift] * 2, color=colour, lw=1.8
            )
            label = name if not place else None
            axis.plot(100 * value.estimate, place + shift, "o", color=colour, label=label)
    axis.set_yticks(range(len(found)), [one.name for one in found])
    axis.invert_yaxis()
    axis.set_xlim(-2, 102)
    axis.set_xlabel("accuracy, mean of the tasks, % (95 % intervals)")
    axis.set_title(title, fontsize=9, loc="left")
    axis.grid(axis="x", color="#e3dfd6")
    axis.legend(frameon=False, loc="lower right")
    figure.tight_layout()
    figure.savefig(file, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--figure", type=Path, help="of the first pair")
    options = parser.parse_args()
    try:
        found = pairs(options.run)
    except ValueError as error:
        parser.error(str(error))
    for place, (title, tasks) in enumerate(found.items()):
        table_lines = lines(tasks)
        print(f"\n{title}: mean of {', '.join(one.ability.task for one in tasks)}\n")
        print(table(table_lines))
        if options.figure and not place:
            draw(table_lines, title, options.figure)


if __name__ == "__main__":
    main()
