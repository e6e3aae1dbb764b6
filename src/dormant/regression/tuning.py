"""What fine-tuning may move: all weights, the last blocks, or a low-rank addition (LoRA)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from dormant.errors import DormantError
from dormant.regression.transformer import Transformer

Part: TypeAlias = Literal["all", "last blocks", "lora"]


class TuningSettings(BaseModel):
    """Which weights fine-tuning may move."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: Part = "all"
    blocks: int = Field(default=1, ge=1)
    """Blocks from the end that ``last blocks`` moves, with the last norm and the read-out."""
    rank: int = Field(default=4, ge=1)
    """Rank r of LoRA's additions."""
    lora_alpha: float = Field(default=8.0, gt=0)
    """LoRA adds (lora_alpha / r) · BA to a weight (Hu et al. 2021, §4.1)."""


@contextmanager
def tunable(
    model: Transformer, settings: TuningSettings, generator: torch.Generator
) -> Generator[Transformer]:
    """Let training move only a part of a model while the context lasts.

    On leaving, LoRA's additions are merged into the weights and everything may be trained again.

    Args:
        model: The model, changed in place.
        settings: Which part.
        generator: Source of LoRA's first factors, on the CPU.

    Raises:
        DormantError: More blocks are wanted than there are.
    """
    if settings.part == "last blocks" and settings.blocks > len(model.blocks):
        raise DormantError(
            f"the last {settings.blocks} blocks of a transformer of {len(model.blocks)} are to be "
            "tuned: give fewer"
        )
    if settings.part != "all":
        model.requires_grad_(False)
    adapted: list[nn.Linear] = []
    if settings.part == "last blocks":
        for part in (*model.blocks[-settings.blocks :], model.norm, model.predict):
            part.requires_grad_(True)
    elif settings.part == "lora":
        adapted = [part for part in model.blocks.modules() if isinstance(part, nn.Linear)]
        for linear in adapted:
            addition = _LowRank(linear.weight, settings, generator)
            parametrize.register_parametrization(linear, "weight", addition)
    try:
        yield model
    finally:
        for linear in adapted:
            parametrize.remove_parametrizations(linear, "weight", leave_parametrized=True)
        model.requires_grad_(True)


class _LowRank(nn.Module):
    """W → W + (α/r) BA. PyTorch's parametrisations do the rest: PEFT would bring Transformers."""

    def __init__(self, weight: Tensor, settings: TuningSettings, generator: torch.Generator):
        super().__init__()
        rows, columns = weight.shape
        first = torch.randn(settings.rank, columns, generator=generator) / columns**0.5
        self.first = nn.Parameter(first.to(weight))
        self.second = nn.Parameter(torch.zeros(rows, settings.rank).to(weight))
        self.scale = settings.lora_alpha / settings.rank

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.second @ self.first)
