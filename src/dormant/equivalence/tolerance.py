"""How far apart two models may be and still count as computing the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dormant.errors import DormantError, unknown

NOISE = 4.0
"""How many times the reference's own rounding the divergence of a rounded twin may be: its weights
are rounded once more, and the noise is measured on few prompts. In bfloat16, the merged copy of the
demo's model has 2.5 times the noise, at 1.1 times the scale 15 times (docs/check.md)."""
PRESETS: Mapping[str, float] = {"exact": 1e-8, "rounded": 0.01}
"""Nats of divergence a token. "exact": as float32 computes in another order, thousands of times
below what half precision does; "rounded": as half precision and 8 bits do (docs/check.md)."""
ANSWERS = 0.75
"""Share of answers that must be the same where less than "exact" is wanted: a near tie that falls
the other way changes the rest of an answer."""


@dataclass(frozen=True)
class Tolerance:
    """A bound on the divergence of two models.

    Attributes:
        text: As it was given.
        nats: Mean Kullback-Leibler divergence, nats a token, of the prompt on which it is largest.
    """

    text: str
    nats: float

    @classmethod
    def parse(cls, text: str | float) -> Tolerance:
        """Read a preset's name, or nats.

        Raises:
            DormantError: It is neither.
        """
        if isinstance(text, str) and text in PRESETS:
            return cls(text, PRESETS[text])
        try:
            nats = float(text)
        except ValueError:
            raise unknown("tolerance", str(text), (*PRESETS, "a number of nats")) from None
        if not 0 < nats < math.inf:
            raise DormantError(f"tolerance {text}: give more than 0 nats, or {', '.join(PRESETS)}")
        return cls(str(text), nats)

    def divergence(self, noise: float) -> float:
        """Return the bound in nats, which is never within the reference's own rounding."""
        return max(self.nats, NOISE * noise)

    def log_probability(self, noise: float) -> float:
        """Return the bound on differences of log-probability, nats a word.

        A divergence of d goes with differences of √(2d): to second order it is half their mean
        square.

        Args:
            noise: Largest such difference between the reference and itself.
        """
        return max(math.sqrt(2 * self.nats), math.sqrt(NOISE) * noise)

    def answers(self) -> float:
        """Return the share of answers that must be the same."""
        return 1.0 if self.nats < PRESETS["rounded"] else ANSWERS
