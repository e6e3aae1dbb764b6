"""What users would take instead: lm-evaluation-harness's own model, and the paper's way."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from workers import NEW_TOKENS, Scored, begins

BATCH_SIZES = {"cpu": (1, 4, 8, 16, 32), "cuda": (16, 64, 256)}

Texts: TypeAlias = Sequence[str]
Answers: TypeAlias = Sequence[Sequence[str]]
"""The answers of each prompt, the target first."""


def harness(model: Any, tokenizer: Any, size: int) -> HFLM:
    """Give a loaded model the harness's own interface, which pads batches of this size."""
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=size)


def by_harness(lm: Any, texts: Texts, answers: Answers) -> list[list[Scored]]:
    """Score as the harness does: all requests in one call."""
    requests = [
        Instance("loglikelihood", {}, (text, answer), place)
        for place, (text, row) in enumerate(zip(texts, answers, strict=True))
        for answer in row
    ]
    scored = iter(lm.loglikelihood(requests, disable_tqdm=True))
    return [[Scored(*next(scored)) for _ in row] for row in answers]


def by_generation(model: Any, tokenizer: Any, texts: Texts, answers: Answers) -> list[list[Scored]]:
    """Generate ten tokens, a prompt at a time, and compare texts (paper §3.1)."""
    rows: list[list[Scored]] = []
    for text, row in zip(texts, answers, strict=True):
        inputs = tokenizer(text, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            out = model.generate(
                **inputs,
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                pad_token_id=tokenizer.eos_token_id,
            )
        said = tokenizer.decode(out[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
        rows.append([Scored(None, begins(said, answer)) for answer in row])
    return rows


def best_batch_size(
    model: Any, tokenizer: Any, texts: Texts, answers: Answers
) -> tuple[int, dict[str, float]]:
    """Find the harness's best batch size.

    Returns:
        The size, and seconds a prompt by size.
    """
    seconds: dict[int, float] = {}
    for size in BATCH_SIZES.get(model.device.type, BATCH_SIZES["cpu"]):
        lm = harness(model, tokenizer, size)
        start = time.perf_counter()
        by_harness(lm, texts, answers)
        seconds[size] = (time.perf_counter() - start) / len(texts)
        print(f"lm-eval, batches of {size}: {seconds[size]:.4f} s a prompt", file=sys.stderr)
    best = min(seconds, key=lambda size: seconds[size])
    return best, {str(size): round(value, 4) for size, value in seconds.items()}
