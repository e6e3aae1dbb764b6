"""Verdicts per ability: pure functions of per-item outcomes (docs/statistics.md).

What is decided, and how:

- **retained**: the drop's upper bound is below the margin m.
- **asked otherwise**, where the wrapping of the training data is known: the drop's lower bound is
  above m; asked in that wrapping, what is left of the drop has an upper bound below m, or surely is
  less than a quarter of it; the recovery's lower bound is above 0; and McNemar's exact test of the
  gain survives Holm's correction over it and all transforms. It comes before what follows: a
  prompt's wrapping explains the loss without any talk of learning.
- **suppressed**: the drop's lower bound is above 0; and for the transform s chosen on one half of
  the source items, gain and recovery, estimated on the *other* half, both have lower bounds above
  0; and McNemar's exact test of that gain survives Holm's correction over all transforms.
- **forgotten**: the drop's lower bound is above m, at least one transform passed its control, and
  every one that did has a gain whose upper bound is below m, and so has the wrapping of the
  training data where it is known. (Above m, not 0: a smaller drop could
  come back whole and its gain would still be below m.)
- **inconclusive**: anything else. Without a base model, always: a gain alone could mean no more
  than that the ability is easier under s.
"""

from dormant.results import MARGIN
from dormant.statistics.cells import (
    FIDELITY_GATE,
    PlainCells,
    Success,
    Successes,
    TransformCells,
    plain_cells,
    transform_cells,
)
from dormant.statistics.judging import NO_BASE, judge_ability
from dormant.statistics.verdict import Evidence, decide, items_needed

__all__ = [
    "FIDELITY_GATE",
    "MARGIN",
    "NO_BASE",
    "Evidence",
    "PlainCells",
    "Success",
    "Successes",
    "TransformCells",
    "decide",
    "items_needed",
    "judge_ability",
    "plain_cells",
    "transform_cells",
]
