"""The four cells of one ability under one transform, lined up by item, and their contrasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dormant.errors import DormantError
from dormant.results import CellEstimates, Cells, Estimate
from dormant.statistics.cells import PlainCells, TransformCells
from dormant.statistics.intervals import (
    LEVEL,
    difference_in_differences,
    mcnemar_exact,
    mean_contrast,
    paired_difference,
    proportion,
    remaining_beyond,
)


@dataclass(frozen=True, kw_only=True)
class Quad:
    """The four cells of one ability and one transform over the same items, and their contrasts."""

    rows: NDArray[np.intp]  # places among the ability's items
    groups: NDArray[Any] | None
    tuned_plain: NDArray[Any]
    tuned_transformed: NDArray[Any] | None
    base_plain: NDArray[Any] | None
    base_transformed: NDArray[Any] | None
    log_odds: tuple[NDArray[Any] | None, ...]  # base, tuned plain; base, tuned transformed

    @classmethod
    def plain_only(cls, plain: PlainCells) -> Quad:
        """The plain cells alone, all items."""
        n = len(plain.items)
        if n == 0:
            raise DormantError("an ability needs at least one item")
        if len(set(plain.items)) != n:
            raise DormantError("the plain cells name an item twice")
        return cls(
            rows=np.arange(n),
            groups=_sized(plain.groups, n, "source items"),
            tuned_plain=_given(_sized(plain.tuned, n, "outcomes of the fine-tuned model")),
            tuned_transformed=None,
            base_plain=_sized(plain.base, n, "outcomes of the base model"),
            base_transformed=None,
            log_odds=(
                _log_odds(plain.base_log_odds, plain.items, "the base model"),
                _log_odds(plain.tuned_log_odds, plain.items, "the fine-tuned model"),
                None,
                None,
            ),
        )

    @classmethod
    def align(cls, plain: PlainCells, cells: TransformCells) -> Quad:
        """Line the plain cells up with a transform's."""
        whole = cls.plain_only(plain)
        places = {item: place for place, item in enumerate(plain.items)}
        unknown = [item for item in cells.items if item not in places]
        if unknown:
            raise DormantError(f"{cells.name}: item {unknown[0]!r} is not among the plain ones")
        k = len(cells.items)
        if len(set(cells.items)) != k:
            raise DormantError(f"{cells.name}: an item is named twice")
        if (plain.base is None) != (cells.base is None):
            raise DormantError(
                f"{cells.name}: give the base model's outcomes for all cells or none"
            )
        rows = np.array([places[item] for item in cells.items], dtype=np.intp)
        part = whole.only_rows(rows)
        return cls(
            rows=rows,
            groups=part.groups,
            tuned_plain=part.tuned_plain,
            tuned_transformed=_sized(
                cells.tuned, k, f"outcomes of the fine-tuned model, {cells.name}"
            ),
            base_plain=part.base_plain,
            base_transformed=_sized(cells.base, k, f"outcomes of the base model, {cells.name}"),
            log_odds=(
                *part.log_odds[:2],
                _log_odds(cells.base_log_odds, cells.items, f"the base model, {cells.name}"),
                _log_odds(cells.tuned_log_odds, cells.items, f"the fine-tuned model, {cells.name}"),
            ),
        )

    def only_rows(self, keep: NDArray[Any]) -> Quad:
        """The items at the given positions (indices or a mask)."""
        return Quad(
            rows=self.rows[keep],
            groups=None if self.groups is None else self.groups[keep],
            tuned_plain=self.tuned_plain[keep],
            tuned_transformed=_take(self.tuned_transformed, keep),
            base_plain=_take(self.base_plain, keep),
            base_transformed=_take(self.base_transformed, keep),
            log_odds=tuple(_take(cell, keep) for cell in self.log_odds),
        )

    def only(self, mask: NDArray[np.bool_]) -> Quad:
        """The items that a mask over all the ability's items keeps."""
        return self.only_rows(mask[self.rows])

    @classmethod
    def join(cls, first: Quad, second: Quad) -> Quad:
        """Items of one and items of another, which are not the same."""

        def both(a: NDArray[Any] | None, b: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if a is None or b is None else np.concatenate([a, b])

        return cls(
            rows=np.concatenate([first.rows, second.rows]),
            groups=both(first.groups, second.groups),
            tuned_plain=np.concatenate([first.tuned_plain, second.tuned_plain]),
            tuned_transformed=both(first.tuned_transformed, second.tuned_transformed),
            base_plain=both(first.base_plain, second.base_plain),
            base_transformed=both(first.base_transformed, second.base_transformed),
            log_odds=tuple(
                both(*pair) for pair in zip(first.log_odds, second.log_odds, strict=True)
            ),
        )

    def accuracies(self) -> tuple[Cells, CellEstimates]:
        """Accuracy of each cell, without and with interval."""
        cells = {
            "base_plain": self.base_plain,
            "tuned_plain": self.tuned_plain,
            "base_transformed": self.base_transformed,
            "tuned_transformed": self.tuned_transformed,
        }
        estimates = {
            name: proportion(cell, groups=self.groups)
            for name, cell in cells.items()
            if cell is not None and cell.size
        }
        means = {name: estimate.estimate for name, estimate in estimates.items()}
        return Cells(**means), CellEstimates(**estimates)

    def tuned(self) -> Estimate:
        """Accuracy of the fine-tuned model under s."""
        if not self.rows.size:
            return Estimate.of_nothing(0.5, 0.0, 1.0)
        return proportion(_given(self.tuned_transformed), groups=self.groups)

    def drop(self, level: float = LEVEL) -> Estimate:
        """acc(base, plain) − acc(tuned, plain)."""
        return paired_difference(
            _given(self.base_plain), self.tuned_plain, groups=self.groups, level=level
        )

    def drop_p_value(self) -> float | None:
        """McNemar's exact test, two-sided; `None` without a base model."""
        if self.base_plain is None:
            return None
        return mcnemar_exact(self.base_plain, self.tuned_plain, groups=self.groups)

    def control(self) -> Estimate | None:
        """acc(base, plain) − acc(base, s); `None` without a base model."""
        if self.base_plain is None or not self.rows.size:
            return None
        return paired_difference(self.base_plain, _given(self.base_transformed), groups=self.groups)

    def gain(self, level: float = LEVEL) -> Estimate:
        """acc(tuned, s) − acc(tuned, plain)."""
        if not self.rows.size:
            return _nothing(1)
        return paired_difference(
            _given(self.tuned_transformed), self.tuned_plain, groups=self.groups, level=level
        )

    def gain_p_value(self) -> float:
        """McNemar's exact test of gain > 0, one-sided."""
        return mcnemar_exact(
            _given(self.tuned_transformed), self.tuned_plain, "greater", groups=self.groups
        )

    def recovery(self, level: float = LEVEL) -> Estimate | None:
        """Difference in differences; `None` without a base model."""
        if self.base_plain is None:
            return None
        if not self.rows.size:
            return _nothing(2)
        return difference_in_differences(
            self.base_plain,
            self.tuned_plain,
            _given(self.base_transformed),
            _given(self.tuned_transformed),
            groups=self.groups,
            level=level,
        )

    def remaining(self, level: float = LEVEL) -> Estimate | None:
        """acc(base, plain) − acc(tuned, s): what is left of the drop; `None` without a base."""
        if self.base_plain is None or not self.rows.size:
            return None
        return paired_difference(
            self.base_plain, _given(self.tuned_transformed), groups=self.groups, level=level
        )

    def remaining_beyond(self, share: float, level: float = LEVEL) -> Estimate | None:
        """What is left of the drop beyond a share of it; `None` without a base model."""
        return self._left_beyond(self.base_plain, share, level)

    def returned_beyond(self, share: float, level: float = LEVEL) -> Estimate | None:
        """Gain − share · drop: what came back beyond a share of the drop; `None` without a base."""
        left = self._left_beyond(self.base_plain, 1 - share, level)
        return None if left is None else _turned(left)

    def reached_beyond(self, share: float, level: float = LEVEL) -> Estimate | None:
        """The same where the base's accuracy under s stands for its plain one.

        gain − share · [acc(base, s) − acc(tuned, plain)]: of what could be seen to come back
        under s, where s itself costs accuracy.
        """
        left = self._left_beyond(self.base_transformed, 1 - share, level)
        return None if left is None else _turned(left)

    def _left_beyond(
        self, base: NDArray[Any] | None, share: float, level: float
    ) -> Estimate | None:
        if base is None or not self.rows.size:
            return None
        return remaining_beyond(
            base,
            self.tuned_plain,
            _given(self.tuned_transformed),
            share=share,
            groups=self.groups,
            level=level,
        )

    def flips(self) -> tuple[int, int] | None:
        """Items lost and won by tuning, plainly; `None` without a base model."""
        if self.base_plain is None:
            return None
        lost, won = self.base_plain > self.tuned_plain, self.base_plain < self.tuned_plain
        return int(lost.sum()), int(won.sum())

    def log_odds_means(self) -> Cells | None:
        """Mean log-odds of each cell."""
        names = ("base_plain", "tuned_plain", "base_transformed", "tuned_transformed")
        means = {
            name: float(np.mean(cell))
            for name, cell in zip(names, self.log_odds, strict=True)
            if cell is not None and cell.size
        }
        return Cells(**means) if means else None

    def log_odds_drop(self) -> Estimate | None:
        """The drop, in nats."""
        return self._log_odds_contrast(1, -1, 0, 0)

    def log_odds_gain(self) -> Estimate | None:
        """The gain, in nats."""
        return self._log_odds_contrast(0, -1, 0, 1)

    def log_odds_recovery(self) -> Estimate | None:
        """The recovery, in nats."""
        return self._log_odds_contrast(1, -1, -1, 1)

    def _log_odds_contrast(self, *weights: float) -> Estimate | None:
        used = [(w, cell) for w, cell in zip(weights, self.log_odds, strict=True) if w]
        cells = [cell for _, cell in used if cell is not None]
        units = self.rows if self.groups is None else np.unique(self.groups)
        if len(cells) < len(used) or units.size < 2:
            return None
        return mean_contrast(*cells, weights=[w for w, _ in used], groups=self.groups)


def _nothing(bound: float) -> Estimate:
    return Estimate.of_nothing(0.0, -bound, bound)


def _turned(estimate: Estimate) -> Estimate:
    """The contrast with its sign changed."""
    turned = {"estimate": -estimate.estimate, "low": -estimate.high, "high": -estimate.low}
    return estimate.model_copy(update=turned)


def _sized(values: object, size: int, what: str) -> NDArray[Any] | None:
    if values is None:
        return None
    array = np.asarray(values)
    if array.shape != (size,):
        raise DormantError(f"{what}: {size} are needed, one an item, but there are {array.size}")
    return array


def _log_odds(values: object, items: Sequence[str], whose: str) -> NDArray[Any] | None:
    array = _sized(values, len(items), f"log-odds of {whose}")
    if array is not None and not np.isfinite(array).all():
        item = items[int(np.flatnonzero(~np.isfinite(array))[0])]
        raise DormantError(
            f"log-odds of {whose} are not finite for item {item!r}: score it again, or leave the "
            "log-odds out"
        )
    return array


def _take(cell: NDArray[Any] | None, keep: NDArray[Any]) -> NDArray[Any] | None:
    return None if cell is None else cell[keep]


def _given(cell: NDArray[Any] | None) -> NDArray[Any]:
    assert cell is not None  # callers have checked that the cell exists
    return cell
