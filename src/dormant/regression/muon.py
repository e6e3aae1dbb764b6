"""Muon (Jordan et al. 2024): momentum whose update matrices are made orthogonal.

PyTorch's own Muon treats one matrix at a time, in bfloat16. For this laboratory's small matrices
on a CPU that is much of a training step (docs/benchmarks.md, "Laboratory"). This is the same
method, with the matrices of one shape orthogonalised together and, on a CPU, in float32; a test
holds the two together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, final, overload

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5
_EPSILON = 1e-7


@final
class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; the rate grows by √(rows/columns) for tall matrices.

    Args:
        matrices: Two-dimensional parameters.
        lr: Rate: the size of the update's singular values.
        momentum: Share of the old momentum kept.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(list(matrices), {"lr": lr, "momentum": momentum})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step(group)
        return loss

    def _step(self, group: dict[str, Any]) -> None:
        by_shape: defaultdict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
        for parameter in group["params"]:
            gradient: Tensor | None = parameter.grad
            if gradient is None:
                continue
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum: Tensor = state["momentum"].lerp_(gradient, 1 - group["momentum"])
            ahead = gradient.lerp(momentum, group["momentum"])
            by_shape[parameter.shape].append((parameter, ahead))
        for shape, found in by_shape.items():
            rate = group["lr"] * math.sqrt(max(1.0, shape[0] / shape[1]))
            updates = orthogonal(torch.stack([ahead for _, ahead in found]))
            for (parameter, _), update in zip(found, updates, strict=True):
                parameter.add_(update, alpha=-rate)


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring all singular values near 1 by five Newton–Schulz rounds (they end in 0.7 … 1.2).

    Args:
        matrices: (count, rows, columns).
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    # A GPU multiplies bfloat16 fastest; most CPUs only emulate it.
    x = x.bfloat16() if matrices.is_cuda else x.float()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=_EPSILON)
    a, b, c = _COEFFICIENTS
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices)
