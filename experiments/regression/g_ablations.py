r"""(g) What reviewers asked: replay, data, parts tuned, another discrete set, size, families.

Each panel is one sweep. The first five fine-tune the quick preset's own pretrained models, which
`--cache` shares between the sweeps; the others pretrain for 1 000 steps a run.

for over in replay=0,0.1,0.5 finetuning.prompts=128,512,2048 finetuning.steps=50,100,400 \
    finetuning.tasks=same,other 'part=all,lora,last blocks'
do dormant lab sweep quick --seeds 11,12,13 --over "$over" --cache runs/lab-cache \
    --out "runs/lab-g/${over%%=*}"; done
for over in width=16,32,64 family=linear,quadratic,cosine
do dormant lab sweep quick --seeds 11 --set pretraining.steps=1000 --over "$over" \
    --cache runs/lab-cache --out "runs/lab-g/${over%%=*}"; done
python experiments/regression/g_ablations.py runs/lab-g
"""

from __future__ import annotations

import csv
from pathlib import Path

from common import arguments
from matplotlib.figure import Figure

from dormant.regression.drawing import LINE_STYLES, write_figure
from dormant.regression.records import net_share
from dormant.regression.rundir import LabRun
from dormant.regression.tables import Row

PANELS = {
    "replay": ("Replay", "share of prompts from pretraining"),
    "finetuning.prompts": ("Fine-tuning data", "distinct prompts (seen again and again)"),
    "finetuning.steps": ("Length", "fine-tuning steps, all prompts new"),
    "finetuning.tasks": ("Discrete set", "the pretraining's, or another"),
    "part": ("What may move", "weights tuned"),
    "width": ("Size", "width (pretrained for 1 000 steps)"),
    "family": ("Functions", "family (pretrained for 1 000 steps)"),
}
LINES = {
    "pretrained": LINE_STYLES["pretrained"],
    "finetuned": LINE_STYLES["finetuned"],
    "finetuned_conjugated": LINE_STYLES["conjugated"],
    "ridge": LINE_STYLES["ridge"]._replace(label="ridge"),
}
SHIFTS = dict(zip(LINES, (-0.09, -0.03, 0.03, 0.09), strict=True))
"""Sideways, so that intervals don't hide one another."""


def tabulate(folder: Path) -> list[Row]:
    """Return a row for each value of each field: the sweeps' tables, one below the other.

    Net shares are computed from the runs: what s does for the pretrained model is left out.
    """
    rows: list[Row] = []
    for field in PANELS:
        file = folder / field / "table.csv"
        if not file.exists():
            continue
        for old in csv.DictReader(file.open(encoding="utf-8")):
            if old["error"]:
                print(f"left out: {field} {old[field]}: {old['error']}")
                continue
            errors = LabRun(folder / field / "runs" / old["run"]).all_errors()
            net = net_share(errors, float(old["gamma"]))
            row: Row = {"field": field, "value": old[field]}
            for name in LINES:
                row |= {f"{name}{end}": float(old[f"{name}_cont{end}"]) for end in ENDS}
            row |= {f"finetuned_disc{end}": float(old[f"finetuned_disc{end}"]) for end in ENDS}
            row |= {f"recovered_share{end}": old[f"recovered_share{end}"] for end in ENDS}
            found = ("", "", "") if net is None else (net.estimate, net.low, net.high)
            row |= {f"net_share{end}": one for end, one in zip(ENDS, found, strict=True)}
            row |= {"gamma": old["gamma"], "interval": old["interval"]}
            rows.append(row)
    return rows


ENDS = ("", "_low", "_high")


def span(row: Row, name: str, form: str) -> str:
    """Write an estimate and its interval."""
    middle, low, high = (format(float(row[f"{name}{end}"]), form) for end in ENDS)
    return f"{middle} [{low}, {high}]"


def draw(rows: list[Row]) -> Figure:
    """Draw a panel for each field."""
    fields = [field for field in PANELS if any(row["field"] == field for row in rows)]
    columns = -(-len(fields) // 2)
    figure = Figure(figsize=(3.3 * columns, 6.2), layout="constrained")
    axes = figure.subplots(2, columns).ravel()
    for axis, field in zip(axes, fields, strict=False):
        here = [row for row in rows if row["field"] == field]
        for name, style in LINES.items():
            middle = [float(row[name]) for row in here]
            below = [float(row[name]) - float(row[f"{name}_low"]) for row in here]
            above = [float(row[f"{name}_high"]) - float(row[name]) for row in here]
            places = [place + SHIFTS[name] for place in range(len(here))]
            axis.errorbar(
                places, middle, [below, above], fmt=style.marker or "_", color=style.colour,
                linestyle=style.line, linewidth=1, capsize=2, elinewidth=0.8, label=style.label,
            )  # fmt: skip
        axis.set_xticks(range(len(here)), [str(row["value"]) for row in here])
        axis.set(title=PANELS[field][0], xlabel=PANELS[field][1])
    for axis in axes[::columns]:
        axis.set_ylabel("loss on D_cont (labels²)")
    handles, labels = axes[0].get_legend_handles_labels()
    for axis in axes[len(fields) :]:
        axis.axis("off")
    if len(axes) > len(fields):
        axes[-1].legend(handles, labels, loc="center")
    else:
        axes[0].legend()
    return figure


if __name__ == "__main__":
    read = arguments(__doc__, "runs/lab-g")
    table = tabulate(read.run)
    for row in table:
        share, net = row["recovered_share"], row["net_share"]
        print(
            f"{row['field']:19} {row['value']:12} pretrained {row['pretrained']:.3f}  "
            f"fine-tuned {span(row, 'finetuned', '.3f')}  + s (γ = {row['gamma']}) "
            f"{span(row, 'finetuned_conjugated', '.3f')}  ridge {row['ridge']:.3f}  "
            f"D_disc {row['finetuned_disc']:.3f}  won back "
            + (f"{float(share):.0%}" if share else "–")
            + (f", net {span(row, 'net_share', '.0%')}" if net else "")
        )
    print(
        "intervals:",
        *dict.fromkeys(f"{row['field']}: {row['interval']}" for row in table),
        sep="\n  ",
    )
    print(write_figure(read.out / "ablations", table, lambda: draw(table)))
