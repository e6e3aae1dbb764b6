r"""(a) Pretraining on each prior against its optimum, by exemplar count.

dormant lab sweep quick --seeds 11,12,13 --set pretraining_units=none \
    --set pretraining.steps=1000 --set finetuning.steps=1 --over alpha=0,0.2,0.5,0.8,1 \
    --out runs/lab-alpha
python experiments/regression/a_pretraining.py runs/lab-alpha
"""

from __future__ import annotations

import numpy as np
from common import arguments, sweep_runs
from matplotlib.figure import Figure

from dormant.regression.drawing import LINE_STYLES, line, panels, write_figure
from dormant.regression.evaluation import Errors
from dormant.regression.records import mean_estimate
from dormant.regression.rundir import LabRun
from dormant.regression.tables import Row, estimate_row

TITLES = {0.0: "D_cont alone", 0.5: "D_mix, α = 0.5", 1.0: "D_disc alone"}
"""By α. The optimum of a panel is that of the panel's own prior."""


def mixed(errors: Errors, predictor: str, alpha: float, k: int) -> np.ndarray:
    """Return values whose mean is the loss at position k on prompts of D_mix(α).

    Weights 1 − α and α on as many prompts of either part give the mixture's mean.
    """
    cont, disc = errors[f"cont/{predictor}"][:, k], errors[f"disc/{predictor}"][:, k]
    return (1 - alpha) * cont + alpha * disc


def tabulate(runs: dict[float, LabRun]) -> list[Row]:
    """Return a row for each prior, predictor and exemplar count."""
    rows: list[Row] = []
    for alpha, title in TITLES.items():
        run = runs[alpha]
        for predictor in ("pretrained", "ridge", "discrete", "optimum"):
            for k in range(run.settings.model.positions):
                values = [mixed(one, predictor, alpha, k) for one in run.all_errors()]
                rows.append(
                    {"prior": title, "predictor": predictor, "exemplars": k}
                    | estimate_row(mean_estimate(values))
                )
    return rows


def draw(rows: list[Row]) -> Figure:
    """Draw a panel for each prior."""
    figure, axes = panels(3, width=3.6, height=3.4)
    styles = {
        "pretrained": LINE_STYLES["pretrained"]._replace(label="transformer"),
        "ridge": LINE_STYLES["ridge"]._replace(label="ridge"),
        "discrete": LINE_STYLES["discrete"]._replace(label="discrete"),
        "optimum": LINE_STYLES["optimum"]._replace(label="optimum of the prior"),
    }
    for axis, title in zip(axes, TITLES.values(), strict=True):
        here = [row for row in rows if row["prior"] == title]
        for name, style in styles.items():
            those = [row for row in here if row["predictor"] == name]
            line(axis, style, [float(row["exemplars"]) for row in those], those)
        axis.set(title=title, xlabel="exemplars before the query")
        axis.xaxis.get_major_locator().set_params(integer=True)
        top = max(float(r["estimate"]) for r in here if r["predictor"] in ("pretrained", "ridge"))
        axis.set_ylim(0, 1.15 * top)
    axes[0].set_ylabel("loss on the prior itself (squared error, labels²)")
    axes[1].legend()
    return figure


if __name__ == "__main__":
    read = arguments(__doc__, "runs/lab-alpha")
    table = tabulate(sweep_runs(read.run, "prior.alpha"))
    for title in TITLES.values():
        here = [row for row in table if row["prior"] == title]
        means = {
            name: np.mean([row["estimate"] for row in here if row["predictor"] == name])
            for name in ("pretrained", "optimum")
        }
        print(
            f"{title}: transformer {means['pretrained']:.3f}, optimum {means['optimum']:.3f} "
            f"({means['pretrained'] / means['optimum'] - 1:+.0%})"
        )
    print(write_figure(read.out / "pretraining", table, lambda: draw(table)))
