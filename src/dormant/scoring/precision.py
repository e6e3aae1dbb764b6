"""bfloat16 where the hardware is fast at it, and float32 wherever the difference could show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dormant.scoring.prediction import Prediction

_SAFETY = 1.5
"""A run's largest error is larger than a sample's; that of a sample of a hundred is nearly three
times the root mean square error already."""
_NEARER = 0.5
"""Share of the verdicts whose errors count: those that hang on least. Errors grow with the margin
itself, and a verdict that hangs on a large one doesn't change by them."""
MOST_NEAR_TIES = 0.5
"""Where more prompts than this are computed twice, bfloat16 saves nothing: it is about twice as
fast."""


@dataclass(frozen=True)
class Precision:
    """What was decided about the coarse arithmetic, and on what evidence.

    Attributes:
        dtype: "bfloat16" or "float32", or a checkpoint's own.
        compared: Sure verdicts that were computed in both.
        differing: Those that differed.
        margin: Verdicts that hang on a smaller logit margin, near ties, are computed in float32;
            half as much again as the largest error seen on the sample.
        error: Root mean square difference of the log-probabilities compared, nats.
        near_ties: Share of the sample's prompts whose verdict hangs on less than the margin.
        too_few: Whether the run has too few prompts for the test to pay.
    """

    dtype: str
    compared: int = 0
    differing: int = 0
    margin: float = 0.0
    error: float = 0.0
    near_ties: float = 0.0
    too_few: bool = False

    @property
    def bound(self) -> float:
        """Return the upper 95 % bound on the share of sure verdicts that differ, if none did."""
        return min(1.0, 3 / self.compared) if self.compared else 1.0

    def reason(self) -> str | None:
        """Return one line on what was chosen and why; `None` where there was nothing to choose."""
        if self.too_few:
            return "float32: too few prompts for a test of bfloat16 to pay"
        if self.differing:
            return (
                f"float32: bfloat16 changed {self.differing} of {self.compared} sure verdicts "
                "on a sample of the prompts"
            )
        if self.dtype == "float32" and self.near_ties > MOST_NEAR_TIES:
            return (
                f"float32: {self.near_ties:.0%} of a sample of the prompts were close calls in "
                "bfloat16, which saves nothing then"
            )
        if not self.compared:
            return None
        return (
            f"bfloat16: {self.compared} sure verdicts on a sample equal float32's, so at most "
            f"{self.bound:.1%} differ; {self.near_ties:.0%} of its prompts were close calls, "
            "decided in float32; log-probabilities are "
            f"{self.error:.2g} nats off (root mean square)"
        )


@dataclass(frozen=True)
class RoundingError:
    """How far the coarse arithmetic was off on a sample.

    Attributes:
        margin: Half as much again as the largest error of the logit margins that verdicts hang on,
            among the half of them that hang on least.
        squares: Sum of the squared differences of the N log-probabilities, nats².
        closest: For each prompt, the smallest logit margin that a coarse verdict hangs on.
        compared: N.
    """

    margin: float
    squares: float
    closest: Sequence[float]
    compared: int

    @property
    def error(self) -> float:
        """Return the root mean square difference of the log-probabilities, nats."""
        return math.sqrt(self.squares / self.compared)

    @property
    def near_ties(self) -> float:
        """Return the share of the prompts whose coarse verdict hangs on less than `margin`."""
        return sum(one < self.margin for one in self.closest) / len(self.closest)

    @classmethod
    def over(cls, parts: Sequence[RoundingError]) -> RoundingError:
        """Take several samples together."""
        return cls(
            max(part.margin for part in parts),
            math.fsum(part.squares for part in parts),
            [one for part in parts for one in part.closest],
            sum(part.compared for part in parts),
        )

    @classmethod
    def of(
        cls, exact: Sequence[Sequence[Prediction]], coarse: Sequence[Sequence[Prediction]]
    ) -> RoundingError:
        """Compare two arithmetics' predictions of the same rows."""
        pairs = [
            pair
            for row, rounded in zip(exact, coarse, strict=True)
            for pair in zip(row, rounded, strict=True)
        ]
        nearest = sorted(pairs, key=lambda pair: pair[1].verdict_margin())
        near = nearest[: math.ceil(len(pairs) * _NEARER)]
        margin = _SAFETY * max(abs(a.lead() - b.lead()) for a, b in near)
        squares = math.fsum((a.logprob - b.logprob) ** 2 for a, b in pairs)
        closest = [min(one.verdict_margin() for one in row) for row in coarse]
        return cls(margin, squares, closest, len(pairs))


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
