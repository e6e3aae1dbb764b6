"""Milliseconds of a whole training step at the `quick` preset's size, by threads and shape.

python benchmarks/lab_threads.py
"""

from __future__ import annotations

import time
from typing import Any

import torch

from dormant.regression.functions import Linear
from dormant.regression.priors import Discrete, Mixture, Units
from dormant.regression.streams import stream
from dormant.regression.training import TrainingSettings, train
from dormant.regression.transformer import Transformer, TransformerSettings

STEPS = 60
SHAPE = {
    "dim": 4, "positions": 16, "width": 64, "depth": 4, "heads": 2, "tokens": "paired",
    "gated": True,
}  # fmt: skip


def measure(threads: int, batch: int, **changed: Any) -> None:
    """Train a few steps and print what one takes."""
    torch.set_num_threads(threads)
    linear = Linear(dim=4)
    tasks = torch.randn(4, 4, generator=stream(0, "tasks"), dtype=torch.float64)
    disc = Discrete(linear, sigma=1.0, tasks=tasks)
    prior = Mixture([disc, Units(linear, sigma=1.0, low=1.0, high=3.0)], [0.3, 0.7])
    model = Transformer(TransformerSettings.model_validate(SHAPE | changed), stream(0, "weights"))
    chosen = TrainingSettings(
        steps=STEPS, batch=batch, learning_rate=3e-3, optimiser="muon", warmup=10, clip=1.0,
        targets="posterior mean", precision_weights=True,
    )  # fmt: skip
    warm = chosen.model_copy(update={"steps": 10})
    train(model, prior, warm, positions=16, seed=0, phase="warm-up")
    start = time.perf_counter()
    train(model, prior, chosen, positions=16, seed=0, phase="benchmark")
    step = (time.perf_counter() - start) / STEPS
    prompts = prior.sample(batch, 16, stream(1, "benchmark"))
    start = time.perf_counter()
    for _ in range(10):
        prior.solve(*prompts)
    exact = (time.perf_counter() - start) / 10
    print(
        f"threads {threads}, batch {batch:3} {changed or ''!s:20} "
        f"{1e3 * step:6.1f} ms a step, of which exact targets {1e3 * exact:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    for _ in range(2):
        for count in (1, 2):
            for size in (64, 128):
                measure(count, size)
    for change in ({"gated": False}, {"heads": 4}, {"heads": 1}, {"depth": 3}, {"width": 48}):
        measure(2, 64, **change)
    measure(2, 64, width=96)
