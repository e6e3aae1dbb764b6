"""Axis letters and tensor names of the laboratory, declared once, and the check of what comes in.

====  =========================================================================
B     prompts in a batch
K     positions in a prompt; position k (0 … K−1) is predicted from the k pairs before it
D     dimensions of an input
P     features of an input (P = D for linear functions)
N     tasks of a discrete prior
M     components of a mixture
====  =========================================================================

Labels are in arbitrary units; every loss is in those units squared.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from dormant.errors import DormantError

Inputs: TypeAlias = Tensor
"""(B, K, D)."""
Labels: TypeAlias = Tensor
"""(B, K)."""
Predictions: TypeAlias = Tensor
"""(B, K): what is predicted for label k from pairs 0 … k−1 and input k."""
PrefixScores: TypeAlias = Tensor
"""(B, K+1): a number for each prefix, of 0 … K pairs."""


class Prompts(NamedTuple):
    """A batch of prompts: what every predictor is called with."""

    xs: Inputs
    ys: Labels


def checked(xs: Inputs, ys: Labels, dim: int | None = None) -> Prompts:
    """Return the prompts if they are sound.

    Args:
        xs: Inputs (B, K, D).
        ys: Labels (B, K).
        dim: The D that the caller needs.

    Raises:
        DormantError: The shapes disagree, or a number is infinite or not a number.
    """
    if xs.ndim != 3 or ys.shape != xs.shape[:2]:
        raise DormantError(
            f"inputs of shape {tuple(xs.shape)} and labels of shape {tuple(ys.shape)} don't "
            "belong together: give (B, K, D) and (B, K)"
        )
    if dim is not None and xs.shape[2] != dim:
        raise DormantError(f"inputs have {xs.shape[2]} dimensions, but {dim} are expected")
    for name, values in (("inputs", xs), ("labels", ys)):
        finite = torch.isfinite(values)
        if not bool(finite.all()):
            prompt, position = (int(i) for i in (~finite).nonzero()[0][:2])
            raise DormantError(
                f"{name} hold a value that is not finite, first in prompt {prompt} at position "
                f"{position}: remove or repair it"
            )
    return Prompts(xs, ys)
