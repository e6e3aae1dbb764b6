"""Does closeness tell what is lost? A mixed model of prompts, and a forecast of abilities.

dormant audit BASE TUNED --task icl,icl_vs_if --closeness --out runs/close
python experiments/language/closeness_law.py runs/close

Of prompts that the base answers rightly: log-odds that the tuned model does, too, by closeness (in
standard deviations), with source items and transforms as random effects; variational Bayes of
statsmodels, posterior mean and 95 % interval. And over cells (ability and transform): rank
correlation of mean closeness and drop, with a bootstrap over abilities. The second needs nothing
but prompts on one axis, so it is a forecast: twenty abilities or more make it worth reading.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.closeness.judging import Prompt
from dormant.closeness.store import Store
from dormant.results import AuditResults

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


def kept_by_closeness(frame: pd.DataFrame) -> tuple[float, float, float] | None:
    """Return the change of log-odds of being kept a standard deviation of closeness, 95 %.

    `None` where too few prompts were lost, or kept, or all are equally close.
    """
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

    asked = frame[frame["base"]].copy()
    kept = int(asked["tuned"].sum())
    spread = asked["closeness"].std()
    if min(kept, len(asked) - kept) < FEWEST or not spread > 0:
        return None
    asked["x"] = (asked["closeness"] - asked["closeness"].mean()) / spread
    asked["y"] = asked["tuned"].astype(int)
    model = BinomialBayesMixedGLM.from_formula(
        "y ~ x", {"items": "0 + C(item)", "transforms": "0 + C(transform)"}, asked
    )
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


def forecast(frame: pd.DataFrame, *, seed: int = 0, resamples: int = 2000) -> Forecast:
    """Return the rank correlation of closeness and drop over cells, with its interval.

    The bootstrap draws abilities, with all their cells.
    """
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


def interval(middle: float, low: float, high: float) -> str:
    return f"{middle:+.2f} ({low:+.2f} to {high:+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    options = parser.parse_args()
    run = RunDirectory.read(options.run)
    results = run.results()
    if not results.closeness:
        parser.error(f"{options.run}: closeness was not measured (dormant audit … --closeness)")
    print("| measure | what | estimate (95 %) |\n|---|---|---|")
    for one in results.closeness:
        frame = prompts(run, results, one.measure)
        for task, own in [("all", frame), *frame.groupby("task")]:
            found = kept_by_closeness(own)
            said = (
                "too few lost or kept, or all equally close"
                if found is None
                else "{:+.2f} ({:+.2f} to {:+.2f})".format(*found)
            )
            print(f"| {one.measure} | log-odds of being kept a deviation closer, {task} | {said} |")
        ahead = forecast(frame)
        over = f"{ahead.cells} cells of {ahead.tasks} abilities"
        said = (
            "one of the two never varies"
            if np.isnan(ahead.point)
            else interval(ahead.point, ahead.low, ahead.high)
        )
        print(f"| {one.measure} | rank correlation of closeness and drop, {over} | {said} |")


if __name__ == "__main__":
    main()
