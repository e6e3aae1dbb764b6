"""The paper's Table 1 of a run: accuracy over its four tasks, base and tuned, by language.

dormant audit BASE TUNED --task icl_vs_if -n 130 --out runs/table1
python experiments/language/table1.py runs/table1 --figure table1.png

The figure has all pairs, which must be of one base: a panel for the mean, and one for each task.
Runs of the same pair, each with some of the tasks, are one table: `repeat-arithmetic` has items for
`-n 200`, `repeat-blank` has 130.

The paper prints the mean of the four tasks. Their items are others, so the interval of a mean is
made of the tasks' own by their squared half-widths (MOVER; Zou & Donner 2008, Statistics in
Medicine 27: 1693-1702), which needs no normal distribution of any of them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.results import PLAIN, AbilityResult, Estimate
from dormant.statistics.intervals import paired_difference, proportion

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    middle, low, high = (round(100 * part) for part in (one.estimate, one.low, one.high))
    return f"{middle} ({low} to {high})"


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


BASE_COLOUR, COLOURS = "#a39c8c", ("#8fb3e8", "#4f7fc9", "#1d3f7d", "#c0562f")
"""Of the base, and of its children, the first given first."""


def draw(children: Mapping[str, Sequence[Task]], file: Path) -> None:
    """Draw base and children by language, with intervals: the mean of the tasks, then each task.

    Args:
        children: The tasks of each child of one base, by its name in the legend.
        file: Where to.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    first = next(iter(children.values()))
    names = [None, *(one.ability.task for one in first)] if len(first) > 1 else [None]
    rows = [one.name for one in lines(first)]
    figure, axes = pyplot.subplots(
        1,
        len(names),
        sharey=True,
        squeeze=False,
        figsize=(2.4 * len(names) + 1, 0.5 * len(rows) + 1),
    )
    step = 0.8 / (len(children) + 1)
    for task, axis in zip(names, axes[0], strict=True):
        for child, (name, tasks) in enumerate(children.items()):
            found = lines([one for one in tasks if task in (None, one.ability.task)])
            if not child:
                _dots(axis, "base", [one.base for one in found], -0.4 + step / 2, BASE_COLOUR)
            place = -0.4 + step * (child + 1.5)
            _dots(axis, name, [one.tuned for one in found], place, COLOURS[child % len(COLOURS)])
        axis.set_title("mean of the tasks" if task is None else task, fontsize=8.5, loc="left")
        axis.set_xlim(-3, 103)
        axis.tick_params(labelsize=8)
        axis.set_xlabel("right, %", fontsize=8)
        axis.grid(axis="x", color="#e3dfd6")
    axes[0][0].set_yticks(range(len(rows)), rows)
    axes[0][0].invert_yaxis()
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(file, dpi=150)


def _dots(axis: Axes, name: str, values: Sequence[Estimate], shift: float, colour: str) -> None:
    places = [place + shift for place in range(len(values))]
    low, high = [100 * one.low for one in values], [100 * one.high for one in values]
    axis.hlines(places, low, high, color=colour, lw=1.4)
    axis.plot([100 * one.estimate for one in values], places, "o", ms=3.6, color=colour, label=name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--figure", type=Path, help="of all pairs, which have one base")
    parser.add_argument("--legend", nargs="+", help="names of the children in the figure")
    options = parser.parse_args()
    try:
        found = pairs(options.run)
    except ValueError as error:
        parser.error(str(error))
    for title, tasks in found.items():
        print(f"\n{title}: mean of {', '.join(one.ability.task for one in tasks)}\n")
        print(table(lines(tasks)))
    if options.figure:
        bases, children = zip(*(title.split(" → ") for title in found), strict=True)
        if len(set(bases)) > 1:
            parser.error(f"--figure is of one base, and there are {', '.join(sorted(set(bases)))}")
        legend = options.legend or children
        if len(legend) != len(children):
            parser.error(f"--legend: {len(legend)} names for {len(children)} children")
        draw(dict(zip(legend, found.values(), strict=True)), options.figure)


if __name__ == "__main__":
    main()
