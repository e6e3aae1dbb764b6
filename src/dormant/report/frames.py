"""Tables for pandas, which is imported when one is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dormant.errors import DormantError
from dormant.report.tables import ITEM_COLUMNS, TRANSFORM_COLUMNS, transform_rows
from dormant.report.timeline_files import TIMELINE_COLUMNS, timeline_rows
from dormant.results import AuditResults, Estimate, ItemOutcome
from dormant.results.timeline import Timeline

if TYPE_CHECKING:
    import pandas as pd

_ESTIMATES = ("drop", "gain", "recovery")


def abilities_frame(results: AuditResults) -> pd.DataFrame:
    """Return one row an ability, indexed by its name.

    Accuracies and their differences are fractions; NaN is what was not measured. Gain and recovery
    are those of the best transform, on the items that did not choose it.
    """
    rows: list[dict[str, object]] = []
    for ability in results.abilities:
        row: dict[str, object] = {
            "task": ability.task,
            "verdict": ability.verdict,
            "rung": ability.rung,
            "n_items": ability.n_items,
            "base_plain": ability.accuracy.base_plain,
            "tuned_plain": ability.accuracy.tuned_plain,
            "best_transform": ability.best_transform,
        }
        row |= {"lost": ability.lost, "won": ability.won}
        for name in _ESTIMATES:
            estimate: Estimate | None = getattr(ability, name)
            row[name] = estimate.estimate if estimate else None
            row[f"{name}_low"] = estimate.low if estimate else None
            row[f"{name}_high"] = estimate.high if estimate else None
        rows.append(row | {"items_needed": ability.items_needed, "reason": ability.reason})
    numbers = ["base_plain", "tuned_plain", "items_needed", "lost", "won"]
    numbers += [f"{name}{bound}" for name in _ESTIMATES for bound in ("", "_low", "_high")]
    frame = _pandas().DataFrame(rows).set_index("task")
    return frame.astype(dict.fromkeys(numbers, "float64"))


def transforms_frame(results: AuditResults) -> pd.DataFrame:
    """Return one row per ability × transform: the columns of ``report.csv``."""
    return _pandas().DataFrame(transform_rows(results), columns=list(TRANSFORM_COLUMNS))


def items_frame(items: Iterable[ItemOutcome]) -> pd.DataFrame:
    """Return one row a scored prompt: the fields of `ItemOutcome`."""
    return _pandas().DataFrame((item.model_dump() for item in items), columns=list(ITEM_COLUMNS))


def timeline_frame(timeline: Timeline) -> pd.DataFrame:
    """Return one row per child × ability: the columns of ``timeline.csv``."""
    return _pandas().DataFrame(timeline_rows(timeline), columns=list(TIMELINE_COLUMNS))


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise DormantError(
            f"tables need pandas, which can't be imported ({error}): "
            "pip install 'dormant[notebook]'"
        ) from None
    return pd
