"""How a LoRA adapter is tuned: numbers, their checks and the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from dormant.errors import DormantError


@dataclass(frozen=True, kw_only=True)
class TuningSettings:
    """How a model is tuned.

    Attributes:
        steps: Optimiser steps.
        batch_size: Examples a step; as many again from the replay data, if there is any.
        learning_rate: Peak rate of AdamW. It rises linearly over `warmup_steps`, then falls
            linearly to a tenth of the peak at the last step.
        warmup_steps: Length of the rise.
        rank: Rank r of the update B·A of each linear layer but the output head.
        alpha: The update is scaled by alpha / rank; `None` is twice the rank.
        replay_weight: Weight of the replay loss: the loss is L(data) + weight · L(replay).
        end_token: Whether to teach the end-of-sequence token after each completion.
        whole_text: Whether to learn the prompts as well as the completions: the model then is a
            density of the data's text, which one that learns completions alone is not.
        max_length: Longest example accepted, in tokens.
        max_gradient_norm: Gradients are clipped to this norm.
        compute: "bfloat16" runs the layers in autocast; weights stay as they are.
        seed: Decides the adapter's start and the order of the examples. The same seed, software,
            device and number of threads give the same adapter.
    """

    steps: int = 100
    batch_size: int = 8
    learning_rate: float = 3e-4
    warmup_steps: int = 5
    rank: int = 8
    alpha: float | None = None
    replay_weight: float = 1.0
    end_token: bool = True
    whole_text: bool = False
    max_length: int = 1024
    max_gradient_norm: float = 1.0
    compute: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "rank", "max_length"):
            if getattr(self, name) < 1:
                raise DormantError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("learning_rate", "max_gradient_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise DormantError(f"{name} must be a positive number, not {value}")
        if not (math.isfinite(self.replay_weight) and self.replay_weight >= 0):
            raise DormantError(f"replay_weight must be at least 0, not {self.replay_weight}")
        if self.warmup_steps < 0:
            raise DormantError(f"warmup_steps must be at least 0, not {self.warmup_steps}")

    def rate_factor(self, done: int) -> float:
        """Return what the peak rate is multiplied by after so many steps."""
        step = done + 1
        if step <= self.warmup_steps:
            return step / (self.warmup_steps + 1)
        left = (self.steps - step) / max(1, self.steps - self.warmup_steps)
        return 0.1 + 0.9 * left
