"""Bayesian linear regression at every prefix at once: the algebra under the exact priors.

For y = Φw + σε with w ~ N(0, τ² I_P), all K one-step-ahead predictions come from **one** Cholesky
factor. The labels of a prompt are jointly normal, y ~ N(0, C) with C = τ² ΦΦᵀ + σ² I_K (the
paper's p_cont, §2.2). With C = LLᵀ (L lower triangular) and z = L⁻¹y,

    E[y_k | y_<k]   = y_k − L_kk z_k          (= ⟨φ(x_k), (ΦᵀΦ + (σ²/τ²) I)⁻¹ Φᵀy⟩, ridge)
    Var[y_k | y_<k] = L_kk²
    log p(y_<k)     = −Σ_{j<k} (z_j²/2 + log L_jj + ½ log 2π)

because row k of L regresses y_k on the labels before it. K Choleskys of P × P become one of K × K.

Forming C squares the condition number: where σ is small beside the signal that costs too many
digits, and `_by_rotations` is used: a scan of orthogonal factorisations in ⌈log₂(K+1)⌉ rounds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_CONDITION_LIMIT = 1e6  # of C: above it, Cholesky would leave fewer than about nine digits
CHUNK_NUMBERS = 16_000_000  # float64s in one chunk's largest array: 128 MB
_LOG_2PI = math.log(2 * math.pi)


class OneStep(NamedTuple):
    """The predictive distribution of every label given the pairs before it."""

    mean: Tensor
    """E[y_k | pairs < k, x_k] (…, K)."""
    variance: Tensor
    """Var[y_k | pairs < k, x_k], noise included (…, K)."""
    log_evidence: Tensor
    """log p(y_0 … y_{k−1} | x), nats, for k = 0 … K (…, K+1)."""


def one_step(features: Tensor, ys: Tensor, *, tau: float | Tensor, sigma: float) -> OneStep:
    """Return the exact one-step-ahead predictions of Bayesian linear regression.

    Args:
        features: Φ (B, K, P), or (B, M, K, P) for M feature maps.
        ys: Labels (B, K), or (B, 1, K) where there are M feature maps or scales.
        tau: Standard deviation of each task weight; a tensor (M,) for M scales, with features
            (B, 1, K, P).
        sigma: Standard deviation of the noise.

    Returns:
        Float64 tensors with leading shape (B,) or (B, M).
    """
    features, ys = features.double(), ys.double()
    scale = torch.as_tensor(tau, dtype=torch.float64, device=features.device)
    lead = torch.broadcast_shapes(features.shape[:-2], ys.shape[:-1], scale.shape)
    positions, size = features.shape[-2:]
    per_prompt = math.prod(lead[1:]) * max(positions, 1) ** 2
    # In units of the noise: y/σ = (τ/σ) Φ w' + ε, w' ~ N(0, I).
    signal = features * (scale / sigma)[..., None, None]
    square = signal.square().sum((-2, -1))
    if square.numel() and float(square.max()) > _CONDITION_LIMIT:
        solve, per_prompt = _by_rotations, per_prompt * (size + 1) ** 2
    else:
        solve = _by_cholesky
    chunk = max(1, CHUNK_NUMBERS // max(per_prompt, 1))
    labels = (ys / sigma).expand(*lead, positions)
    parts = [
        solve(some, those)
        for some, those in zip(
            signal.expand(*lead, positions, size).split(chunk), labels.split(chunk), strict=True
        )
    ]
    mean, variance, evidence = (torch.cat(part) for part in zip(*parts, strict=True))
    counts = torch.arange(positions + 1, dtype=torch.float64, device=features.device)
    return OneStep(mean * sigma, variance * sigma**2, evidence - counts * math.log(sigma))


def _by_cholesky(signal: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    covariance = signal @ signal.mT
    covariance.diagonal(dim1=-2, dim2=-1).add_(1.0)
    factor = torch.linalg.cholesky(covariance)
    z = torch.linalg.solve_triangular(factor, labels[..., None], upper=False)[..., 0]
    deviation = factor.diagonal(dim1=-2, dim2=-1)
    return labels - deviation * z, deviation.square(), _cumulated(z, deviation)


def _by_rotations(signal: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same by square roots: R_k with R_kᵀR_k = I + Σ_{j<k} φ_jφ_jᵀ, never formed.

    A prefix is the triangular factor of its stacked rows [φ_j, y_j], the prior's being [I, 0].
    Stacking is associative, so a Hillis–Steele scan gives the factors of all prefixes; the error
    grows with the condition number of Φ and not with its square.
    """
    *lead, positions, size = signal.shape
    rows = torch.cat([signal, labels[..., None]], -1)
    factors = torch.zeros(*lead, positions + 1, size + 1, size + 1).to(signal)
    factors[..., 0, :size, :size] = torch.eye(size).to(signal)
    factors[..., 1:, 0, :] = rows
    shift = 1
    while shift <= positions:
        stacked = torch.cat([factors[..., :-shift, :, :], factors[..., shift:, :, :]], -2)
        merged = torch.linalg.qr(stacked, mode="r").R
        factors = torch.cat([factors[..., :shift, :, :], merged], -3)
        shift *= 2
    root, right = factors[..., :-1, :size, :size], factors[..., :-1, :size, size:]
    task = torch.linalg.solve_triangular(root, right, upper=True)[..., 0]
    mean = (task * signal).sum(-1)
    spread = torch.linalg.solve_triangular(root.mT, signal[..., None], upper=False)[..., 0]
    variance = 1.0 + spread.square().sum(-1)
    deviation = variance.sqrt()
    return mean, variance, _cumulated((labels - mean) / deviation, deviation)


def _cumulated(z: Tensor, deviation: Tensor) -> Tensor:
    terms = -0.5 * z.square() - deviation.log() - 0.5 * _LOG_2PI
    return torch.nn.functional.pad(terms.cumsum(-1), (1, 0))
