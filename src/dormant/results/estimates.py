"""What all records are made of: estimates with intervals, and the four cells."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict

Which: TypeAlias = Literal["base", "tuned"]
"""One of an audit's two models: the one before fine-tuning, or after."""

_NOTHING = "no items"
"""The method of an interval that nothing was measured for."""


class Record(BaseModel):
    """Base of all records: frozen; a field that a newer version added is ignored when read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Estimate(Record):
    """A point estimate with its two-sided interval."""

    estimate: float
    low: float
    high: float
    level: float = 0.95
    """Coverage aimed at by [low, high]."""
    method: str = ""
    """How the interval was made, e.g. "bootstrap-bca" or "newcombe-paired"."""

    @classmethod
    def of_nothing(cls, estimate: float, low: float, high: float) -> Self:
        """What no items tell: the whole range."""
        return cls(estimate=estimate, low=low, high=high, method=_NOTHING)

    @property
    def measured(self) -> bool:
        """Whether there was an item."""
        return self.method != _NOTHING


class Cells(Record):
    """One number for each of the four cells; `None` where a cell was not measured."""

    base_plain: float | None = None
    tuned_plain: float | None = None
    base_transformed: float | None = None
    tuned_transformed: float | None = None


class CellEstimates(Record):
    """An estimate with interval for each of the four cells."""

    base_plain: Estimate | None = None
    tuned_plain: Estimate | None = None
    base_transformed: Estimate | None = None
    tuned_transformed: Estimate | None = None
