"""What a preset's priors leave to be learnt: exact losses alone, without training a thing.

The optimum of D_mix(α) is itself above ridge on D_cont and above the discrete optimum on D_disc, so
α, D, K, n and σ decide how near to both a learner *can* come, and what labels × γ cost it. For the
preset with some fields varied:

python experiments/regression/optima.py quick --over alpha=0.2,0.3,0.4,0.5
python experiments/regression/optima.py quick --over sigma=0.5,0.7,1 --over alpha=0.3,0.5
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from dormant.conjugation import conjugate
from dormant.regression import settings
from dormant.regression.conjugates import LabPredictor
from dormant.regression.evaluation import prompts_of, squared_errors
from dormant.regression.priors import Prior
from dormant.regression.scale import Scale
from dormant.regression.settings import LabSettings
from dormant.regression.task_priors import task_priors

GAMMA = 3.0


def losses(chosen: LabSettings, seed: int) -> dict[str, float]:
    """Return one seed's exact losses."""
    priors = task_priors(chosen, seed)

    def loss(predict: LabPredictor, prior: Prior, name: str) -> float:
        return float(squared_errors(predict, prompts_of(prior, name, chosen, seed)).mean())

    cont, disc, mixture = priors.cont, priors.disc, priors.pretraining
    return {
        "ridge": loss(cont, cont, "cont"),
        "mixture": loss(mixture, cont, "cont"),
        "mixture_s": loss(conjugate(mixture, Scale(GAMMA)), cont, "cont"),
        "discrete": loss(disc, disc, "disc"),
        "mixture_disc": loss(mixture, disc, "disc"),
        "ridge_disc": loss(cont, disc, "disc"),
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset", nargs="?", default="quick")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--over", action="append", default=[], metavar="FIELD=VALUE,VALUE,…")
    parser.add_argument("--seeds", type=int, default=3, help="seeds averaged over [3]")
    read = parser.parse_args()
    fields = [part.partition("=")[::2] for part in read.over]
    print(
        f"{'':30} | on D_cont: ridge  D_mix       D_mix under γ = {GAMMA:g} "
        "| on D_disc: discrete  D_mix       ridge"
    )
    for values in itertools.product(*(text.split(",") for _, text in fields)):
        changes = [f"{name}={value}" for (name, _), value in zip(fields, values, strict=True)]
        chosen = settings.load(read.preset, [*read.set, *changes])
        found = [losses(chosen, seed) for seed in range(read.seeds)]
        mean = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
        print(
            f"{' '.join(changes):30} | {mean['ridge']:16.3f}  {mean['mixture']:.3f} "
            f"(+{mean['mixture'] / mean['ridge'] - 1:.0%})  {mean['mixture_s']:.3f} "
            f"(+{mean['mixture_s'] / mean['ridge'] - 1:.0%})         | {mean['discrete']:18.3f}  "
            f"{mean['mixture_disc']:.3f} (+{mean['mixture_disc'] / mean['discrete'] - 1:.0%})  "
            f"{mean['ridge_disc']:.3f} (+{mean['ridge_disc'] / mean['discrete'] - 1:.0%})"
        )


if __name__ == "__main__":
    main()
