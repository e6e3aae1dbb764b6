"""LoRA on a model as it stands, without a wrapper: updates that are trained, then written in."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dormant.models.effective import drawing


@dataclass(frozen=True)
class LowRank:
    """The update scale · B·A of one linear module (Hu et al. 2021, section 4.1).

    Attributes:
        name: Its weight's name, among those of the layers.
        module: The module, whose matrix is (M, N) in a `Linear` and (N, M) in a `Conv1D`.
        a: A (rank, N), float32.
        b: B (M, rank), float32; zero at first, so that training begins at the model itself.
        scale: What the product is multiplied by: alpha / rank.
    """

    name: str
    module: Any
    a: torch.Tensor
    b: torch.Tensor
    scale: float

    @classmethod
    def of(cls, name: str, module: Any, *, rank: int, alpha: float, seed: int) -> LowRank:
        """Start an update as PEFT does: A uniform within 1 / √N, drawn by name and seed alone."""
        rows, columns = module.weight.shape
        if not isinstance(module, torch.nn.Linear):
            rows, columns = columns, rows
        drawn = torch.rand(rank, columns, generator=drawing(seed, name))
        device = module.weight.device
        a = ((2 * drawn - 1) / math.sqrt(columns)).to(device).requires_grad_()
        b = torch.zeros(rows, rank, device=device).requires_grad_()
        return cls(name, module, a, b, alpha / rank)

    def __call__(
        self, module: Any, given: tuple[Any, ...], named: dict[str, Any], output: torch.Tensor
    ) -> torch.Tensor:
        """Add the update to what the module gives: a forward hook."""
        del module
        linear = torch.nn.functional.linear
        inner = linear((given[0] if given else named["input"]).to(self.a.dtype), self.a)
        return output + (self.scale * linear(inner, self.b)).to(output.dtype)

    @torch.no_grad()
    def write(self) -> None:
        """Put the update into the module's matrix."""
        update = self.scale * (self.b @ self.a)
        matrix = self.module.weight.detach()
        if not isinstance(self.module, torch.nn.Linear):
            update = update.T
        matrix.copy_(matrix.float() + update)


@contextlib.contextmanager
def acting(updates: Sequence[LowRank]) -> Generator[None]:
    """Let updates act on what their modules compute, while the block runs."""
    hooks = [one.module.register_forward_hook(one, with_kwargs=True) for one in updates]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
