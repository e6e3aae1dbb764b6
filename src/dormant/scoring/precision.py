"""bfloat16 where the hardware is fast at it, and float32 wherever the difference could show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dormant.scoring.prediction import Prediction

_MOST_NEAR_TIES = 0.5
"""Where more prompts than this are computed twice, bfloat16 saves nothing: it is about twice as
fast."""


@dataclass(frozen=True)
class Precision:
    """What was decided about bfloat16, and on what evidence.

    Attributes:
        dtype: "bfloat16" or "float32", or a checkpoint's own.
        compared: Answers compared.
        differing: Greedy verdicts that differed between the two.
        margin: Verdicts that hang on a smaller logit margin, near ties, are computed in float32;
            twice the largest error seen in the comparison.
        error: Root mean square difference of the log-probabilities compared, nats.
        near_ties: Share of the sample's prompts whose verdict hangs on less than the margin.
    """

    dtype: str
    compared: int = 0
    differing: int = 0
    margin: float = 0.0
    error: float = 0.0
    near_ties: float = 0.0

    def reason(self) -> str | None:
        """Return one line on what was chosen and why; `None` where nothing was compared."""
        if not self.compared:
            return None
        if self.differing:
            return (
                f"float32: bfloat16 changed {self.differing} of {self.compared} greedy verdicts "
                "on a sample of the prompts"
            )
        if self.dtype == "float32":
            return (
                f"float32: {self.near_ties:.0%} of a sample of the prompts were close calls in "
                "bfloat16, which saves nothing then"
            )
        return (
            f"bfloat16: all {self.compared} greedy verdicts on a sample equal float32's; "
            f"{self.near_ties:.0%} of its prompts were close calls, decided in float32"
        )


@dataclass(frozen=True)
class RoundingError:
    """How far bfloat16 was off on a sample.

    Attributes:
        margin: Twice the largest difference of two logits' differences: the largest error of a
            run is larger than that of a sample.
        error: Root mean square difference of the log-probabilities, nats.
        near_ties: Share of the prompts whose bfloat16 verdict hangs on less than `margin`.
    """

    margin: float
    error: float
    near_ties: float

    @classmethod
    def of(
        cls, float32: Sequence[Sequence[Prediction]], bfloat16: Sequence[Sequence[Prediction]]
    ) -> RoundingError:
        """Compare two precisions' predictions of the same rows."""
        pairs = [
            pair
            for exact, rounded in zip(float32, bfloat16, strict=True)
            for pair in zip(exact, rounded, strict=True)
        ]
        margin = 2 * max(_difference(a, b) for a, b in pairs)
        squares = math.fsum((a.logprob - b.logprob) ** 2 for a, b in pairs)
        near_ties = sum(is_near_tie(row, margin) for row in bfloat16) / len(bfloat16)
        return cls(margin, math.sqrt(squares / len(pairs)), near_ties)

    def decide(self, compared: int, differing: int) -> Precision:
        """Take bfloat16 where it changes no verdict and spares most prompts a second pass."""
        worth = not differing and self.near_ties <= _MOST_NEAR_TIES
        return Precision(
            "bfloat16" if worth else "float32",
            compared,
            differing,
            self.margin if worth else 0.0,
            self.error,
            self.near_ties,
        )


def is_near_tie(predicted: Sequence[Prediction], margin: float) -> bool:
    """Say whether a row's verdicts hang on a logit margin smaller than this."""
    return any(one.verdict_margin() < margin for one in predicted)


def fast_bfloat16(device: Any) -> bool:
    """Say whether a device multiplies bfloat16 matrices faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        # Without these instructions oneDNN emulates bfloat16, slower than float32.
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, name, bool)() for name in names)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _difference(one: Prediction, other: Prediction) -> float:
    """Return how far two precisions' logit differences are apart at most."""
    margins = zip(one.margins, other.margins, one.choices, other.choices, strict=True)
    return max(
        # Where the choices differ, the margin changed its sign.
        *(abs(a - b) if x == y else a + b for a, b, x, y in margins),
        *(abs(a - b) for a, b in zip(one.shortfalls, other.shortfalls, strict=True)),
    )
