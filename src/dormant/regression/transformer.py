"""The learner: a decoder-only transformer that reads (input, label) pairs (paper §2.1).

GPT-2's block (pre-norm attention and MLP, learnt positions) without its vocabulary: inputs enter
by a linear map and predictions leave by one. Two ways of making tokens:

- ``interleaved`` (the paper's, from Garg et al. 2022): x_0, y_0, x_1, y_1, …, a label being padded
  with zeros to D; prediction k is read at x_k. 2K tokens.
- ``paired``: token k is (x_k, x_{k−1}, y_{k−1}), with zeros before the first pair. K tokens, and
  what prediction k may see is the same.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, final

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from dormant.errors import DormantError
from dormant.regression.shapes import Inputs, Labels, Predictions, Prompts

Tokens: TypeAlias = Literal["interleaved", "paired"]

_SHORT = 64  # tokens: below it, plain attention is faster than the fused kernel on a CPU


class TransformerSettings(BaseModel):
    """Size and kind of a transformer; the defaults are the paper's (§2.1, Garg et al. 2022)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int = Field(default=10, ge=1)
    """D, dimensions of an input."""
    positions: int = Field(default=41, ge=1)
    """Largest K: the paper's 0 … 40 exemplars and a query."""
    width: int = Field(default=256, ge=1)
    """Size of a token inside."""
    depth: int = Field(default=12, ge=1)
    """Blocks."""
    heads: int = Field(default=8, ge=1)
    """Attention heads; must divide `width`."""
    tokens: Tokens = "interleaved"
    gated: bool = False
    """SwiGLU in the MLP, of as many parameters as GELU's, in place of GPT-2's GELU."""

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerSettings:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class _Attention(nn.Module):
    mask: Tensor

    def __init__(self, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        mask = torch.full((length, length), -math.inf).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        shape = (batch, length, 3, self.heads, width // self.heads)
        q, k, v = self.qkv(x).view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        if x.device.type == "cpu" and length <= _SHORT:
            scores = torch.matmul(q * (q.shape[-1] ** -0.5), k.mT)
            mixed = (scores + self.mask[:length, :length].to(scores.dtype)).softmax(-1) @ v
        else:
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class _GELU(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.rise = nn.Linear(width, 4 * width)
        self.fall = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fall(functional.gelu(self.rise(x), approximate="tanh"))


class _SwiGLU(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(8, round(8 * width / 3 / 8) * 8)  # 3 matrices for GELU's 2
        self.gate = nn.Linear(width, inner)
        self.rise = nn.Linear(width, inner)
        self.fall = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fall(functional.silu(self.gate(x)) * self.rise(x))


class Block(nn.Module):
    """One layer: attention, then an MLP, each on a normalised copy of what flows past."""

    def __init__(self, settings: TransformerSettings, length: int) -> None:
        super().__init__()
        width = settings.width
        self.norm_1 = nn.LayerNorm(width)
        self.attention = _Attention(width, settings.heads, length)
        self.norm_2 = nn.LayerNorm(width)
        self.mlp = (_SwiGLU if settings.gated else _GELU)(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, length, width) to the same shape."""
        x = x + self.attention(self.norm_1(x))
        return x + self.mlp(self.norm_2(x))


@final
class Transformer(nn.Module):
    """Predicts every label of a prompt from the pairs before it.

    Args:
        settings: Size and kind.
        generator: Source of the initial weights, on the CPU.
    """

    def __init__(self, settings: TransformerSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.settings = settings
        paired = settings.tokens == "paired"
        length = settings.positions if paired else 2 * settings.positions
        self.read = nn.Linear(2 * settings.dim + 1 if paired else settings.dim, settings.width)
        self.place = nn.Parameter(torch.zeros(length, settings.width))
        self.blocks = nn.ModuleList(Block(settings, length) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(settings.width)
        self.predict = nn.Linear(settings.width, 1)
        self._initialise(generator)

    def forward(self, prompts: Prompts) -> Predictions:
        """Predict.

        Args:
            prompts: Inputs (B, K, D) and labels (B, K), K up to `settings.positions`.

        Returns:
            Predictions (B, K); number k doesn't depend on label k nor on anything after it.

        Raises:
            DormantError: The prompts are too long, or have another D.
        """
        xs, ys = prompts
        if xs.shape[2] != self.settings.dim or xs.shape[1] > self.settings.positions:
            raise DormantError(
                f"prompts of {xs.shape[1]} positions × {xs.shape[2]} dimensions don't fit a "
                f"transformer of {self.settings.positions} × {self.settings.dim}"
            )
        tokens = self._tokens(xs, ys)
        hidden = self.read(tokens) + self.place[: tokens.shape[1]]
        for block in self.blocks:
            hidden = block(hidden)
        if self.settings.tokens == "interleaved":
            hidden = hidden[:, ::2]
        return self.predict(self.norm(hidden))[..., 0]

    def _tokens(self, xs: Inputs, ys: Labels) -> Tensor:
        if self.settings.tokens == "paired":
            pairs = torch.cat([xs, ys[..., None]], -1)
            return torch.cat([xs, functional.pad(pairs, (0, 0, 1, 0))[:, :-1]], -1)
        labels = functional.pad(ys[..., None], (0, self.settings.dim - 1))
        return torch.stack([xs, labels], 2).flatten(1, 2)

    def _initialise(self, generator: torch.Generator) -> None:
        """GPT-2's start: N(0, 0.02²), what feeds the residual stream smaller by √(2·depth)."""
        residual = 0.02 / math.sqrt(2 * self.settings.depth)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                small = name.endswith(("attention.out.weight", "mlp.fall.weight"))
                scale = residual if small else 0.02
                with torch.no_grad():
                    parameter.normal_(0, scale, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
