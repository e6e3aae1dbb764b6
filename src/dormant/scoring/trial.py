"""Coarse first, exact where it matters, tried out before anything is scored.

A first pass runs in a coarse arithmetic. A verdict that hangs on less than that arithmetic's error,
a near tie, is computed again in float32; the others are *sure*. How large the error is, and whether
sure verdicts can be trusted, is measured on the run's own prompts, crosswise: each half of a sample
gives a bound on the error, which the other half tests.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dormant.scoring.judging import Predict
from dormant.scoring.precision import MOST_NEAR_TIES, Precision, RoundingError, is_near_tie
from dormant.scoring.prediction import Prediction
from dormant.scoring.protocol import Answer
from dormant.scoring.rows import Row, numbered

_FIRST = 64
"""Prompts with which a trial begins: they show how many more it takes."""
_MORE = 16
"""Prompts that are added at least."""

Judge = Callable[
    [Sequence[Row], Sequence[str], Sequence[Sequence[str]], Predict], list[list[Answer]]
]
"""Settles rows' verdicts by what a function predicts of them."""
_Run = Callable[[Sequence[Row]], list[list[Prediction]]]


class _Known:
    """Predictions by their rows' tokens, so that none is made twice.

    Args:
        predict: Predicts rows whose `index` is their place.
    """

    def __init__(self, predict: _Run) -> None:
        self._predict = predict
        self._by_row: dict[object, list[Prediction]] = {}

    def __call__(self, rows: Sequence[Row]) -> list[list[Prediction]]:
        """Return the predictions of rows, making those that aren't known."""
        missing = {_key(row): row for row in rows if _key(row) not in self._by_row}
        made = self._predict(numbered(list(missing.values()))) if missing else []
        self._by_row.update(zip(missing, made, strict=True))
        return [self._by_row[_key(row)] for row in rows]

    def get(self, row: Row) -> list[Prediction] | None:
        """Return what is known of a row."""
        return self._by_row.get(_key(row))


def settled(
    rows: Sequence[Row], coarse: _Run, exact: _Run, margin: float
) -> list[list[Prediction]]:
    """Predict rows in the coarse arithmetic, and near ties in the exact one.

    Args:
        rows: N rows.
        coarse: Predicts them.
        exact: Predicts some of them.
        margin: Verdicts that hang on a smaller logit margin are near ties.

    Returns:
        N predictions.
    """
    predictions = coarse(rows)
    near = [is_near_tie(predicted, margin) for predicted in predictions]
    close = [row for row, tied in zip(rows, near, strict=True) if tied]
    again = iter(exact(close))
    return [
        next(again) if tied else predicted
        for predicted, tied in zip(predictions, near, strict=True)
    ]


@dataclass(frozen=True)
class _Sample:
    """N prompts: as rows, texts, and with their answers."""

    rows: Sequence[Row]
    prompts: Sequence[str]
    answers: Sequence[Sequence[str]]

    def half(self, count: int, side: int) -> _Sample:
        """Return about one half of the first so many prompts; which ones depends on them only."""
        places = [place for place in range(count) if _side(self.rows[place]) == side]
        return _Sample(
            numbered([self.rows[place] for place in places]),
            [self.prompts[place] for place in places],
            [self.answers[place] for place in places],
        )


@dataclass(frozen=True)
class _Compared:
    """Verdicts of prompts in both arithmetics.

    Attributes:
        closest: The smallest logit margin on which one of a prompt's verdicts hangs.
        verdicts: Number of each prompt's verdicts.
        differing: Number of those that differ.
    """

    closest: Sequence[float]
    verdicts: Sequence[int]
    differing: Sequence[int]

    def sure(self, margin: float) -> int:
        """Count the verdicts of prompts that have no near tie."""
        return sum(
            n for n, least in zip(self.verdicts, self.closest, strict=True) if least >= margin
        )

    def wrong(self, margin: float) -> int:
        """Count those among them that differ."""
        return sum(
            n for n, least in zip(self.differing, self.closest, strict=True) if least >= margin
        )


class Trial:
    """A coarse arithmetic tried on a sample of a run's prompts, each computed once in each.

    Args:
        exact: Predicts in float32.
        coarse: Predicts in the coarse arithmetic.
        judge: Settles verdicts.
    """

    def __init__(self, exact: _Run, coarse: _Run, judge: Judge) -> None:
        self._exact, self._coarse, self._judge = _Known(exact), _Known(coarse), judge

    def decide(
        self,
        rows: Sequence[Row],
        prompts: Sequence[str],
        answers: Sequence[Sequence[str]],
        *,
        verdicts: int,
    ) -> Precision:
        """Compare the two arithmetics on the first prompts, as many as are enough.

        Args:
            rows: N encoded prompts, in an order of which every beginning is a sample.
            prompts: N prompts.
            answers: N rows of answers.
            verdicts: Sure verdicts to compare.
        """
        sample = _Sample(rows, prompts, answers)
        count = min(_FIRST, len(rows))
        while True:
            # Both halves at once: small passes are slow ones.
            self._all_rows(_Sample(numbered(rows[:count]), prompts[:count], answers[:count]))
            halves = [sample.half(count, side) for side in (0, 1)]
            if not all(half.rows for half in halves):
                return Precision("float32", too_few=True)
            errors = [self._error(half) for half in halves]
            tested = [
                (self._compared(half, other.margin), other.margin)
                for half, other in zip(halves, reversed(errors), strict=True)
            ]
            rounding = RoundingError.over(errors)
            decided = Precision("float32", error=rounding.error, near_ties=rounding.near_ties)
            if differing := sum(half.wrong(margin) for half, margin in tested):
                compared = sum(half.sure(margin) for half, margin in tested)
                return replace(decided, compared=compared, differing=differing)
            if rounding.near_ties > MOST_NEAR_TIES:
                return decided
            compared = sum(half.sure(rounding.margin) for half, _ in tested)
            if compared >= verdicts:
                margin = rounding.margin
                return replace(decided, dtype="bfloat16", compared=compared, margin=margin)
            if count == len(rows):
                return Precision("float32", too_few=True)
            # As many as will do if they are like those before.
            wanted = math.ceil(count * verdicts / max(compared, 1))
            count = min(len(rows), 3 * count, max(wanted, count + _MORE))

    def predicted(self, row: Row, precision: Precision) -> list[Prediction] | None:
        """Return what was predicted of a row on the way, in the arithmetic decided on for it."""
        exact, coarse = self._exact.get(row), self._coarse.get(row)
        if precision.dtype == "float32" or (coarse and is_near_tie(coarse, precision.margin)):
            return exact
        return coarse

    def _all_rows(self, sample: _Sample) -> list[Row]:
        """Predict all rows that settle prompts' verdicts, in both arithmetics, and return them."""
        seen: dict[object, Row] = {}

        def exactly(rows: Sequence[Row], _: Sequence[str]) -> list[list[Prediction]]:
            seen.update((_key(row), row) for row in rows)
            return self._exact(rows)

        self._judge(sample.rows, sample.prompts, sample.answers, exactly)
        self._coarse(list(seen.values()))
        return list(seen.values())

    def _error(self, half: _Sample) -> RoundingError:
        """Estimate the coarse arithmetic's error."""
        rows = self._all_rows(half)
        return RoundingError.of(self._exact(rows), self._coarse(rows))

    def _compared(self, half: _Sample, margin: float) -> _Compared:
        """Settle prompts' verdicts in float32, and coarsely with near ties in float32.

        Args:
            half: The prompts.
            margin: Verdicts that hang on less are near ties; estimated on other prompts.
        """
        closest: dict[tuple[int, ...], float] = {}

        def mixed(rows: Sequence[Row], _: Sequence[str]) -> list[list[Prediction]]:
            for row, predicted in zip(rows, self._coarse(rows), strict=True):
                least = min(one.verdict_margin() for one in predicted)
                closest[row.context] = min(closest.get(row.context, math.inf), least)
            return settled(rows, self._coarse, self._exact, margin)

        def exactly(rows: Sequence[Row], _: Sequence[str]) -> list[list[Prediction]]:
            return self._exact(rows)

        given = self._judge(half.rows, half.prompts, half.answers, mixed)
        wanted = self._judge(half.rows, half.prompts, half.answers, exactly)
        return _Compared(
            [closest[row.context] for row in half.rows],
            [len(one) for one in wanted],
            [
                sum(a.greedy != b.greedy for a, b in zip(one, other, strict=True))
                for one, other in zip(wanted, given, strict=True)
            ],
        )


def _side(row: Row) -> int:
    """Return 0 or 1: neighbours in a sample are of different cells, so their order can't say."""
    return zlib.crc32(repr(row.context).encode("ascii")) & 1


def _key(row: Row) -> object:
    """Return what decides a row's predictions."""
    return row.context, row.answers
