r"""How much does the quality of a translation cost? Machine-translated against native prompts.

dormant audit smollm2 --out runs/translation \
  --task icl_vs_if/repeat-arithmetic,icl_vs_if/repeat-blank,icl/copy \
  --task icl/capital,icl/antonym,nli/likely \
  --transform spanish,spanish@apertium,catalan@apertium,galician@apertium
python experiments/language/translation_cost.py runs/translation

Accuracies with Wilson's intervals, and paired differences on the same items with Tango's. Then the
machine-translated items, halved at the median of their round-trip chrF within each ability and
language: if the quality of an item's translation decided its fate, the better half would do better.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import numpy as np

from dormant import tasks
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.audit.sample import ItemSample
from dormant.audit.transformed import transformed_cases
from dormant.results import PLAIN, Estimate
from dormant.statistics.intervals import mcnemar_exact, mean_contrast, paired_difference, proportion
from dormant.tasks.task import draw_items

NATIVE = "spanish"


def outcomes(run: RunDirectory, task: str, transform: str) -> dict[str, bool]:
    cell = CellKey("tuned", task, transform)
    return {one.item: one.correct for one in run.outcomes(cell)}


def share(estimate: Estimate) -> str:
    return f"{estimate.estimate:.0%} ({100 * estimate.low:.0f}–{100 * estimate.high:.0f})"


def points(estimate: Estimate) -> str:
    bounds = f"{100 * estimate.low:+.0f} to {100 * estimate.high:+.0f}"
    return f"{100 * estimate.estimate:+.0f} ({bounds})"


def against(first: dict[str, bool], second: dict[str, bool]) -> str:
    """Paired difference over the items that both have, in points, and McNemar's exact p-value."""
    items = [item for item in first if item in second]
    left, right = [first[item] for item in items], [second[item] for item in items]
    return f"{points(paired_difference(left, right))}, p = {mcnemar_exact(left, right):.2g}"


def main(path: Path) -> None:
    """Print the tables of docs/results.md."""
    run = RunDirectory.read(path)
    results = run.results()
    print("| ability | prompts | items | accuracy | − English | − native Spanish | chrF |")
    print("|---|---|---|---|---|---|---|")
    halves: dict[str, list[tuple[float, float, int]]] = {}
    for ability in results.abilities:
        plain = outcomes(run, ability.task, PLAIN)
        native = outcomes(run, ability.task, NATIVE)
        share_ = share(proportion(list(plain.values())))
        print(f"| {ability.task} | English | {len(plain)} | {share_} | | | |")
        for used in ability.transforms:
            found = outcomes(run, ability.task, used.name)
            print(
                f"| | {used.name} | {used.n_items}"
                f"{f' (−{used.excluded_items})' if used.excluded_items else ''} | "
                f"{share(proportion(list(found.values())))} | {against(found, plain)} | "
                f"{'' if used.name == NATIVE else against(found, native)} | "
                f"{'' if used.fidelity is None else f'{100 * used.fidelity:.0f}'} |"
            )
            if used.name != NATIVE:
                row = _halves(run, results.settings, ability.task, used.name, found)
                halves.setdefault(used.name, []).append(row)
    print("\n| prompts | worse half | better half | better − worse |\n|---|---|---|---|")
    for name, rows in halves.items():
        gaps = [better - worse for worse, better, _ in rows]
        worse, better = (statistics.mean(row[k] for row in rows) for k in (0, 1))
        wide = points(mean_contrast(np.array(gaps), weights=[1]))
        print(f"| {name} | {worse:.0%} | {better:.0%} | {wide} |")


def _halves(
    run: RunDirectory,
    settings: dict[str, object],
    task: str,
    transform: str,
    found: dict[str, bool],
) -> tuple[float, float, int]:
    """Accuracy of the items whose translation survives worse, and better, than the median's."""
    (ability,) = tasks.get([task])
    seed = int(str(settings["seed"]))
    n = min(100, len(ability.pool()))
    sample = ItemSample(draw_items(ability, n, seed), ability.default_shots, seed)
    shares = transformed_cases(ability, sample, transform).shares
    middle = statistics.median(shares[item] for item in found)
    worse = [correct for item, correct in found.items() if shares[item] < middle]
    better = [correct for item, correct in found.items() if shares[item] >= middle]
    return statistics.mean(worse), statistics.mean(better), len(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
