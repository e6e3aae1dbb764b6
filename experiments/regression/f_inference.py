"""(f) The model's own g, before and after fine-tuning, beside the exact g.

dormant lab run quick --seeds 11,12,13 --out runs/lab-quick
python experiments/regression/f_inference.py runs/lab-quick
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from common import arguments
from matplotlib.figure import Figure

from dormant.conjugation import conjugate
from dormant.regression.drawing import LINE_STYLES, line, panels, write_figure
from dormant.regression.evaluation import batched, prompts_of
from dormant.regression.inference import Parts, exact, explained, fitted, parts
from dormant.regression.rundir import LabRun
from dormant.regression.scale import Scale
from dormant.regression.tables import Row, estimate_row
from dormant.regression.task_priors import task_priors

EDGES = np.linspace(0, 1, 9)
LABELS = {"cont": "prompts of D_cont", "disc": "prompts of D_disc"}


def collected(run: LabRun) -> dict[str, dict[str, list[Parts]]]:
    """Return the parts of every predictor's ĝ, by prior and seed."""
    gamma = run.results().gamma
    names = ("pretrained", "finetuned", "conjugated")
    found: dict[str, dict[str, list[Parts]]] = {name: {"cont": [], "disc": []} for name in names}
    for seed in run.settings.seeds:
        priors, files = task_priors(run.settings, seed), run.seed(seed)
        tuned = batched(files.model("finetuned"))
        predictors = {
            "pretrained": batched(files.model("pretrained")),
            "finetuned": tuned,
            "conjugated": conjugate(tuned, Scale(gamma)),
        }
        for prior, source in (("cont", priors.cont), ("disc", priors.disc)):
            prompts = prompts_of(source, prior, run.settings, seed)
            for name, predict in predictors.items():
                found[name][prior].append(parts(priors.pretraining, predict, prompts))
    return found


def tabulate(run: LabRun) -> list[Row]:
    """Return g by exemplar count and by bins of the exact g."""
    found = collected(run)
    rows: list[Row] = []
    for prior in ("cont", "disc"):
        for k in range(run.settings.model.positions):
            at = found["pretrained"][prior]
            inside = [np.arange(one.exact.shape[1])[None] == np.full((len(one.exact), 1), k)
                      for one in at]  # fmt: skip
            rows.append(_row(prior, "exact", k, "", exact(at, inside)))
            for name, by_prior in found.items():
                rows.append(_row(prior, name, k, "", fitted(by_prior[prior], inside)))
    for low, high in pairwise(EDGES):
        both = {name: [_joined(*pair) for pair in zip(*by.values(), strict=True)]
                for name, by in found.items()}  # fmt: skip
        inside = [(one.exact >= low) & ((one.exact < high) | (high == 1))
                  for one in both["pretrained"]]  # fmt: skip
        rows.append(_row("both", "exact", "", low, exact(both["pretrained"], inside)))
        for name, at in both.items():
            rows.append(_row("both", name, "", low, fitted(at, inside)))
    return rows


def _joined(one: Parts, two: Parts) -> Parts:
    return Parts(*(np.concatenate(pair) for pair in zip(one, two, strict=True)))


def _row(prior: str, name: str, k: int | str, low: float | str, found) -> Row:
    return {"prior": prior, "predictor": name, "exemplars": k, "bin_from": low} | estimate_row(
        found
    )


def draw(rows: list[Row]) -> Figure:
    """Draw ĝ by exemplars on both priors, and against the exact g."""
    figure, axes = panels(3, width=3.7, height=3.5)
    styles = {
        "exact": LINE_STYLES["ridge"]._replace(label="exact g"),
        "pretrained": LINE_STYLES["pretrained"],
        "finetuned": LINE_STYLES["finetuned"],
        "conjugated": LINE_STYLES["conjugated"],
    }
    for axis, prior in zip(axes[:2], ("cont", "disc"), strict=True):
        for name, style in styles.items():
            those = [row for row in rows if row["prior"] == prior and row["predictor"] == name]
            line(axis, style, [float(row["exemplars"]) for row in those], those)
        axis.set(title=f"On {LABELS[prior]}", xlabel="exemplars before the query")
        axis.xaxis.get_major_locator().set_params(integer=True)
    both = [row for row in rows if row["prior"] == "both"]
    xs = [float(row["estimate"]) for row in both if row["predictor"] == "exact"]
    for name, style in styles.items():
        those = [row for row in both if row["predictor"] == name]
        line(axes[2], style, xs, those)
    axes[2].set(title="On both, by the exact g", xlabel="exact g of pretraining (in bins)")
    axes[0].set_ylabel("share of the prediction on w_disc: g")
    for axis in axes:
        axis.set_ylim(-0.1, 1.15)
    axes[0].legend(loc="upper right")
    return figure


if __name__ == "__main__":
    read = arguments(__doc__, "runs/lab-quick")
    directory = LabRun(read.run)
    for name, by_prior in collected(directory).items():
        for prior, seeds in by_prior.items():
            own, best = fitted(seeds), exact(seeds)
            share = np.mean([explained(one) for one in seeds])
            print(
                f"{name:12} {LABELS[prior]:18} g {own.estimate:.2f} [{own.low:.2f}, {own.high:.2f}]"
                f"  exact {best.estimate:.2f}  on the line {share:.0%}  ({own.method})"
            )
    table = tabulate(directory)
    print(write_figure(read.out / "inference", table, lambda: draw(table)))
