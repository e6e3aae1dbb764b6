"""Dormant: what was lost in fine-tuning, was it suppressed or forgotten, and how to get it back.

The few public names, loaded on first use: ``import dormant`` imports neither torch nor
transformers, nor anything else but the standard library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dormant import transforms
    from dormant.api import audit, conjugate, load_results, load_timeline, plan, recover, serve
    from dormant.audited import Audit, AuditSeries
    from dormant.conjugation import Compose, Identity, Predictor, Transform
    from dormant.equivalence.check import check
    from dormant.errors import DormantError

__version__ = "1.0.0"

_HOMES = {
    "Audit": "dormant.audited",
    "AuditSeries": "dormant.audited",
    "Compose": "dormant.conjugation",
    "DormantError": "dormant.errors",
    "Identity": "dormant.conjugation",
    "Predictor": "dormant.conjugation",
    "Transform": "dormant.conjugation",
    "audit": "dormant.api",
    "check": "dormant.equivalence.check",
    "conjugate": "dormant.api",
    "load": "dormant.api",
    "load_results": "dormant.api",
    "load_timeline": "dormant.api",
    "plan": "dormant.api",
    "recover": "dormant.api",
    "serve": "dormant.api",
}
_MODULES = {"transforms"}

# A submodule is bound to its parent when it is first imported. The package `dormant.audit` (empty,
# so this costs nothing) is imported now and its name set free, or it would take the place of the
# function `dormant.audit` as soon as anything imported a module of it.
importlib.import_module("dormant.audit")
globals().pop("audit", None)

__all__ = [
    "Audit",
    "AuditSeries",
    "Compose",
    "DormantError",
    "Identity",
    "Predictor",
    "Transform",
    "__version__",
    "audit",
    "check",
    "conjugate",
    "load_results",
    "load_timeline",
    "plan",
    "recover",
    "serve",
    "transforms",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"dormant.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'dormant' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
