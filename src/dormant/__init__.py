"""Dormant: what was lost in fine-tuning, was it suppressed or forgotten, and how to get it back.

The few public names, loaded on first use: ``import dormant`` imports neither torch nor
transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dormant.conjugation import Compose, Identity, Predictor, Transform, conjugate
    from dormant.errors import DormantError

__version__ = "0.1.0"

_HOMES = {
    "Compose": "dormant.conjugation",
    "DormantError": "dormant.errors",
    "Identity": "dormant.conjugation",
    "Predictor": "dormant.conjugation",
    "Transform": "dormant.conjugation",
    "conjugate": "dormant.conjugation",
}

__all__ = [
    "Compose",
    "DormantError",
    "Identity",
    "Predictor",
    "Transform",
    "__version__",
    "conjugate",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'dormant' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
