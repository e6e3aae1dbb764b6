"""bfloat16 where the hardware is fast at it, and float32 wherever the difference could show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Precision:
    """What was decided about bfloat16, and on what evidence.

    Attributes:
        dtype: "bfloat16" or "float32", or a checkpoint's own.
        compared: Answers compared.
        differing: Greedy verdicts that differed between the two.
        margin: Verdicts that hang on a smaller logit difference are computed in float32; twice
            the largest error seen in the comparison.
        error: Root mean square difference of the log-probabilities compared, nats.
        doubted: Share of the sample's prompts whose verdict hangs on less than the margin.
    """

    dtype: str
    compared: int = 0
    differing: int = 0
    margin: float = 0.0
    error: float = 0.0
    doubted: float = 0.0


def fast_bfloat16(device: Any) -> bool:
    """Say whether a device multiplies bfloat16 matrices faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        # Without these instructions oneDNN emulates bfloat16, slower than float32.
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, name, bool)() for name in names)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
