"""Training a model that lm-evaluation-harness has loaded: its examples, and its arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from dormant.finetuning.batches import Example
from dormant.scoring.encoding import encode_prompts
from dormant.scoring.precision import fast_bfloat16


def examples_for(
    lm: Any, prompts: Sequence[str], answers: Sequence[Sequence[str]]
) -> list[Example]:
    """Encode prompts with the first of their answers, as scoring encodes them.

    Args:
        lm: A decoder.
        prompts: N rendered prompts.
        answers: N rows of continuations.
    """
    return [
        Example([*row.context, *row.answers[0]], prompt_length=len(row.context))
        for row in encode_prompts(lm, prompts, answers)
    ]


def arithmetic(lm: Any, dtype: str) -> Literal["float32", "bfloat16"]:
    """Return in what layers compute: bfloat16 where that is fast and nothing else is asked for.

    Args:
        lm: The model.
        dtype: What the user asked for.
    """
    half = dtype == "auto" and lm.model.dtype == torch.float32 and fast_bfloat16(lm.device)
    return "bfloat16" if half else "float32"
