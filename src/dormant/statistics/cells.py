"""The outcomes that a verdict is made from, be they of an audit or of another tool's logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from numpy.typing import ArrayLike

from dormant.results import Rung

FIDELITY_GATE = 0.5
"""Least share of a round trip s⁻¹(s(x)) that must survive."""


class Success(NamedTuple):
    """What one item was in one cell.

    Attributes:
        correct: Success by the task's own measure: true or false, or a share in [0, 1] where
            another tool's log has partial credit or reduced epochs.
        log_odds: log p(target) − log p(wrong answers), nats; `None` where there are none.
    """

    correct: bool | float
    log_odds: float | None = None


Successes: TypeAlias = Mapping[str, Success]
"""One cell's outcomes, by item."""


@dataclass(frozen=True, kw_only=True)
class PlainCells:
    """The outcomes of one ability on plain prompts, over all its items.

    Attributes:
        items: Name of each item (n,), all different.
        tuned: Success of the fine-tuned model per item (n,), booleans.
        base: Likewise for the base model; `None` in a two-cell audit.
        tuned_log_odds: log p(target) − log p(wrong answers) per item (n,), nats, if there are any.
        base_log_odds: Likewise for the base model.
        groups: Source item of each item (n,) where several share one: the unit of resampling.
            `None` means that every item is its own.
    """

    items: Sequence[str]
    tuned: ArrayLike
    base: ArrayLike | None = None
    tuned_log_odds: ArrayLike | None = None
    base_log_odds: ArrayLike | None = None
    groups: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class TransformCells:
    """The outcomes of one ability under one transform, over the items that it could render.

    An edit of the weights is a cell like any other, on a higher rung: plain prompts, put to the
    edited base and the edited fine-tuned model.

    Attributes:
        name: As asked for.
        signature: What was really used.
        rung: What it touches.
        items: Names of the items, a subset of the plain ones in any order (k,).
        tuned: Success of the fine-tuned model per item (k,), booleans.
        base: Likewise for the base model; `None` in a two-cell audit.
        tuned_log_odds: As for the plain cells (k,), nats.
        base_log_odds: As for the plain cells (k,), nats.
        exclusions: Reason to number of items, for the items left out.
        fidelity: Share of the round trip that survives, in [0, 1]; `None` for native text.
        fidelity_gate: Fidelity below which the transform proves nothing.
    """

    name: str
    signature: str
    rung: Rung = "prompt"
    items: Sequence[str]
    tuned: ArrayLike
    base: ArrayLike | None = None
    tuned_log_odds: ArrayLike | None = None
    base_log_odds: ArrayLike | None = None
    exclusions: Mapping[str, int] = field(default_factory=dict[str, int])
    fidelity: float | None = None
    fidelity_gate: float = FIDELITY_GATE


def plain_cells(
    items: Sequence[str],
    tuned: Successes,
    base: Successes | None,
    groups: Sequence[str] | None = None,
) -> PlainCells:
    """Build an ability's plain cells.

    Args:
        items: The items to judge, in order (n,).
        tuned: Outcomes of the fine-tuned model, of these items at least.
        base: Likewise of the base model; `None` in a two-cell audit.
        groups: Source item of each item (n,); they count only where several items share one.
    """
    return PlainCells(
        items=items,
        tuned=_correct(tuned, items),
        base=None if base is None else _correct(base, items),
        tuned_log_odds=_log_odds(tuned, items),
        base_log_odds=None if base is None else _log_odds(base, items),
        groups=groups if groups is not None and len(set(groups)) < len(groups) else None,
    )


def transform_cells(
    name: str,
    items: Sequence[str],
    tuned: Successes,
    base: Successes | None,
    *,
    signature: str,
    rung: Rung = "prompt",
    excluded: Iterable[str] = (),
    fidelity: float | None = None,
) -> TransformCells:
    """Build an ability's cells under one transform.

    Args:
        name: The transform, as asked for.
        items: The items that came through it, in order (k,).
        tuned: Outcomes of the fine-tuned model, of these items at least.
        base: Likewise of the base model; `None` in a two-cell audit.
        signature: What was really used.
        rung: What it touches.
        excluded: The reason for each item left out.
        fidelity: Share of the round trip that survives, in [0, 1]; `None` for native text.
    """
    return TransformCells(
        name=name,
        signature=signature,
        rung=rung,
        items=items,
        tuned=_correct(tuned, items),
        base=None if base is None else _correct(base, items),
        tuned_log_odds=_log_odds(tuned, items),
        base_log_odds=None if base is None else _log_odds(base, items),
        exclusions=Counter(excluded),
        fidelity=fidelity,
    )


def _correct(cell: Successes, items: Sequence[str]) -> list[bool | float]:
    return [cell[item].correct for item in items]


def _log_odds(cell: Successes, items: Sequence[str]) -> list[float] | None:
    """Return the items' log-odds if all have them: a mean over some would be of other items."""
    known = [odds for item in items if (odds := cell[item].log_odds) is not None]
    return known if len(known) == len(items) else None
