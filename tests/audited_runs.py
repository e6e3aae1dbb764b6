"""Audits up to the settings' own rung of evidence, and what of two of them must be alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.evidence import rungs_of
from dormant.results import AuditResults


def run(settings: AuditSettings, out: Path, **changes: Any) -> AuditResults:
    """Audit, with some settings changed."""
    changed = settings.model_copy(update=changes)
    return audit(changed, out, rungs=rungs_of(changed))


def kept(out: Path) -> dict[Path, bytes]:
    """Read a run's records, by file."""
    return {file.relative_to(out): file.read_bytes() for file in out.rglob("cells/*/*.jsonl")}


def told(results: AuditResults) -> AuditResults:
    """Return all that results say, but for how long it took."""
    return results.model_copy(update={"wall_seconds": None})
