"""Changes of a model's weights that say nothing of any ability, and undo themselves bit by bit.

An ability that comes back when weights are shaken or rounded a little was there: an edit knows
nothing of the task and nothing of the base model (Tice et al., "Noise injection reveals hidden
capabilities of sandbagging language models", arXiv 2412.01784; Zhang et al., "Catastrophic failure
of LLM unlearning via quantization", ICLR 2025, for rounding).

What is edited are the matrices of the decoder's layers: the *effective* ones. An adapter is merged
into them for the time of the edit, so that a fine-tuned model loses the same whether it is kept as
an adapter or merged. Sizes are relative to the spread of the effective matrix, and numbers are
drawn by the matrix's place and name alone, so that base and fine-tuned model get the same noise
but for the small difference of their spreads. Embeddings, the output head, norms and biases stay:
they are shared by all that a model says, a few numbers of them decide much, and where embeddings
and head are tied, one number would be shaken twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch

from dormant.models.effective import drawing, editable, matrices

GROUP = 64
"""Weights that are rounded to a scale of their own, as 4-bit formats have it."""


@dataclass(frozen=True)
class Edit:
    """A change of every matrix of a model's layers.

    Attributes:
        name: For people and file names: "noise-0.2".
        signature: What exactly is done.
        change: Gives the new float32 matrix for a float32 matrix (M, N) and its name.
    """

    name: str
    signature: str
    change: Callable[[torch.Tensor, str], torch.Tensor]

    @contextlib.contextmanager
    def on(self, model: Any) -> Generator[None]:
        """Edit a model while the block runs; then its weights are bit by bit what they were.

        Args:
            model: A causal language model, possibly in a PEFT wrapper, as it is: with its adapter
                on or off.

        Raises:
            NotEditableError: It has no layers that are known, its weights are quantised or not in
                memory, or its adapter can't be merged.
            MemoryError: There is no room for the copy.
        """
        with editable(model) as layers:
            for name, matrix in matrices(layers):
                matrix.copy_(self.change(matrix.float(), name))
            yield


def gaussian(size: float, seed: int = 0) -> Edit:
    """Add Gaussian noise to each matrix.

    Args:
        size: Standard deviation of the noise, as a part of the matrix's own.
        seed: Decides the noise, with the matrix's name.
    """

    def change(matrix: torch.Tensor, name: str) -> torch.Tensor:
        drawn = torch.randn(matrix.shape, generator=drawing(seed, name))
        return matrix + size * matrix.std() * drawn.to(matrix.device)

    return Edit(
        f"noise-{size:g}",
        f"Gaussian noise of {size:g} standard deviations of each matrix, seed {seed}",
        change,
    )


def rounded(bits: int = 4) -> Edit:
    """Round each matrix to few bits, from the least to the greatest of every 64 numbers.

    Args:
        bits: Of one number; 2**bits values in equal steps.
    """

    def change(matrix: torch.Tensor, _: str) -> torch.Tensor:
        flat = matrix.flatten()
        # The last group is filled up with one of its own.
        filled = torch.cat([flat, flat[-1:].expand(-len(flat) % GROUP)]).view(-1, GROUP)
        low, high = filled.aminmax(dim=1, keepdim=True)
        step = ((high - low) / (2**bits - 1)).clamp(min=torch.finfo(flat.dtype).tiny)
        near = ((filled - low) / step).round_() * step + low
        return near.flatten()[: len(flat)].view_as(matrix)

    return Edit(
        f"{bits}-bit",
        f"each matrix rounded to {bits} bits in groups of {GROUP}, min to max",
        change,
    )
