"""Axes of the pages' pictures: where round numbers stand."""

from __future__ import annotations

import math
from typing import NamedTuple

_MOST = 6


class Tick(NamedTuple):
    """A number on an axis.

    Attributes:
        at: Where, in units of the picture.
        text: What is written.
    """

    at: float
    text: str


def round_numbers(least: float, most: float) -> list[float]:
    """Return round numbers between two others, a few of them."""
    if not most > least:
        return [least]
    exponent = math.floor(math.log10(most - least)) - 1
    for scale in (10.0**exponent, 10.0 ** (exponent + 1)):
        for step in (scale, 2 * scale, 2.5 * scale, 5 * scale):
            first = math.ceil(least / step - 1e-9)
            ticks = [step * place for place in range(first, math.floor(most / step + 1e-9) + 1)]
            if len(ticks) <= _MOST:
                return ticks
    return [least, most]
