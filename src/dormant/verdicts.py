"""Verdicts per ability: pure functions of per-item outcomes (docs/statistics.md).

What is decided, and how:

- **retained**: the drop's upper bound is below the margin m.
- **suppressed**: the drop's lower bound is above 0; and for the transform s chosen on one half of
  the source items, gain and recovery, estimated on the *other* half, both have lower bounds above
  0; and McNemar's exact test of that gain survives Holm's correction over all transforms.
- **forgotten**: the drop's lower bound is above m, at least one transform passed its control, and
  every one that did has a gain whose upper bound is below m. (Above m, not 0: a smaller drop could
  come back whole and its gain would still be below m.)
- **inconclusive**: anything else. Without a base model, always: a gain alone could mean no more
  than that the ability is easier under s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from dormant.errors import DormantError
from dormant.results import (
    AbilityResult,
    CellEstimates,
    Cells,
    Estimate,
    TransformResult,
    Verdict,
)
from dormant.uncertainty import (
    LEVEL,
    difference_in_differences,
    holm,
    mcnemar_exact,
    mean_contrast,
    paired_difference,
    proportion,
)

MARGIN = 0.05
"""Drop, as a fraction, below which an ability counts as retained."""

FIDELITY_GATE = 0.5
"""Least share of a round trip s⁻¹(s(x)) that must survive."""

ALPHA = 1 - LEVEL


@dataclass(frozen=True, kw_only=True)
class PlainCells:
    """The outcomes of one ability on plain prompts, over all its items.

    Attributes:
        items: Name of each item (n,), all different.
        tuned: Success of the tuned model per item (n,), booleans.
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

    Attributes:
        name: As asked for.
        signature: What was really used.
        items: Names of the items, a subset of the plain ones in any order (k,).
        tuned: Success of the tuned model per item (k,), booleans.
        base: Likewise for the base model; `None` in a two-cell audit.
        tuned_log_odds: As for the plain cells (k,), nats.
        base_log_odds: As for the plain cells (k,), nats.
        exclusions: Reason to number of items, for the items left out.
        fidelity: Share of the round trip that survives, in [0, 1]; `None` for native text.
        fidelity_gate: Fidelity below which the transform proves nothing.
    """

    name: str
    signature: str
    items: Sequence[str]
    tuned: ArrayLike
    base: ArrayLike | None = None
    tuned_log_odds: ArrayLike | None = None
    base_log_odds: ArrayLike | None = None
    exclusions: Mapping[str, int] = field(default_factory=dict[str, int])
    fidelity: float | None = None
    fidelity_gate: float = FIDELITY_GATE


def judge_ability(
    task: str,
    plain: PlainCells,
    transforms: Sequence[TransformCells],
    *,
    title: str = "",
    margin: float = MARGIN,
    chance: float = 0.0,
    seed: int = 0,
) -> AbilityResult:
    """Estimate what became of one ability and pronounce the verdict.

    Args:
        task: Name of the ability.
        plain: Outcomes on plain prompts.
        transforms: Outcomes under each transform; none at all is allowed.
        title: One line for people.
        margin: Drop, a fraction in (0, 1), below which the ability counts as retained.
        chance: Accuracy of guessing, in [0, 1].
        seed: Decides, with the source items' names, on which half of them the best transform is
            chosen. Nothing else is random.

    Raises:
        DormantError: No items, lengths that differ, unknown or repeated items, a transform with
            a base where the plain cells have none (or the reverse), log-odds that aren't finite.
    """
    quads = [_Quad.align(plain, cells) for cells in transforms]
    whole = _Quad.plain_only(plain)
    results = _judge_transforms(transforms, quads, chance)
    drop = None if whole.base_plain is None else whole.drop()
    accuracy, intervals = whole.accuracies()
    choosing = _first_half(plain.groups or plain.items, seed)
    best = _choose(results, quads, choosing)
    gain = recovery = None
    if best is not None:
        held_out = quads[best].only(~choosing)
        gain, recovery = held_out.gain(), held_out.recovery()
    evidence = Evidence(
        drop=drop,
        base=intervals.base_plain,
        margin=margin,
        chance=chance,
        n_items=len(plain.items),
        best=None if best is None else results[best],
        gain=gain,
        recovery=recovery,
        transforms=results,
    )
    verdict, reason = decide(evidence)
    return AbilityResult(
        task=task,
        title=title,
        verdict=verdict,
        reason=reason,
        n_items=len(plain.items),
        items_needed=items_needed(evidence) if verdict == "inconclusive" else None,
        accuracy=accuracy,
        accuracy_intervals=intervals,
        drop=drop,
        drop_p_value=whole.drop_p_value(),
        log_odds_drop=whole.log_odds_drop(),
        best_transform=None if best is None else results[best].name,
        gain=gain,
        recovery=recovery,
        transforms=results,
    )


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that a verdict depends on.

    Attributes:
        drop: On all items; `None` without a base model.
        base: Accuracy of the base model on plain prompts, all items.
        margin: Drop, as a fraction, that counts as one.
        chance: Accuracy of guessing.
        n_items: Number of items.
        best: The transform chosen on one half of the items.
        gain: Its gain on the other half.
        recovery: Its recovery on the other half.
        transforms: Every transform, on all its items.
    """

    drop: Estimate | None
    base: Estimate | None
    margin: float
    chance: float
    n_items: int
    best: TransformResult | None
    gain: Estimate | None
    recovery: Estimate | None
    transforms: Sequence[TransformResult]

    @property
    def passed(self) -> list[TransformResult]:
        """The transforms that passed their control."""
        return [result for result in self.transforms if result.control_passed]

    @property
    def absent(self) -> bool:
        """Whether the base model can't be said to have the ability: nothing to lose."""
        return self.base is not None and (
            self.base.low <= self.chance or self.base.estimate < self.chance + self.margin
        )


def decide(evidence: Evidence) -> tuple[Verdict, str]:
    """Return the verdict and one sentence saying why.

    The rules are in the module's docstring. One more: where the base model scarcely has the
    ability (not above chance, or by less than the margin) and the tuned one no better,
    "retained" would be vacuous, so the verdict is inconclusive.
    """
    drop, margin = evidence.drop, evidence.margin
    gain, recovery, best = evidence.gain, evidence.recovery, evidence.best
    if drop is None:
        if best is None or gain is None:
            return "inconclusive", "Without a base model there is no drop to judge."
        return "inconclusive", (
            f"Without a base model there is no drop to judge; under {best.name} the model gains "
            f"{_points(gain)} on held-out items, which may mean only that it is easier there."
        )
    if drop.high < margin:
        if evidence.absent and drop.high >= 0:
            return "inconclusive", (
                "The base model scarcely has this ability "
                f"({_percent(evidence.base)}), so there is nothing to retain or to lose."
            )
        change = "The drop" if drop.high >= 0 else "Accuracy did not drop: the change"
        return "retained", (
            f"{change} is {_points(drop)}, and its upper bound is below the margin of "
            f"{_number(margin)}."
        )
    if drop.low <= 0:
        return "inconclusive", (
            f"The drop of {_points(drop)} is shown neither to be above 0 nor to be below the "
            f"margin of {_number(margin)}."
        )
    fell = f"Accuracy fell by {_points(drop)}"
    if best is None or gain is None or recovery is None:
        return "inconclusive", (
            f"{fell}, but no transform passed its control, so nothing says whether the ability "
            "is still there."
        )
    if gain.low > 0 and recovery.low > 0 and best.p_adjusted < ALPHA:
        return "suppressed", (
            f"{fell}; under {best.name} the tuned model gains {_points(gain)} on held-out items, "
            f"and {_points(recovery)} of the drop is gone."
        )
    if drop.low > margin and all(result.gain.high < margin for result in evidence.passed):
        return "forgotten", (
            f"{fell}, and no transform that passed its control ({len(evidence.passed)}) gains as "
            f"much as the margin of {_number(margin)}."
        )
    return "inconclusive", (
        f"{fell}, but whether a transform brings it back is undecided: under {best.name}, on "
        f"held-out items, the gain is {_points(gain)} and the recovery {_points(recovery)}."
    )


def items_needed(evidence: Evidence) -> int | None:
    """Return about how many items would have decided an inconclusive verdict.

    An interval's half-width shrinks with 1/√n. So with the point estimates as they are, a bound
    at distance w from an estimate that lies d on the right side of its threshold would have been
    decided by n (w/d)² items. A verdict needs the most demanding of its bounds; the answer is for
    the verdict that needs fewest, rounded up to two digits. New items bring new estimates, so the
    chance that this many decide is about one half to begin with, and better with more.

    Returns:
        The number of items, or `None` where no verdict is within reach of the estimates as they
        are (or of any number of items: no base model, no control passed).
    """
    drop, margin, n = evidence.drop, evidence.margin, evidence.n_items
    if drop is None:
        return None

    def above(estimate: Estimate, threshold: float) -> float:
        return _factor(estimate.estimate - threshold, estimate.estimate - estimate.low)

    def below(estimate: Estimate, threshold: float) -> float:
        return _factor(threshold - estimate.estimate, estimate.high - estimate.estimate)

    factors = [math.inf if evidence.absent else below(drop, margin)]
    best, gain, recovery = evidence.best, evidence.gain, evidence.recovery
    if best is not None and gain is not None and recovery is not None:
        tested = _test_factor(best.p_value, best.p_adjusted)
        factors.append(max(above(drop, 0), above(gain, 0), above(recovery, 0), tested))
        factors.append(
            max(above(drop, margin), *(below(result.gain, margin) for result in evidence.passed))
        )
    factor = min(factors)
    if not math.isfinite(factor):
        return None
    needed = max(n * factor, n + 1)
    unit = 10 ** max(math.floor(math.log10(needed)) - 1, 0)
    return math.ceil(needed / unit) * unit


def _factor(distance: float, half_width: float) -> float:
    return (half_width / distance) ** 2 if distance > 0 else math.inf


def _test_factor(p_value: float, p_adjusted: float) -> float:
    """The same for a test: its z grows with √n, and Holm's factor stays as it is."""
    if p_adjusted < ALPHA:
        return 0.0
    observed = float(stats.norm.isf(p_value))
    wanted = float(stats.norm.isf(ALPHA * p_value / p_adjusted))
    return _factor(observed, wanted)


@dataclass(frozen=True, kw_only=True)
class _Quad:
    """The four cells of one ability and one transform over the same items, and their contrasts."""

    rows: NDArray[np.intp]  # places among the ability's items
    groups: NDArray[Any] | None
    tuned_plain: NDArray[Any]
    tuned_transformed: NDArray[Any] | None
    base_plain: NDArray[Any] | None
    base_transformed: NDArray[Any] | None
    log_odds: tuple[NDArray[Any] | None, ...]  # base, tuned plain; base, tuned transformed

    @classmethod
    def plain_only(cls, plain: PlainCells) -> _Quad:
        """The plain cells alone, all items."""
        n = len(plain.items)
        if n == 0:
            raise DormantError("an ability needs at least one item")
        if len(set(plain.items)) != n:
            raise DormantError("the plain cells name an item twice")
        return cls(
            rows=np.arange(n),
            groups=_sized(plain.groups, n, "source items"),
            tuned_plain=_sure(_sized(plain.tuned, n, "outcomes of the tuned model")),
            tuned_transformed=None,
            base_plain=_sized(plain.base, n, "outcomes of the base model"),
            base_transformed=None,
            log_odds=(
                _sized(plain.base_log_odds, n, "log-odds of the base model"),
                _sized(plain.tuned_log_odds, n, "log-odds of the tuned model"),
                None,
                None,
            ),
        )

    @classmethod
    def align(cls, plain: PlainCells, cells: TransformCells) -> _Quad:
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
            tuned_transformed=_sized(cells.tuned, k, f"outcomes of the tuned model, {cells.name}"),
            base_plain=part.base_plain,
            base_transformed=_sized(cells.base, k, f"outcomes of the base model, {cells.name}"),
            log_odds=(
                *part.log_odds[:2],
                _sized(cells.base_log_odds, k, f"log-odds of the base model, {cells.name}"),
                _sized(cells.tuned_log_odds, k, f"log-odds of the tuned model, {cells.name}"),
            ),
        )

    def only_rows(self, keep: NDArray[Any]) -> _Quad:
        """The items at the given positions (indices or a mask)."""
        return _Quad(
            rows=self.rows[keep],
            groups=None if self.groups is None else self.groups[keep],
            tuned_plain=self.tuned_plain[keep],
            tuned_transformed=_take(self.tuned_transformed, keep),
            base_plain=_take(self.base_plain, keep),
            base_transformed=_take(self.base_transformed, keep),
            log_odds=tuple(_take(cell, keep) for cell in self.log_odds),
        )

    def only(self, mask: NDArray[np.bool_]) -> _Quad:
        """The items that a mask over all the ability's items keeps."""
        return self.only_rows(mask[self.rows])

    def accuracies(self) -> tuple[Cells, CellEstimates]:
        """Accuracy of each cell, without and with interval."""
        cells = {
            "base_plain": self.base_plain,
            "tuned_plain": self.tuned_plain,
            "base_transformed": self.base_transformed,
            "tuned_transformed": self.tuned_transformed,
        }
        found = {
            name: proportion(cell, groups=self.groups)
            for name, cell in cells.items()
            if cell is not None and cell.size
        }
        means = {name: estimate.estimate for name, estimate in found.items()}
        return Cells(**means), CellEstimates(**found)

    def drop(self) -> Estimate:
        """acc(base, plain) − acc(tuned, plain)."""
        return paired_difference(_sure(self.base_plain), self.tuned_plain, groups=self.groups)

    def drop_p_value(self) -> float | None:
        """McNemar's exact test, two-sided; `None` without a base model."""
        if self.base_plain is None:
            return None
        return mcnemar_exact(self.base_plain, self.tuned_plain, groups=self.groups)

    def control(self) -> Estimate | None:
        """acc(base, plain) − acc(base, s); `None` without a base model."""
        if self.base_plain is None or not self.rows.size:
            return None
        return paired_difference(self.base_plain, _sure(self.base_transformed), groups=self.groups)

    def gain(self) -> Estimate:
        """acc(tuned, s) − acc(tuned, plain)."""
        if not self.rows.size:
            return _nothing(1)
        return paired_difference(
            _sure(self.tuned_transformed), self.tuned_plain, groups=self.groups
        )

    def gain_p_value(self) -> float:
        """McNemar's exact test of gain > 0, one-sided."""
        return mcnemar_exact(
            _sure(self.tuned_transformed), self.tuned_plain, "greater", groups=self.groups
        )

    def recovery(self) -> Estimate | None:
        """Difference in differences; `None` without a base model."""
        if self.base_plain is None:
            return None
        if not self.rows.size:
            return _nothing(2)
        return difference_in_differences(
            self.base_plain,
            self.tuned_plain,
            _sure(self.base_transformed),
            _sure(self.tuned_transformed),
            groups=self.groups,
        )

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
        return self._log_odds(1, -1, 0, 0)

    def log_odds_gain(self) -> Estimate | None:
        """The gain, in nats."""
        return self._log_odds(0, -1, 0, 1)

    def log_odds_recovery(self) -> Estimate | None:
        """The recovery, in nats."""
        return self._log_odds(1, -1, -1, 1)

    def _log_odds(self, *weights: float) -> Estimate | None:
        used = [(w, cell) for w, cell in zip(weights, self.log_odds, strict=True) if w]
        cells = [cell for _, cell in used if cell is not None]
        units = self.rows if self.groups is None else np.unique(self.groups)
        if len(cells) < len(used) or units.size < 2:
            return None
        return mean_contrast(*cells, weights=[w for w, _ in used], groups=self.groups)


def _judge_transforms(
    transforms: Sequence[TransformCells], quads: Sequence[_Quad], chance: float
) -> list[TransformResult]:
    p_values = [quad.gain_p_value() for quad in quads]
    results: list[TransformResult] = []
    for cells, quad, p_value, p_adjusted in zip(
        transforms, quads, p_values, holm(p_values), strict=True
    ):
        accuracy, intervals = quad.accuracies()
        complaint = _control(cells, intervals, chance)
        results.append(
            TransformResult(
                name=cells.name,
                signature=cells.signature,
                n_items=len(cells.items),
                excluded_items=sum(cells.exclusions.values()),
                exclusions=dict(cells.exclusions),
                fidelity=cells.fidelity,
                control_passed=not complaint,
                control_reason=complaint,
                accuracy=accuracy,
                accuracy_intervals=intervals,
                control=quad.control(),
                gain=quad.gain(),
                recovery=quad.recovery(),
                p_value=p_value,
                p_adjusted=p_adjusted,
                log_odds=quad.log_odds_means(),
                log_odds_gain=quad.log_odds_gain(),
                log_odds_recovery=quad.log_odds_recovery(),
            )
        )
    return results


NO_BASE = "not checked: no base model"


def _control(cells: TransformCells, accuracy: CellEstimates, chance: float) -> str:
    """Say why a transform proves nothing; empty if it may."""
    if not len(cells.items):
        return "no items are left"
    if cells.fidelity is not None and cells.fidelity < cells.fidelity_gate:
        return f"round-trip fidelity {cells.fidelity:.2f} is below {cells.fidelity_gate:.2f}"
    plain, transformed = accuracy.base_plain, accuracy.base_transformed
    if plain is None or transformed is None:
        return NO_BASE
    if transformed.low <= chance:
        return (
            f"the base model is not above chance under it ({_percent(transformed)}, chance "
            f"{100 * chance:.0f}%)"
        )
    if transformed.estimate < plain.estimate / 2:
        return (
            f"the base model keeps less than half of its accuracy under it "
            f"({100 * transformed.estimate:.0f}% of {100 * plain.estimate:.0f}%)"
        )
    return ""


def _first_half(units: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """Mark the half of the source items on which the best transform is chosen, shape (n,).

    The half is that of lower rank by a hash of seed and name, so it depends neither on the order
    of the items nor on the version of a random generator.
    """
    ranks = {
        unit: blake2b(f"{seed}/{unit}".encode(), digest_size=16).digest()
        for unit in dict.fromkeys(units)
    }
    ordered = sorted(ranks, key=ranks.__getitem__)
    chosen = set(ordered[: len(ordered) // 2])
    return np.array([unit in chosen for unit in units], dtype=np.bool_)


def _choose(
    results: Sequence[TransformResult], quads: Sequence[_Quad], choosing: NDArray[np.bool_]
) -> int | None:
    """Pick the transform surest to gain and to recover, judged on one half of the items alone."""
    best: int | None = None
    highest = -math.inf
    for place, (result, quad) in enumerate(zip(results, quads, strict=True)):
        if not result.control_passed and result.control_reason != NO_BASE:
            continue
        half = quad.only(choosing)
        recovery = half.recovery()
        surest = half.gain().low
        if recovery is not None:
            surest = min(surest, recovery.low)
        if surest > highest:
            best, highest = place, surest
    return best


def _nothing(bound: float) -> Estimate:
    """What no items tell: the whole range."""
    return Estimate(estimate=0.0, low=-bound, high=bound, method="no items")


def _sized(values: object, size: int, what: str) -> NDArray[Any] | None:
    if values is None:
        return None
    array = np.asarray(values)
    if array.shape != (size,):
        raise DormantError(f"{what}: {size} are needed, one an item, but there are {array.size}")
    return array


def _take(cell: NDArray[Any] | None, keep: NDArray[Any]) -> NDArray[Any] | None:
    return None if cell is None else cell[keep]


def _sure(cell: NDArray[Any] | None) -> NDArray[Any]:
    assert cell is not None  # callers have checked that the cell exists
    return cell


def _number(fraction: float) -> str:
    rounded = f"{100 * fraction:.0f}" if abs(fraction) >= 0.1 else f"{100 * fraction:.1f}"
    rounded = rounded.removesuffix(".0")
    text = "0" if rounded == "-0" else rounded.replace("-", "\N{MINUS SIGN}")
    return f"{text} points"


def _points(estimate: Estimate) -> str:
    low, high = (_number(bound).removesuffix(" points") for bound in (estimate.low, estimate.high))
    return f"{_number(estimate.estimate)} ({low} to {high})"


def _percent(estimate: Estimate | None) -> str:
    return "unknown" if estimate is None else f"{100 * estimate.estimate:.0f}%"
