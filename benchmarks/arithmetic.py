"""What a coarse first pass saves and costs: bfloat16 and 8-bit integers against float32.

    python benchmarks/arithmetic.py                      # this processor's instructions
    ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI python benchmarks/arithmetic.py

As on a processor with AVX2 only: `export MKL_ENABLE_INSTRUCTIONS=AVX2 ATEN_CPU_CAPABILITY=avx2
ONEDNN_MAX_CPU_ISA=AVX2` first.

SmolLM2-135M-Instruct; prompts of five of the audit's cells. Printed for each arithmetic, by rounds
that take turns: how many times as fast as float32 the whole pass is, how far logit differences are
off, and the share of prompts that would have to be computed again in float32 because their verdict
hangs on less than twice the largest error. A pass that is twice as fast and leaves half of the
prompts saves nothing.

8-bit integers: weights with a scale an output, activations with a scale a token, so that a prompt's
numbers don't depend on its batch; oneDNN's integer product; all linear layers but the head, or all
but those and the feed-forward parts' second ones ("int8, not down"), whose inputs vary most.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from measured_on import processor

from dormant import tasks
from dormant.audit.plan import plan
from dormant.audit.settings import AuditSettings
from dormant.models.load import LoadOptions, load
from dormant.scoring.encoding import encode_prompts
from dormant.scoring.precision import RoundingError
from dormant.scoring.prediction import Prediction
from dormant.scoring.rows import Row

CELLS = (
    ("icl/copy", "plain"),
    ("icl/copy", "french"),
    ("recall/continue", "spanish"),
    ("icl/plural", "plain"),
    ("icl_vs_if", "pig-latin"),
)


def rows_of(lm: Any, items: int) -> list[Row]:
    cases = [
        case
        for name, transform in CELLS
        for task in tasks.get([name])
        for case in plan(task, _settings(items, transform)).cells[transform].cases.values()
    ]
    answers = [[f"{case.answer_prefix}{text}" for text in case.answers] for case in cases]
    return encode_prompts(lm, [case.prompt for case in cases], answers)


def _settings(items: int, transform: str) -> AuditSettings:
    other = transform if transform != "plain" else "french"
    return AuditSettings(base=None, tuned="smollm2", n=items, transforms=(other,))


def rounded(numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round rows (N, D) to 8 bits, with a scale (N, 1) each."""
    scale = numbers.abs().amax(-1, keepdim=True).clamp_(min=1e-12) / 127
    return torch.round(numbers / scale).to(torch.int8), scale


def in_int8(layer: torch.nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a linear layer's forward pass in 8-bit integers."""
    weights, scale = rounded(layer.weight.detach())
    weights, outputs = weights.t().contiguous(), scale.t().contiguous()

    def forward(states: torch.Tensor) -> torch.Tensor:
        flat, tokens = rounded(states.flatten(0, -2))
        made = torch._int_mm(flat, weights) * tokens
        made *= outputs
        if layer.bias is not None:
            made += layer.bias
        return made.view(*states.shape[:-1], -1)

    return forward


@contextmanager
def in_integers(decoder: Any, skip: str | None) -> Iterator[None]:
    layers = [
        layer
        for name, layer in decoder.named_modules()
        if type(layer) is torch.nn.Linear and not (skip and name.endswith(skip))
    ]
    for layer in layers:
        layer.forward = in_int8(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=20, help="items a cell")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    lm: Any = load("smollm2", LoadOptions())
    rows = rows_of(lm, given.items)
    print(processor())
    tokens = sum(len(row.context) for row in rows)
    print(f"{len(rows)} prompts, {tokens} tokens, {given.rounds} rounds, {given.threads} threads\n")
    decoder = lm._forward._decoder

    def integers(skip: str | None) -> Callable[[Sequence[Row]], list[list[Prediction]]]:
        def run(some: Sequence[Row]) -> list[list[Prediction]]:
            with in_integers(decoder, skip):
                return timed(lambda: lm._run(some, False))

        return run

    seconds: dict[str, list[float]] = {}
    now = ""

    def timed(work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        made = work()
        seconds.setdefault(now, []).append(time.perf_counter() - began)
        return made

    ways: dict[str, Callable[[Sequence[Row]], list[list[Prediction]]]] = {
        "float32": lambda some: timed(lambda: lm._run(some, False)),
        "bfloat16": lambda some: timed(lambda: lm._run(some, True)),
        "int8": integers(None),
        "int8, not down": integers("down_proj"),
    }
    made: dict[str, list[list[Prediction]]] = {}
    lm._run(rows[:8], False)
    for _ in range(given.rounds):
        for now, run in ways.items():
            made[now] = run(rows)
    print("| arithmetic | as fast | margin, logits | error, nats (rms) | prompts computed again |")
    print("|---|---|---|---|---|")
    for name, predictions in made.items():
        ratios = [a / b for a, b in zip(seconds["float32"], seconds[name], strict=True)]
        error = RoundingError.of(made["float32"], predictions)
        told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(
            f"| {name} | {statistics.median(ratios):.2f} ({told}) | {error.margin:.2g} | "
            f"{error.error:.2g} | {error.near_ties:.0%} |"
        )


if __name__ == "__main__":
    main()
