"""Inputs × an orthogonal matrix: rotations and reflections (ours; the paper scales labels).

s sends x to xQ; predictions are left alone. f(x) = ⟨w, x⟩ becomes ⟨Qᵀw, xQ⟩: still linear, its
task vector of the same length and of another direction, and the noise as it was. So ridge
regression commutes with s exactly, while a discrete set of tasks doesn't contain Qᵀw. Other
function families are not closed under rotation, except all products of two inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rotate:
    """Multiply inputs by Q; leave predictions alone.

    A prompt is any named tuple with inputs ``xs``, of any array type.

    Attributes:
        matrix: Q (D, D), orthogonal; of the prompts' array type.
        name: What it is called in tables.
    """

    matrix: Any
    name: str = "rotation"

    def apply(self, prompt: Any, /) -> Any:
        """Return the prompt with inputs xQ."""
        # A named tuple's public method, in spite of its name.
        return prompt._replace(xs=prompt.xs @ self.matrix)  # pyright: ignore[reportPrivateUsage]

    def invert(self, answer: Any, /) -> Any:
        """Return the predictions as they are."""
        return answer
