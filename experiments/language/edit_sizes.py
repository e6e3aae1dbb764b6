"""Print what edits of its weights cost a base model: abilities by edits, percent right.

The defaults of `dormant.evidence.noise` were chosen by it (docs/evidence.md).

python experiments/language/edit_sizes.py smollm2
"""

from __future__ import annotations

import sys
from typing import Any

from dormant import tasks
from dormant.audit.plan import planned_cases
from dormant.audit.score import score_cases
from dormant.audit.settings import AuditSettings
from dormant.models.arguments import LoadOptions
from dormant.models.edits import Edit, gaussian, rounded
from dormant.models.load import load
from dormant.results import PLAIN

TASKS = ("icl/copy", "icl/plural", "recall/continue")
SIZES, SEEDS, BITS = (0.05, 0.1, 0.15, 0.2, 0.3), (0, 1, 2), (8, 4, 3)
ITEMS = 40


def main(model: str) -> None:
    """Ask a model as it is, and under each edit."""
    settings = AuditSettings(base=None, tuned=model, tasks=TASKS, n=ITEMS)
    asked = [
        (task, list(planned_cases(task, settings, PLAIN).cases.values()))
        for task in tasks.get(settings.tasks)
    ]
    lm: Any = load(model, LoadOptions(dtype="float32"))

    def percent() -> list[str]:
        right = [
            sum(one.correct for one in score_cases(lm, task, cases, "raw")) for task, cases in asked
        ]
        return [f"{100 * number / ITEMS:.0f}" for number in right]

    def under(edit: Edit) -> list[str]:
        with edit.on(lm.model):
            return percent()

    print(f"| edit | {' | '.join(TASKS)} |\n|{' --- |' * (1 + len(TASKS))}")
    rows = [("none", [percent()])]
    rows += [(f"noise {size}", [under(gaussian(size, seed)) for seed in SEEDS]) for size in SIZES]
    rows += [(f"{bits} bits", [under(rounded(bits))]) for bits in BITS]
    for name, runs in rows:
        columns = (", ".join(values) for values in zip(*runs, strict=True))
        print(f"| {name} | {' | '.join(columns)} |")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "smollm2")
