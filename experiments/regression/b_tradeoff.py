r"""(b) The trade-off: loss on D_cont against loss on D_disc as α goes from 0 to 1.

The sweep is that of a_pretraining.py:

dormant lab sweep quick --seeds 11,12,13 --set pretraining_units=none \
    --set pretraining.steps=1000 --set finetuning.steps=1 --over alpha=0,0.2,0.5,0.8,1 \
    --out runs/lab-alpha
python experiments/regression/b_tradeoff.py runs/lab-alpha
"""

from __future__ import annotations

from common import arguments, sweep_runs
from matplotlib.figure import Figure

from dormant.regression.drawing import LINE_STYLES, panels, write_figure
from dormant.regression.records import mean_estimate
from dormant.regression.rundir import LabRun
from dormant.regression.tables import Row


def tabulate(runs: dict[float, LabRun]) -> list[Row]:
    """Return a row for each α and predictor."""
    rows: list[Row] = []
    for alpha, run in runs.items():
        for predictor in ("pretrained", "optimum", "ridge", "discrete"):
            row: Row = {"alpha": alpha, "predictor": predictor}
            for prior in ("cont", "disc"):
                found = mean_estimate([e[f"{prior}/{predictor}"].mean(1) for e in run.all_errors()])
                row |= {
                    prior: found.estimate,
                    f"{prior}_low": found.low,
                    f"{prior}_high": found.high,
                }
                row["interval"] = found.method
            rows.append(row)
    return rows


def draw(rows: list[Row]) -> Figure:
    """Draw both curves, and the two optima as lines."""
    figure, (axes,) = panels(1, width=5.2, height=4.0)
    for name, label in (("pretrained", "transformer"), ("optimum", "optimum of D_mix(α)")):
        those = [row for row in rows if row["predictor"] == name]
        xs, ys = ([float(row[prior]) for row in those] for prior in ("cont", "disc"))
        errors = [
            [
                [float(row[p]) - float(row[f"{p}_low"]) for row in those],
                [float(row[f"{p}_high"]) - float(row[p]) for row in those],
            ]
            for p in ("cont", "disc")
        ]
        style = LINE_STYLES[name]
        axes.errorbar(
            xs, ys, xerr=errors[0], yerr=errors[1], fmt=style.marker or "v", linestyle=style.line,
            color=style.colour, label=label, elinewidth=0.8,
        )  # fmt: skip
        if name == "pretrained":
            for row, x, y in zip(those, xs, ys, strict=True):
                axes.annotate(
                    f"α = {float(row['alpha']):g}", (x, y), textcoords="offset points",
                    xytext=(6, 5), fontsize=7.5,
                )  # fmt: skip
    first = {row["predictor"]: row for row in rows[:4]}
    axes.axvline(float(first["ridge"]["cont"]), color="black", ls="--", lw=1, label="ridge")
    axes.axhline(
        float(first["discrete"]["disc"]), color="#7F7F7F", ls=":", lw=1.4, label="discrete"
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set(
        title="Loss on either prior, by α of pretraining",
        xlabel="loss on D_cont (squared error, labels²; log scale)",
        ylabel="loss on D_disc (labels²)",
    )
    axes.legend()
    return figure


if __name__ == "__main__":
    read = arguments(__doc__, "runs/lab-alpha")
    table = tabulate(sweep_runs(read.run, "prior.alpha"))
    for row in table:
        if row["predictor"] in ("pretrained", "optimum"):
            print(
                f"α = {row['alpha']:<4g} {row['predictor']:10} D_cont {row['cont']:.3f}  "
                f"D_disc {row['disc']:.3f}"
            )
    print("intervals:", table[0]["interval"])
    print(write_figure(read.out / "tradeoff", table, lambda: draw(table)))
