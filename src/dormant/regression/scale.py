"""Labels × γ: the laboratory's transform (paper §2.4).

s multiplies every label by γ and s⁻¹ divides the prediction by γ. A linear function stays linear
under s, and its likelihood under a discrete set of tasks falls. Exact for every γ but 0, up to
rounding; by a power of two, to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dormant.errors import DormantError


@dataclass(frozen=True)
class Scale:
    """Multiply labels by γ; divide predictions by γ.

    A prompt is any named tuple with labels ``ys``, of any array type.

    Attributes:
        gamma: γ. The noise is scaled too: labels have deviation γσ after s. γ = −1 mirrors.

    Raises:
        DormantError: γ is 0 or not finite.
    """

    gamma: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.gamma) or self.gamma == 0:
            raise DormantError(f"gamma={self.gamma}: labels need a finite scale other than 0")

    @property
    def name(self) -> str:
        """``scale:γ``."""
        return f"scale:{self.gamma:g}"

    def apply(self, prompt: Any, /) -> Any:
        """Return the prompt with labels γy."""
        # A named tuple's public method, in spite of its name.
        return prompt._replace(ys=self.gamma * prompt.ys)  # pyright: ignore[reportPrivateUsage]

    def invert(self, answer: Any, /) -> Any:
        """Return predictions of labels, undone: ŷ/γ."""
        return answer / self.gamma
