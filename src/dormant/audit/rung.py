"""Rungs of evidence above prompting, as an audit sees them: models that are changed for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from dormant.audit.plan import Plan
from dormant.audit.settings import Style
from dormant.models.pair import ModelPair
from dormant.results import NotTried, Rung


@dataclass(frozen=True, eq=False)
class Intervention:
    """A change of a model; a cell of the abilities that it is made for.

    Attributes:
        name: The cell's, beside the names of transforms.
        signature: What exactly is done.
        on: Changes a harness model, whose prompts have this style, as long as its block runs.
            Raises `DormantError` where it can't, and `MemoryError` where there is no room for it.
    """

    name: str
    signature: str
    on: Callable[[Any, Style], AbstractContextManager[None]]


@dataclass(frozen=True)
class HigherRung:
    """A rung above prompting.

    Attributes:
        name: Its name in results.
        refusal: Says why it can't be tried with these models, where that is known before one is
            loaded; else `None`.
        interventions: Returns what is tried on an ability, or why it can't be, cell by cell. What
            it returns for several abilities, the same object, is done once for all of them.
    """

    name: Rung
    refusal: Callable[[ModelPair], str | None]
    interventions: Callable[[Plan], Sequence[Intervention | NotTried]]
