"""Refusals (paper §3.3): does what a model declines in English get declined elsewhere?

`task` holds the two abilities, `prompts` what they ask, `labels` the three labels, and `classifier`
what gives an answer its label. The classifier and what it stands on (`features`, `encoder`,
`weights_file`) need PyTorch, so nothing here imports them before an answer is labelled.
"""

from __future__ import annotations

from dormant.tasks.refusal.layouts import ABILITIES
from dormant.tasks.refusal.prompts import FOLDER, Source, from_path, shipped
from dormant.tasks.refusal.task import CODES, TASKS, Refusal, with_source

__all__ = [
    "ABILITIES",
    "CODES",
    "FOLDER",
    "TASKS",
    "Refusal",
    "Source",
    "from_path",
    "shipped",
    "with_source",
]
