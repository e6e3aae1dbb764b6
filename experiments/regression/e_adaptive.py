"""(e) Does choosing among transforms, or averaging over them, beat scaling? Paired differences.

dormant lab run quick --seeds 11,12,13 --out runs/lab-quick
python experiments/regression/e_adaptive.py runs/lab-quick

A row's loss is on D_cont, its difference to plain scaling by the run's γ (below 0: better), and
its cost on D_disc is the same predictor's loss there.
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import torch
from common import arguments
from matplotlib.figure import Figure

from dormant.conjugation import conjugate
from dormant.regression.conjugates import LabPredictor, adaptive, averaged, transform_set
from dormant.regression.drawing import LINE_STYLES, panels, write_figure
from dormant.regression.evaluation import batched, prompts_of, squared_errors
from dormant.regression.records import mean_estimate
from dormant.regression.rundir import LabRun
from dormant.regression.scale import Scale
from dormant.regression.shapes import Prompts
from dormant.regression.tables import Row, estimate_row
from dormant.regression.task_priors import task_priors

SETS = {
    "scales": "labels × each γ",
    "signs": "labels × ±1",
    "rotations": "8 rotations",
    "all": "8 rotations × each γ",
}


def remembered(predict: LabPredictor) -> LabPredictor:
    """Return a predictor that predicts the same prompts once."""
    known: dict[bytes, torch.Tensor] = {}

    def predicted(prompts: Prompts) -> torch.Tensor:
        key = sha256(b"".join(part.contiguous().numpy().tobytes() for part in prompts)).digest()
        if key not in known:
            known[key] = predict(prompts)
        return known[key]

    return predicted


def losses(run: LabRun, seed: int, count: int) -> dict[str, dict[str, np.ndarray]]:
    """Return every predictor's loss by prompt (B,), by prior."""
    settings, priors, gamma = run.settings, task_priors(run.settings, seed), run.results().gamma
    tuned = batched(run.seed(seed).model("finetuned"))
    predictors = {
        "fine-tuned": tuned,
        f"labels × {gamma:g}": conjugate(tuned, Scale(gamma)),
    }
    for kind, label in SETS.items():
        some = transform_set(kind, settings.model.dim, settings.evaluation.gammas, seed)
        once = remembered(tuned)  # both ways need the same predictions
        predictors[f"{label}, least likely"] = adaptive(once, some, priors.disc.log_evidence)
        predictors[f"{label}, averaged"] = averaged(once, some)
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in predictors}
    for prior, source in (("cont", priors.cont), ("disc", priors.disc)):
        prompts = Prompts(*(part[:count] for part in prompts_of(source, prior, settings, seed)))
        for name, predict in predictors.items():
            found[name][prior] = squared_errors(predict, prompts).mean(1).astype(np.float64)
    return found


def tabulate(run: LabRun, count: int) -> list[Row]:
    """Return a row for each predictor."""
    seeds = [losses(run, seed, count) for seed in run.settings.seeds]
    scaled = list(seeds[0])[1]
    rows: list[Row] = []
    for name in seeds[0]:
        loss = mean_estimate([one[name]["cont"] for one in seeds])
        row = {"predictor": name} | estimate_row(loss)
        pairs = [one[name]["cont"] - one[scaled]["cont"] for one in seeds]
        if name == scaled:
            row |= {"difference": 0.0, "difference_low": 0.0, "difference_high": 0.0}
        else:
            gap = mean_estimate(pairs)
            row |= {
                "difference": gap.estimate,
                "difference_low": gap.low,
                "difference_high": gap.high,
            }
        row["disc"] = mean_estimate([one[name]["disc"] for one in seeds]).estimate
        rows.append(row)
    return rows


def draw(rows: list[Row]) -> Figure:
    """Draw the differences."""
    figure, (axes,) = panels(1, width=6.4, height=3.6)
    places = np.arange(len(rows))[::-1]
    middle = np.array([float(row["difference"]) for row in rows])
    low = np.array([float(row["difference_low"]) for row in rows])
    high = np.array([float(row["difference_high"]) for row in rows])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.errorbar(
        middle, places, xerr=[middle - low, high - middle], fmt="D",
        color=LINE_STYLES["conjugated"].colour, capsize=2.5, elinewidth=1,
    )  # fmt: skip
    axes.set_yticks(places, [str(row["predictor"]) for row in rows])
    axes.set(
        title="Adaptive and averaged conjugation against plain scaling",
        xlabel=f"loss on D_cont minus that of {rows[1]['predictor']} (labels²; left is better)",
    )
    return figure


if __name__ == "__main__":
    read = arguments(__doc__, "runs/lab-quick", prompts="2000")
    table = tabulate(LabRun(read.run), int(read.prompts))
    for line in table:
        print(
            f"{line['predictor']:38} {line['estimate']:.3f} [{line['low']:.3f}, {line['high']:.3f}]"
            f"  difference {line['difference']:+.3f} [{line['difference_low']:+.3f}, "
            f"{line['difference_high']:+.3f}]  D_disc {line['disc']:.3f}"
        )
    print("intervals:", table[0]["interval"])
    print(write_figure(read.out / "adaptive", table, lambda: draw(table)))
