"""Verdicts per ability: pure functions of per-item outcomes (docs/statistics.md).

What is decided, and how:

- **retained**: the drop's upper bound is below the margin m.
- **asked otherwise**, where the wrapping of the training data is known: the drop's lower bound is
  above m; asked in that wrapping, what is left of the drop has an upper bound below m, or surely is
  less than a quarter of it; the recovery's lower bound is above 0; and McNemar's exact test of the
  gain survives Holm's correction over it and all transforms. It comes before what follows: a
  prompt's wrapping explains the loss without any talk of learning.
- **suppressed**: the drop's lower bound is above 0; and at one rung of evidence (prompts, noise in
  the weights, relearning) gain and recovery both have lower bounds above 0, under the transform or
  edit that each half of the source items chose for the other. Where several rungs were tried, the
  error is split between them. The lowest such rung is named. A rung that tells a model right
  answers never says it, and takes no share.
- **forgotten**: a training for a while (relearning) passed its control, the drop's lower bound is
  above m, and under everything that did, and in the wrapping of the
  training data where it is known, surely less than a quarter of the drop came back: the upper
  bounds of gain − drop / 4, and of the same with the base's accuracy under s for its plain one, are
  below 0.
- **lost**: the same, where no relearning was tried or passed its control, and at least one
  transform did (noise alone can't show that nothing is left). What was suppressed in all wordings
  looks like that, too.
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
from dormant.statistics.controls import NO_BASE
from dormant.statistics.evidence import Evidence
from dormant.statistics.futility import hopeless
from dormant.statistics.judging import judge_ability
from dormant.statistics.needed import items_needed
from dormant.statistics.sequential import Looks
from dormant.statistics.verdict import decide

__all__ = [
    "FIDELITY_GATE",
    "MARGIN",
    "NO_BASE",
    "Evidence",
    "Looks",
    "PlainCells",
    "Success",
    "Successes",
    "TransformCells",
    "decide",
    "hopeless",
    "items_needed",
    "judge_ability",
    "plain_cells",
    "transform_cells",
]
