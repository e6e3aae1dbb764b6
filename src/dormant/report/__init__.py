"""Reports: results in, files out. Loaded lazily; no model is ever run here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dormant.report.files import FORMATS, Format, write_report
    from dormant.report.terminal import print_report

_HOMES = {
    "FORMATS": "dormant.report.files",
    "Format": "dormant.report.files",
    "print_report": "dormant.report.terminal",
    "write_report": "dormant.report.files",
}

__all__ = ["FORMATS", "Format", "print_report", "write_report"]


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'dormant.report' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
