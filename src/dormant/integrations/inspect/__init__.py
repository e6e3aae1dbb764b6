"""Dormant inside Inspect: tasks, a solver, scorers, and a provider of models.

Inspect imports this package through the entry point group ``inspect_ai`` when a name that begins
with ``dormant/`` is asked for: ``inspect eval dormant/icl --model dormant/smollm2``.
"""

from dormant.integrations.inspect.conjugate import conjugate
from dormant.integrations.inspect.provider import DormantAPI, provider
from dormant.integrations.inspect.scorers import begins_with_target, judged
from dormant.integrations.inspect.tasks import ability, complete, icl, icl_vs_if, nli, refusal

__all__ = [
    "DormantAPI",
    "ability",
    "begins_with_target",
    "complete",
    "conjugate",
    "icl",
    "icl_vs_if",
    "judged",
    "nli",
    "provider",
    "refusal",
]
