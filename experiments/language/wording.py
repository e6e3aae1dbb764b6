"""Is it the wording? Apertium's Spanish questions, with the words that begin the native ones.

python experiments/language/wording.py

The prompts of icl_vs_if/repeat-arithmetic under spanish@apertium, 100 items as in an audit, with
the query as it is and with its first words replaced. Nothing else of the prompt is changed.
"""

from __future__ import annotations

from dataclasses import replace

from dormant import tasks
from dormant.audit.sample import ItemSample
from dormant.audit.score import score_cases
from dormant.audit.transformed import transformed_cases
from dormant.models.load import load
from dormant.prompts.case import Case
from dormant.prompts.segment import Segment
from dormant.statistics.intervals import paired_difference, proportion
from dormant.tasks.task import draw_items

TASK, TRANSFORM, ITEMS = "icl_vs_if/repeat-arithmetic", "spanish@apertium", 100
MADE, WORDINGS = "Qué es", ("Qué es", "¿Qué es", "Cuánto es", "¿Cuánto es")


def reworded(case: Case, wording: str) -> Case:
    def change(segment: Segment) -> Segment:
        if not segment.text.startswith(MADE):
            return segment
        return Segment(wording + segment.text.removeprefix(MADE), segment.role)

    return replace(case.map(change), undo=None)


def main() -> None:
    """Print one line a wording."""
    (task,) = tasks.get([TASK])
    made = transformed_cases(task, ItemSample(draw_items(task, ITEMS, 0), 2, 0), TRANSFORM)
    cases = list(made.cases.values())
    lm = load("smollm2")
    found: dict[str, list[bool]] = {}
    for wording in WORDINGS:
        scored = score_cases(lm, task, [reworded(case, wording) for case in cases], "raw")
        found[wording] = [one.correct for one in scored]
        share = proportion(found[wording])
        gain = paired_difference(found[wording], found[MADE])
        print(
            f"{wording} …: {share.estimate:.0%} ({100 * share.low:.0f}–{100 * share.high:.0f}), "
            f"{100 * gain.estimate:+.0f} ({100 * gain.low:+.0f} to {100 * gain.high:+.0f})"
        )


if __name__ == "__main__":
    main()
