"""Optimisers and their schedule: the paper's Adam, AdamW, or Muon on the blocks' matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import nn

from dormant.regression.muon import Muon

OptimiserName: TypeAlias = Literal["adam", "adamw", "muon"]
ScheduleName: TypeAlias = Literal["constant", "cosine", "linear"]

MUON_RATIO = 7.0
"""Muon's rate over AdamW's: an orthogonalised update has unit singular values, AdamW's entries
are of size one (rate 2.1e-2 beside 3e-3 in docs/laboratory.md)."""


def optimisers(
    model: nn.Module, name: OptimiserName, learning_rate: float
) -> list[torch.optim.Optimizer]:
    """Return what updates a model's trainable parameters.

    Args:
        model: Parameters under a module named ``blocks`` are hidden layers.
        name: ``muon`` (Jordan et al. 2024) is for hidden matrices alone; the first and last
            layers, the positions, biases and norms get AdamW.
        learning_rate: Peak rate of Adam or AdamW; Muon's is `MUON_RATIO` times it.
    """
    named = [(key, value) for key, value in model.named_parameters() if value.requires_grad]
    if name == "adam":
        return [torch.optim.Adam([value for _, value in named], lr=learning_rate, fused=True)]
    hidden = [
        value for key, value in named if name == "muon" and value.ndim == 2 and "blocks." in key
    ]
    chosen = {id(value) for value in hidden}
    others = [value for _, value in named if id(value) not in chosen]
    made: list[torch.optim.Optimizer] = []
    if others:
        made.append(torch.optim.AdamW(others, lr=learning_rate, weight_decay=0.0, fused=True))
    if hidden:
        made.append(Muon(hidden, lr=MUON_RATIO * learning_rate))
    return made


def rate_factor(schedule: ScheduleName, steps: int, warmup: int) -> Callable[[int], float]:
    """Return what the peak rate is multiplied by, as a function of the step (0 … steps − 1).

    It is for PyTorch's LambdaLR, which knows the factor of any step; LinearLR and
    CosineAnnealingLR multiply the last step's, and a resumed run would round otherwise.

    Args:
        schedule: Shape after the warm-up: level, half a cosine to zero, or a line to zero.
        steps: Steps in all.
        warmup: Steps of linear rise.
    """

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if schedule == "constant":
            return 1.0
        done = (step - warmup) / max(steps - warmup, 1)
        return 1.0 - done if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))

    return factor
