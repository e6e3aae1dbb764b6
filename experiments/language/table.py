"""Print a run's accuracies as a Markdown table: abilities by transforms, with 95 % intervals.

dormant audit smollm2 --task icl_vs_if -n 100 --out runs/icl-vs-if
python experiments/language/table.py runs/icl-vs-if
"""

from __future__ import annotations

import sys
from pathlib import Path

from dormant.audit.run_dir import RunDirectory
from dormant.results import AbilityResult, Estimate


def cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{estimate.estimate:.0%} ({100 * estimate.low:.0f}–{100 * estimate.high:.0f})"


def row(ability: AbilityResult, side: str) -> str:
    cells = [getattr(ability.accuracy_intervals, f"{side}_plain")]
    cells += [getattr(t.accuracy_intervals, f"{side}_transformed") for t in ability.transforms]
    return f"| {ability.task} | {' | '.join(cell(one) for one in cells)} |"


def main(run: Path) -> None:
    """Print one table a model."""
    results = RunDirectory.read(run).results()
    names = ["plain", *(t.name for t in results.abilities[0].transforms)]
    for side, model in (("base", results.base), ("tuned", results.tuned)):
        if model is None:
            continue
        print(f"\n{model}: accuracy (share of right answers) with 95 % intervals\n")
        print(f"| ability | {' | '.join(names)} |")
        print(f"|{'---|' * (len(names) + 1)}")
        for ability in results.abilities:
            print(row(ability, side))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
