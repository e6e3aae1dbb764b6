"""How often a model declined and answered, cell by cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from dormant.results import Estimate, ItemOutcome
from dormant.statistics.intervals import proportion
from dormant.tasks.refusal.labels import LABELS, Label


class Rates(NamedTuple):
    """What one cell's answers were.

    Attributes:
        task: The ability.
        transform: The transform, or "plain".
        model: "base" or "tuned".
        n: Answers.
        rates: Share of each label, with its interval.
        languages: Answers in each detected language, the most frequent first; "?" is unknown.
        empty: Answers without any text; `None` where answers were not kept.
    """

    task: str
    transform: str
    model: str
    n: int
    rates: dict[Label, Estimate]
    languages: dict[str, int]
    empty: int | None


def rates(outcomes: Sequence[ItemOutcome]) -> list[Rates]:
    """Count labels and languages, cell by cell."""
    cells: dict[tuple[str, str, str], list[ItemOutcome]] = {}
    for outcome in outcomes:
        cells.setdefault((outcome.task, outcome.transform, outcome.model), []).append(outcome)
    return [
        Rates(
            task=task,
            transform=transform,
            model=model,
            n=len(cell),
            rates={label: proportion([o.label == label for o in cell]) for label in LABELS},
            languages=dict(Counter(o.output_language or "?" for o in cell).most_common()),
            empty=(
                sum(not (o.output or "").strip() for o in cell)
                if any(o.output is not None for o in cell)
                else None
            ),
        )
        for (task, transform, model), cell in cells.items()
    ]
