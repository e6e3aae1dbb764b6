"""Rungs of evidence above prompting, as an audit sees them: models that are changed for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from dormant.models.pair import ModelPair
from dormant.results import Rung


@dataclass(frozen=True)
class Intervention:
    """A change of a model that says nothing of any ability; a cell of every ability that climbs.

    Attributes:
        name: The cell's, beside the names of transforms.
        signature: What exactly is done.
        on: Changes a harness model as long as its block runs. Raises `DormantError` where it can't,
            and `MemoryError` where there is no room for it.
    """

    name: str
    signature: str
    on: Callable[[Any], AbstractContextManager[None]]


@dataclass(frozen=True)
class HigherRung:
    """A rung above prompting.

    Attributes:
        name: Its name in results.
        refusal: Says why it can't be tried with these models, where that is known before one is
            loaded; else `None`.
        interventions: Returns what is tried.
    """

    name: Rung
    refusal: Callable[[ModelPair], str | None]
    interventions: Callable[[], Sequence[Intervention]]
