"""Natural-language inference (paper §3.2): does a premise entail a hypothesis?"""

from __future__ import annotations

from dormant.tasks.nli.items import FOLDER, LABELS, Item, Source, shipped, texts
from dormant.tasks.nli.task import TASKS, with_source

__all__ = ["FOLDER", "LABELS", "TASKS", "Item", "Source", "shipped", "texts", "with_source"]
