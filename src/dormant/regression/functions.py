"""Function families: what maps an input to the features that a task vector weighs.

Every function is f(x) = ⟨w, φ(x)⟩ (paper §2.1 has φ(x) = x), so one prior over w and one exact
solution serve all families. Each φ is scaled so that E‖φ(x)‖² = D for x ~ N(0, I_D): with the
same τ, labels have the same variance in every family.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, TypeAlias, get_args

import torch
from torch import Tensor

from dormant.errors import DormantError, unknown
from dormant.regression.shapes import Inputs
from dormant.regression.streams import stream

FamilyName: TypeAlias = Literal["linear", "quadratic", "cosine"]
FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)


class Family(Protocol):
    """A feature map φ: R^D → R^P."""

    @property
    def dim(self) -> int:
        """D."""
        ...

    @property
    def size(self) -> int:
        """P."""
        ...

    def features(self, xs: Inputs, /) -> Tensor:
        """Return φ(x) for every input: (…, K, D) → (…, K, P)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Linear:
    """φ(x) = x: the paper's family."""

    dim: int

    @property
    def size(self) -> int:
        """P = D."""
        return self.dim

    def features(self, xs: Inputs, /) -> Tensor:
        """Return the inputs themselves."""
        return xs


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """φ(x) = c · (x_i x_j for i ≤ j): all products, P = D(D+1)/2.

    E[x_i² x_j²] is 1 for i ≠ j and 3 for i = j, so E‖φ‖² = c² (D(D−1)/2 + 3D) = D gives c.
    """

    dim: int

    @property
    def size(self) -> int:
        """P = D(D+1)/2."""
        return self.dim * (self.dim + 1) // 2

    def features(self, xs: Inputs, /) -> Tensor:
        """Return the products of pairs of coordinates."""
        rows, columns = torch.triu_indices(self.dim, self.dim, device=xs.device)
        scale = math.sqrt(2 / (self.dim + 5))
        return scale * xs[..., rows] * xs[..., columns]


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """φ_j(x) = √(2D/P) · cos(⟨ω_j, x⟩ + b_j), ω_j ~ N(0, I_D), b_j uniform on the circle.

    Random Fourier features (Rahimi & Recht 2007): functions of a Gaussian-kernel process. The
    frequencies are fixed by `seed`, so they are part of the family, not of a task.
    """

    dim: int
    size: int
    """P: number of features."""
    seed: int = 0

    @cached_property
    def _frequencies(self) -> tuple[Tensor, Tensor]:
        generator = stream(self.seed, "cosine features", self.dim, self.size)
        omega = torch.randn(self.dim, self.size, generator=generator, dtype=torch.float64)
        phase = torch.rand(self.size, generator=generator, dtype=torch.float64) * 2 * math.pi
        return omega, phase

    def features(self, xs: Inputs, /) -> Tensor:
        """Return the cosines."""
        omega, phase = (part.to(xs) for part in self._frequencies)
        return math.sqrt(2 * self.dim / self.size) * torch.cos(xs @ omega + phase)


def family(name: str, *, dim: int, size: int | None = None) -> Family:
    """Return a family by its name.

    Args:
        name: One of `FAMILIES`.
        dim: D.
        size: P, for those that leave it open; 4 D unless given.

    Raises:
        DormantError: There is no family of that name, or D or P is below 1.
    """
    if dim < 1 or (size is not None and size < 1):
        raise DormantError(f"dim {dim} and size {size}: both must be at least 1")
    if name == "linear":
        return Linear(dim=dim)
    if name == "quadratic":
        return Quadratic(dim=dim)
    if name == "cosine":
        return Cosine(dim=dim, size=size or 4 * dim)
    raise unknown("function family", name, FAMILIES)
