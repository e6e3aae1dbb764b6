"""Figures (c), (d), (e) of a run, each a table first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray
from scipy import stats

from dormant.files import guarded
from dormant.regression.drawing import (
    LINE_STYLES,
    LineStyle,
    columns,
    fit_to_estimates,
    legend_below,
    line,
    panels,
    write_figure,
)
from dormant.regression.evaluation import Errors, conjugated_name
from dormant.regression.records import best_gamma, mean_estimate
from dormant.regression.rundir import LabRun
from dormant.regression.tables import Row, estimate_row
from dormant.results import Estimate
from dormant.statistics.intervals import LEVEL

BINS = 10
"""Bins of equal size for figure (d)."""
_WIDE = 10  # nats: bins further apart are drawn on a logarithmic scale


def write_figures(run: LabRun) -> list[Path]:
    """Write figures (c), (d) and (e) of a finished run into its ``figures`` directory.

    Returns:
        The images; each has its data beside it, with the suffix ``.csv``.

    Raises:
        DormantError: The run is not finished, or the directory can't be written.
    """
    folder = run.path / "figures"
    guarded(folder, lambda: folder.mkdir(exist_ok=True))
    made: list[Path] = []
    for name, (tabulate, draw) in FIGURES.items():
        rows = tabulate(run)
        made.append(write_figure(folder / name, rows, lambda rows=rows, draw=draw: draw(rows)))
    return made


def finetuning_rows(run: LabRun) -> list[Row]:
    """Tabulate (c): both losses against steps of fine-tuning, and the optima."""
    rows: list[Row] = []
    logs = [run.seed(seed).log("finetuning").rows() for seed in run.settings.seeds]
    for entries in zip(*logs, strict=True):
        for prior in ("cont", "disc"):
            values = [entry[prior] for entry in entries]
            if len(values) > 1:
                estimate = mean_estimate([np.array([value]) for value in values])
            else:
                count = run.settings.evaluation.curve_prompts
                half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * entries[0][f"{prior}_error"]
                estimate = Estimate(
                    estimate=values[0],
                    low=values[0] - half,
                    high=values[0] + half,
                    method=f"student-t over {count} prompts",
                )
            rows.append({"prior": prior, "curve": "model", "step": entries[0]["step"]}
                        | estimate_row(estimate))  # fmt: skip
    errors = run.all_errors()
    for prior, optimum in (("cont", "ridge"), ("disc", "discrete")):
        estimate = mean_estimate([one[f"{prior}/{optimum}"].mean(1) for one in errors])
        rows.append({"prior": prior, "curve": optimum, "step": 0} | estimate_row(estimate))
    return rows


def draw_finetuning(rows: Sequence[Row]) -> Figure:
    """Draw (c)."""
    figure, axes = panels(1, width=5.2, height=3.6)
    styles = {
        "cont": LineStyle("D_cont: any task", LINE_STYLES["finetuned"].colour, "-", "s"),
        "disc": LineStyle(
            "D_disc: what it is tuned on", LINE_STYLES["pretrained"].colour, "-", "o"
        ),
    }
    for prior, style in styles.items():
        those = [row for row in rows if row["prior"] == prior and row["curve"] == "model"]
        line(axes[0], style, [float(row["step"]) for row in those], those)
        floor = next(row for row in rows if row["prior"] == prior and row["curve"] != "model")
        label = f"{'ridge' if prior == 'cont' else 'discrete'}: optimum there"
        axes[0].axhline(float(floor["estimate"]), color=style.colour, linestyle="--", label=label)
    axes[0].set(
        title="Losses during fine-tuning on D_disc",
        xlabel="fine-tuning steps",
        ylabel="loss (squared error, labels²)",
    )
    fit_to_estimates(axes[0], rows)
    legend_below(axes[0])
    return figure


def likelihood_rows(run: LabRun) -> list[Row]:
    """Tabulate (d): change in loss of D_cont prompts by their likelihood under D_disc.

    A point is a position of a prompt (k ≥ 1); its closeness is log p_disc of the k pairs before it,
    per pair, and its change the squared error after fine-tuning minus that before. Points are
    binned into equal tenths at each k, so that prompts of all lengths weigh alike in every bin;
    intervals are over prompts within a seed, or over seeds.
    """
    errors = run.all_errors()
    binned = [_binned(one) for one in errors]
    rows: list[Row] = []
    for number in range(BINS):
        changes = [change for change, _ in (one[number] for one in binned)]
        closeness = float(np.mean([value for _, value in (one[number] for one in binned)]))
        rows.append(
            {"bin": number + 1, "log_likelihood_per_pair": closeness}
            | estimate_row(mean_estimate(changes))
        )
    return rows


def _binned(errors: Errors) -> list[tuple[NDArray[np.floating], float]]:
    """Return, for each bin, every prompt's mean change in it and the bin's mean closeness."""
    change = (errors["cont/finetuned"] - errors["cont/pretrained"])[:, 1:].astype(np.float64)
    counts = np.arange(1, change.shape[1] + 1)
    closeness = errors["cont/log_evidence"][:, 1:-1] / counts
    ranks = closeness.argsort(0).argsort(0) * BINS // len(closeness)
    found: list[tuple[NDArray[np.floating], float]] = []
    for number in range(BINS):
        inside = ranks == number
        present = inside.any(1)
        means = (change * inside).sum(1)[present] / inside.sum(1)[present]
        found.append((means, float(closeness[inside].mean())))
    return found


def draw_likelihood(rows: Sequence[Row]) -> Figure:
    """Draw (d)."""
    figure, axes = panels(1, width=5.2, height=3.4)
    xs = [float(row["log_likelihood_per_pair"]) for row in rows]
    middle, low, high = columns(rows)
    axes[0].axhline(0, color="black", linewidth=0.8)
    axes[0].errorbar(
        xs, middle, [middle - low, high - middle], fmt="o-", color=LINE_STYLES["finetuned"].colour,
        capsize=2.5, elinewidth=1,
    )  # fmt: skip
    if max(xs) - min(xs) > _WIDE:
        axes[0].set_xscale("symlog", linthresh=1)
        axes[0].xaxis.set_major_locator(FixedLocator(_likelihood_ticks(xs)))
        axes[0].xaxis.set_minor_locator(NullLocator())
        axes[0].xaxis.set_major_formatter("{x:g}")
    axes[0].set(
        title="Change in loss of D_cont prompts, by closeness",
        xlabel="log-likelihood under D_disc (nats a pair; further right is closer)",
        ylabel="change in loss (labels²)",
    )
    return figure


def conjugation_rows(run: LabRun) -> list[Row]:
    """Tabulate (e): losses on D_cont by exemplar count at the chosen γ, and by γ."""
    errors, gammas = run.all_errors(), run.settings.evaluation.gammas
    gamma = best_gamma(errors, gammas)
    named = {
        "pretrained": "pretrained",
        "finetuned": "finetuned",
        "conjugated": conjugated_name("finetuned", gamma),
        "ridge": "ridge",
        "optimum": conjugated_name("optimum", gamma),
    }
    rows: list[Row] = []
    for predictor, key in named.items():
        for k in range(run.settings.model.positions):
            estimate = mean_estimate([one[f"cont/{key}"][:, k] for one in errors])
            rows.append(
                {"panel": "exemplars", "predictor": predictor, "exemplars": k, "gamma": gamma}
                | estimate_row(estimate)
            )
    for predictor in ("pretrained", "finetuned", "optimum", "ridge"):
        for value in (1.0, *gammas):
            plain = value == 1 or predictor == "ridge"  # ridge commutes with scaling
            key = predictor if plain else conjugated_name(predictor, value)
            estimate = mean_estimate([one[f"cont/{key}"].mean(1) for one in errors])
            rows.append(
                {"panel": "gamma", "predictor": predictor, "exemplars": "all", "gamma": value}
                | estimate_row(estimate)
            )
    return rows


def draw_conjugation(rows: Sequence[Row]) -> Figure:
    """Draw (e)."""
    figure, axes = panels(2, width=4.6, height=3.6)
    by_count = [row for row in rows if row["panel"] == "exemplars"]
    for predictor in ("pretrained", "finetuned", "conjugated", "ridge", "optimum"):
        those = [row for row in by_count if row["predictor"] == predictor]
        line(axes[0], LINE_STYLES[predictor], [float(row["exemplars"]) for row in those], those)
    axes[0].set(
        title=f"By exemplars, labels × {float(by_count[0]['gamma']):g}",
        xlabel="exemplars before the query",
        ylabel="loss on D_cont (squared error, labels²)",
    )
    fit_to_estimates(axes[0], by_count)
    axes[0].legend()
    by_gamma = [row for row in rows if row["panel"] == "gamma"]
    under_s = {
        "pretrained": LINE_STYLES["pretrained"]._replace(label="pretrained + s"),
        "finetuned": LINE_STYLES["conjugated"],
        "optimum": LINE_STYLES["optimum"],
        "ridge": LINE_STYLES["ridge"]._replace(label="ridge, told γ (Bayes floor)"),
    }
    for predictor, style in under_s.items():
        those = [row for row in by_gamma if row["predictor"] == predictor]
        those.sort(key=lambda row: float(row["gamma"]))
        line(axes[1], style, [float(row["gamma"]) for row in those], those)
    axes[1].set(
        title="Mean over exemplars, by γ", xlabel="γ (labels are multiplied by it)", ylabel=""
    )
    axes[1].xaxis.set_major_locator(FixedLocator(sorted({float(row["gamma"]) for row in by_gamma})))
    axes[1].xaxis.set_major_formatter("{x:g}")
    seen = [float(row["estimate"]) for row in by_gamma]
    axes[1].set_ylim(min(seen) - 0.25 * (max(seen) - min(seen)), max(seen) * 1.06)
    axes[1].legend(loc="upper right")
    return figure


FIGURES: Mapping[str, tuple[Callable[[LabRun], list[Row]], Callable[[Sequence[Row]], Figure]]] = {
    "finetuning": (finetuning_rows, draw_finetuning),
    "likelihood": (likelihood_rows, draw_likelihood),
    "conjugation": (conjugation_rows, draw_conjugation),
}


def _likelihood_ticks(xs: Sequence[float]) -> list[float]:
    """Return 1, 3, 10, … nats on either side of 0, as far as the data go."""
    sizes = [step * 10.0**power for power in range(5) for step in (1, 3)]
    every = [-size for size in reversed(sizes)] + [0.0, *sizes]
    return [tick for tick in every if min(xs) * 1.3 - 0.5 <= tick <= max(xs) * 1.3 + 0.5]
