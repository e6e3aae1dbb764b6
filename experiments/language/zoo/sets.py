"""The sets of models, development and held-out, and where they lie; read from `sets.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .training import Strength

FILE = Path(__file__).with_name("sets.toml")


@dataclass(frozen=True)
class ModelSet:
    """Models that are built and audited alike.

    Attributes:
        name: "development" or "held-out".
        numbers: The families, in the order in which they are built.
        base: How base* is tuned.
        child: How its children are.
        part: How those are of which only a part is silenced, which takes longer to tell apart.
        limits: What a model must show to count as its recipe says; see `build.qualify`.
    """

    name: str
    numbers: tuple[int, ...]
    base: Strength
    child: Strength
    part: Strength
    limits: dict[str, float]


def names() -> list[str]:
    """Return the names of all sets."""
    return [name for name in _read() if name != "primer"]


def primer() -> Strength:
    """Return how the primer is tuned, which all sets share."""
    return Strength(**_read()["primer"])


def read(name: str) -> ModelSet:
    """Return a set."""
    values = _read()[name]
    first = values["first"]
    return ModelSet(
        name=name,
        numbers=tuple(range(first, first + values["families"])),
        base=Strength(**values["base"]),
        child=Strength(**values["child"]),
        part=Strength(**(values["child"] | values["part"])),
        limits=values["limits"],
    )


def _read() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))
