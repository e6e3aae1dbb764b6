"""Predictions in the arithmetic that was chosen for a model: bfloat16 or float32, or its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch

from dormant.scoring.precision import Precision
from dormant.scoring.prediction import Prediction
from dormant.scoring.rows import Row, numbered
from dormant.scoring.trial import Judge, Trial, settled


class Arithmetic:
    """Predicts rows, near ties under bfloat16 once more in float32.

    Args:
        wanted: "auto", "float32" or "bfloat16".
        dtype: The checkpoint's own, in which it stays if that isn't float32.
        run: Predicts rows whose `index` is their place, in bfloat16 or not.
        state: Tells which adapters act.

    Attributes:
        precision: What was decided.
    """

    def __init__(
        self,
        wanted: str,
        dtype: torch.dtype,
        run: Callable[[Sequence[Row], bool], list[list[Prediction]]],
        state: Callable[[], Hashable],
    ) -> None:
        self._wanted = "own" if dtype != torch.float32 else wanted
        own = "bfloat16" if wanted == "bfloat16" else "float32"
        named = str(dtype).removeprefix("torch.") if dtype != torch.float32 else own
        self.precision = Precision(named)
        self._run, self._state = run, state
        self._trial: tuple[Hashable, Trial] | None = None

    @property
    def is_open(self) -> bool:
        """Say whether there is something to choose."""
        return self._wanted == "auto"

    def settle(self, precision: Precision) -> None:
        """Take a precision, and forget what was predicted while one was chosen."""
        self.precision = precision
        self._trial = None

    def forget(self) -> None:
        """Forget what was chosen, and what was predicted on the way."""
        self.settle(Precision("float32") if self.is_open else self.precision)

    def choose(
        self,
        rows: Sequence[Row],
        prompts: Sequence[str],
        answers: Sequence[Sequence[str]],
        *,
        judge: Judge,
        verdicts: int,
    ) -> None:
        """Try bfloat16 on a run's own prompts; see `Trial.decide`."""
        trial = Trial(self._exact, self._coarse, judge)
        self.precision = trial.decide(rows, prompts, answers, verdicts=verdicts)
        self._trial = (self._state(), trial)

    def predict(self, rows: Sequence[Row]) -> list[list[Prediction]]:
        """Predict rows whose `index` is their place; what was tried with them is not done again."""
        kept: list[list[Prediction] | None] = [None] * len(rows)
        if self._trial is not None and self._trial[0] == self._state():
            kept = [self._trial[1].predicted(row, self.precision) for row in rows]
        rest = [row for row, predicted in zip(rows, kept, strict=True) if predicted is None]
        made = iter(self._anew(numbered(rest)))
        return [next(made) if predicted is None else predicted for predicted in kept]

    def predict_exactly(self, rows: Sequence[Row]) -> list[list[Prediction]]:
        """Predict rows in float32, unless another arithmetic was insisted on."""
        return self._run(rows, self._wanted == "bfloat16")

    def _anew(self, rows: Sequence[Row]) -> list[list[Prediction]]:
        half = self.precision.dtype == "bfloat16" and self._wanted != "own"
        if not (half and self.precision.margin):
            return self._run(rows, half)
        return settled(rows, self._coarse, self._exact, self.precision.margin)

    def _coarse(self, rows: Sequence[Row]) -> list[list[Prediction]]:
        return self._run(rows, True)

    def _exact(self, rows: Sequence[Row]) -> list[list[Prediction]]:
        return self._run(numbered(rows), False)
