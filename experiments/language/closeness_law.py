"""Does closeness tell what is lost? A mixed model of prompts, and a forecast of abilities.

dormant audit BASE TUNED --task icl,icl_vs_if --closeness --out runs/close
python experiments/language/closeness_law.py runs/close --figure closeness.png

Of prompts that the base answers rightly: log-odds that the tuned model does, too, by closeness (in
standard deviations), with source items and transforms as random effects, over all and within
abilities; variational Bayes of statsmodels, posterior mean and 95 % interval. And over cells
(ability and transform), and over abilities in plain prompts: rank correlation of mean closeness and
drop, with a bootstrap over abilities. The second needs nothing but prompts on one axis, so it is a
forecast: twenty abilities or more make it worth reading. The figure has the change of correctness
of all prompts in bins of closeness, a row a run and a column a measure.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.closeness.judging import Prompt
from dormant.closeness.store import Store
from dormant.results import PLAIN, AuditResults
from dormant.statistics.closeness import bins

FEWEST = 20
"""Prompts that must have been lost, and kept, for a model to be fitted."""


def prompts(run: RunDirectory, results: AuditResults, measure: str) -> pd.DataFrame:
    """Return a row a prompt: task, transform, item, both outcomes, closeness in the run's unit."""
    store = Store(run)
    (result,) = [one for one in results.closeness if one.measure == measure]
    rows = []
    for ability in result.abilities:
        for cell in ability.cells:
            name = _file(run, measure, ability.task, cell.transform)
            before = store.known("base", ability.task, cell.transform)
            after = store.known(name, ability.task, cell.transform)
            right = [
                {
                    one.item: one.correct
                    for one in run.scores(CellKey(which, ability.task, cell.transform))
                }
                for which in ("base", "tuned")
            ]
            both = [
                Prompt(item, cell.transform, right[0][item], right[1][item], one, after[item])
                for item, one in before.items()
                if item in after and item in right[0] and item in right[1]
            ]
            rows += [
                {
                    "task": ability.task, "transform": one.transform,
                    "item": f"{ability.task}/{one.item}", "base": one.base, "tuned": one.tuned,
                    "closeness": one.closeness(per_token=result.unit == "nats per token"),
                }
                for one in both
            ]  # fmt: skip
    return pd.DataFrame(rows)


def _file(run: RunDirectory, measure: str, task: str, transform: str) -> str:
    if measure == "tuned":
        return measure
    folder = Store(run).file("base", task, transform)
    stem = folder.name.removesuffix("base.jsonl")
    (file,) = folder.parent.glob(f"{stem}density-*.jsonl")
    return file.name.removeprefix(stem).removesuffix(".jsonl")


def kept_by_closeness(
    frame: pd.DataFrame, *, within: bool = False
) -> tuple[float, float, float] | None:
    """Return the change of log-odds of being kept a standard deviation of closeness, 95 %.

    `None` where too few prompts were lost, or kept, or all are equally close.

    Args:
        frame: A row a prompt.
        within: Whether of closeness only what it differs by from its ability's mean counts. That
            mean stands beside it, and abilities are random effects as well (Mundlak 1978).
    """
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

    asked = frame[frame["base"]].copy()
    kept = int(asked["tuned"].sum())
    spread = asked["closeness"].std()
    if min(kept, len(asked) - kept) < FEWEST or not spread > 0:
        return None
    asked["x"] = (asked["closeness"] - asked["closeness"].mean()) / spread
    asked["y"] = asked["tuned"].astype(int)
    formula, effects = "y ~ x", {"items": "0 + C(item)", "transforms": "0 + C(transform)"}
    if within:
        asked["between"] = asked.groupby("task")["x"].transform("mean")
        asked["x"] -= asked["between"]
        formula, effects["abilities"] = "y ~ x + between", "0 + C(task)"
    model = BinomialBayesMixedGLM.from_formula(formula, effects, asked)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit_vb()
    middle, deviation = float(fit.fe_mean[1]), float(fit.fe_sd[1])
    return middle, middle - 1.96 * deviation, middle + 1.96 * deviation


class Forecast(NamedTuple):
    """Rank correlation of closeness and drop over cells; not a number where one never varies."""

    point: float
    low: float
    high: float
    cells: int
    tasks: int


def forecast(
    frame: pd.DataFrame, *, plain_only: bool = False, seed: int = 0, resamples: int = 2000
) -> Forecast:
    """Return the rank correlation of closeness and drop over cells, with its interval.

    The bootstrap draws abilities, with all their cells; `plain_only` leaves a cell an ability.
    """
    if plain_only:
        frame = frame[frame["transform"] == PLAIN]
    cells = frame.groupby(["task", "transform"]).agg(
        closeness=("closeness", "mean"), base=("base", "mean"), tuned=("tuned", "mean")
    )
    cells["drop"] = cells["base"] - cells["tuned"]
    # What the base can't do can't be lost.
    cells = cells[cells["base"] >= 0.2].reset_index()
    tasks = cells["task"].unique()
    parts = {task: cells[cells["task"] == task] for task in tasks}
    point = _ranked(cells)
    draw = np.random.default_rng(seed)
    again = []
    for _ in range(resamples):
        some = pd.concat([parts[task] for task in draw.choice(tasks, len(tasks))])
        value = _ranked(some)
        again.append(0.0 if np.isnan(value) else value)
    low, high = np.quantile(again, [0.025, 0.975])
    return Forecast(point, float(low), float(high), len(cells), len(tasks))


def _ranked(cells: pd.DataFrame) -> float:
    if cells["closeness"].nunique() < 2 or cells["drop"].nunique() < 2:
        return float("nan")
    return float(stats.spearmanr(cells["closeness"], cells["drop"]).statistic)


def draw(runs: Sequence[Run], file: Path) -> None:
    """Draw the change of correctness in bins of closeness: a row a run, a column a measure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = max(len(one.frames) for one in runs)
    figure, axes = pyplot.subplots(
        len(runs), columns, squeeze=False, figsize=(3.4 * columns, 2.7 * len(runs)), sharey="row"
    )
    for one, row in zip(runs, axes, strict=True):
        for place, axis in enumerate(row):
            if place >= len(one.frames):
                axis.set_axis_off()
                continue
            measure, frame = list(one.frames.items())[place]
            for part in bins(
                frame["closeness"], frame["base"], frame["tuned"], frame["item"].tolist()
            ):
                axis.plot([part.low, part.high], [100 * part.change.estimate] * 2, color="#c9c4b8")
                axis.plot(
                    [part.mean] * 2,
                    [100 * part.change.low, 100 * part.change.high],
                    color="#2856a3",
                )
                axis.plot(part.mean, 100 * part.change.estimate, "o", ms=4, color="#2856a3")
            axis.axhline(0, color="#77736a", lw=0.6)
            axis.set_title(f"{one.title}\nby {measure}", fontsize=7.5, loc="left")
            axis.set_xlabel(f"closeness, {one.unit}", fontsize=8)
            axis.tick_params(labelsize=7.5)
        row[0].set_ylabel("change of accuracy, points", fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=150)


def interval(middle: float, low: float, high: float) -> str:
    return f"{middle:+.2f} ({low:+.2f} to {high:+.2f})"


class Run(NamedTuple):
    """A run's prompts by measure of closeness."""

    title: str
    unit: str
    frames: dict[str, pd.DataFrame]


def read(path: Path) -> Run:
    """Read one run. ValueError: closeness was not measured."""
    run = RunDirectory.read(path)
    results = run.results()
    if not results.closeness:
        raise ValueError(f"{path}: closeness was not measured (dormant audit … --closeness)")
    frames = {one.measure: prompts(run, results, one.measure) for one in results.closeness}
    return Run(f"{results.base} → {results.tuned}", results.closeness[0].unit, frames)


def rows(measure: str, frame: pd.DataFrame) -> Iterator[str]:
    """Yield the table's rows of one measure."""
    every = [
        ("all", kept_by_closeness(frame)),
        ("all, within abilities", kept_by_closeness(frame, within=True)),
        *((task, kept_by_closeness(own)) for task, own in frame.groupby("task")),
    ]
    for task, found in every:
        said = "too few lost or kept, or all equally close" if found is None else interval(*found)
        yield f"| {measure} | log-odds of being kept a deviation closer, {task} | {said} |"
    for plain_only, over in ((False, "cells"), (True, "plain cells")):
        ahead = forecast(frame, plain_only=plain_only)
        said = (
            "one of the two never varies"
            if np.isnan(ahead.point)
            else interval(ahead.point, ahead.low, ahead.high)
        )
        many = f"{ahead.cells} {over} of {ahead.tasks} abilities"
        yield f"| {measure} | rank correlation of closeness and drop, {many} | {said} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    try:
        runs = [read(path) for path in options.run]
    except ValueError as error:
        parser.error(str(error))
    for one in runs:
        print(f"\n{one.title}\n\n| measure | what | estimate (95 %) |\n|---|---|---|")
        for measure, frame in one.frames.items():
            print("\n".join(rows(measure, frame)))
    if options.figure:
        draw(runs, options.figure)


if __name__ == "__main__":
    main()
