"""The rungs of evidence above prompting, and what each does to a model."""

from __future__ import annotations

from dormant.audit.rung import HigherRung
from dormant.audit.settings import AuditSettings
from dormant.evidence.noise import noise
from dormant.evidence.relearning import informative, uninformative


def rungs_of(settings: AuditSettings) -> list[HigherRung]:
    """Return the rungs that an audit may climb, the lowest first; none where prompts are all."""
    match settings.evidence:
        case "prompt":
            return []
        case "noise":
            return [noise(settings.seed)]
        case "relearn":
            return [noise(settings.seed), uninformative(settings), informative(settings)]
