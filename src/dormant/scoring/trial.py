"""Coarse first, exact where it matters, tried out before anything is scored.

A first pass runs in a coarse arithmetic. A verdict that hangs on less than that arithmetic's error,
a near tie, is computed again in float32; the others are *sure*. How large the error is, and whether
sure verdicts can be trusted, is measured on the run's own prompts: one sample gives a bound on the
error, another one tests it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dormant.scoring.judging import Predict
from dormant.scoring.precision import MOST_NEAR_TIES, Precision, RoundingError, is_near_tie
from dormant.scoring.prediction import Prediction
from dormant.scoring.protocol import ESTIMATED_ON, Answer
from dormant.scoring.rows import Row, numbered

_AT_ONCE = 16
"""Prompts of the test that are computed together."""

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
        self._rows: dict[object, Row] = {}
        self._by_row: dict[object, list[Prediction]] = {}

    @property
    def rows(self) -> list[Row]:
        """Return the rows that are known."""
        return list(self._rows.values())

    def __call__(self, rows: Sequence[Row]) -> list[list[Prediction]]:
        """Return the predictions of rows, making those that aren't known."""
        missing = {_key(row): row for row in rows if _key(row) not in self._by_row}
        made = self._predict(numbered(list(missing.values()))) if missing else []
        self._rows.update(missing)
        self._by_row.update(zip(missing, made, strict=True))
        return [self._by_row[_key(row)] for row in rows]

    def get(self, row: Row) -> list[Prediction] | None:
        """Return what is known of a row."""
        return self._by_row.get(_key(row))


class _Mixed:
    """Predicts in the coarse arithmetic, and near ties exactly.

    Attributes:
        close_calls: Tokens of the prompts that had a near tie.
    """

    def __init__(self, exact: _Known, coarse: _Known, margin: float) -> None:
        self._exact, self._coarse, self._margin = exact, coarse, margin
        self.close_calls: set[tuple[int, ...]] = set()

    def __call__(self, rows: Sequence[Row], _: Sequence[str]) -> list[list[Prediction]]:
        predictions, close = settled(rows, self._coarse, self._exact, self._margin)
        self.close_calls.update(row.context for row in close)
        return predictions


def settled(
    rows: Sequence[Row], coarse: _Run, exact: _Run, margin: float
) -> tuple[list[list[Prediction]], list[Row]]:
    """Predict rows in the coarse arithmetic, and near ties in the exact one.

    Args:
        rows: N rows.
        coarse: Predicts them.
        exact: Predicts some of them.
        margin: Verdicts that hang on a smaller logit margin are near ties.

    Returns:
        N predictions, and the rows that were near ties.
    """
    predictions = coarse(rows)
    near = [is_near_tie(predicted, margin) for predicted in predictions]
    close = [row for row, tied in zip(rows, near, strict=True) if tied]
    again = iter(exact(close))
    return [
        next(again) if tied else predicted
        for predicted, tied in zip(predictions, near, strict=True)
    ], close


class Trial:
    """A coarse arithmetic tried on a sample of a run's prompts, each computed once in each.

    Args:
        exact: Predicts in float32.
        coarse: Predicts in the coarse arithmetic.
        judge: Settles verdicts.
    """

    def __init__(
        self,
        exact: _Run,
        coarse: _Run,
        judge: Judge,
    ) -> None:
        self._exact, self._coarse, self._judge = _Known(exact), _Known(coarse), judge

    def decide(
        self,
        rows: Sequence[Row],
        prompts: Sequence[str],
        answers: Sequence[Sequence[str]],
        *,
        verdicts: int,
    ) -> Precision:
        """Estimate the error on the first rows, and test it on the others until it is enough.

        Args:
            rows: N encoded prompts, in an order of which every beginning is a sample.
            prompts: N prompts.
            answers: N rows of answers.
            verdicts: Sure verdicts to compare.
        """
        if len(rows) <= ESTIMATED_ON:
            return Precision("float32", too_few=True)
        first = slice(0, ESTIMATED_ON)
        self._judge(numbered(rows[first]), prompts[first], answers[first], self._all_exact)
        seen = self._exact.rows
        rounding = RoundingError.of(self._exact(seen), self._coarse(seen))
        decided = Precision("float32", error=rounding.error, near_ties=rounding.near_ties)
        if rounding.near_ties > MOST_NEAR_TIES:
            return decided
        compared = differing = 0
        for start in range(ESTIMATED_ON, len(rows), _AT_ONCE):
            here = slice(start, start + _AT_ONCE)
            part = numbered(rows[here])
            mixed = _Mixed(self._exact, self._coarse, rounding.margin)
            given = self._judge(part, prompts[here], answers[here], mixed)
            wanted = self._judge(part, prompts[here], answers[here], self._all_exact)
            for row, one, other in zip(part, wanted, given, strict=True):
                if row.context not in mixed.close_calls:
                    compared += len(one)
                    differing += sum(a.greedy != b.greedy for a, b in zip(one, other, strict=True))
            if compared >= verdicts or differing:
                break
        if differing:
            return replace(decided, compared=compared, differing=differing)
        if compared < verdicts:
            return Precision("float32", too_few=True)
        return replace(decided, dtype="bfloat16", compared=compared, margin=rounding.margin)

    def predicted(self, row: Row, precision: Precision) -> list[Prediction] | None:
        """Return what was predicted of a row on the way, in the arithmetic decided on for it."""
        exact, coarse = self._exact.get(row), self._coarse.get(row)
        if precision.dtype == "float32" or (coarse and is_near_tie(coarse, precision.margin)):
            return exact
        return coarse

    def _all_exact(self, rows: Sequence[Row], _: Sequence[str]) -> list[list[Prediction]]:
        return self._exact(rows)


def _key(row: Row) -> object:
    """Return what decides a row's predictions."""
    return row.context, row.answers
