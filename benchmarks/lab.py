"""Speed of the laboratory: a training step, and the exact predictors, against the usual ways.

    python benchmarks/lab.py                      # everything, as text
    python benchmarks/lab.py --part steps         # or --part predictors
    python benchmarks/lab.py --json lab.json      # the figures as JSON too
    python benchmarks/lab.py --part profile --shape paper   # where a step's time goes

Training is timed against the design of Garg et al. (2022): Hugging Face's GPT2Model between a
linear read-in and a linear read-out, interleaved tokens, float32, Adam. Both train on the same
prompts at the same width, depth, heads and batch. A step is forward, backward and update. Steps of
all designs are interleaved, and medians are given, so that a slow moment of the machine hits all.
The share of peak is of a large matrix product in the same precision, measured in the same run.

The predictors are timed against a loop over prefixes that solves each prefix for the whole batch
at once, in float64 like ours; the largest difference between the two is given beside the ratio.
Least squares is no Bayes predictor: ours is one call of the same solver on all prefixes, padded.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from measured_on import processor
from torch import Tensor, nn

from dormant.regression.baselines import LeastSquares
from dormant.regression.functions import Linear
from dormant.regression.optimisers import OptimiserName, optimisers
from dormant.regression.priors import Discrete, Gaussian, Mixture
from dormant.regression.shapes import Prompts
from dormant.regression.streams import stream
from dormant.regression.transformer import Tokens, Transformer, TransformerSettings

SHAPES = {
    "paper": {"dim": 10, "positions": 41, "width": 256, "depth": 12, "heads": 8, "batch": 64},
    "quick": {"dim": 4, "positions": 16, "width": 64, "depth": 4, "heads": 2, "batch": 64},
}
BAYES = {"batch": 1_000, "positions": 41, "dim": 20, "tasks": 64}


class Garg(nn.Module):
    """The usual design, from its description: GPT-2 between two linear maps."""

    def __init__(self, dim: int, positions: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        from transformers import GPT2Config, GPT2Model

        config = GPT2Config(
            n_positions=2 * positions, n_embd=width, n_layer=depth, n_head=heads,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
        )  # fmt: skip
        self.read_in = nn.Linear(dim, width)
        self.backbone = GPT2Model(config)
        self.read_out = nn.Linear(width, 1)

    def forward(self, prompts: Prompts) -> Tensor:
        """Predict every label (B, K)."""
        xs, ys = prompts
        wide = torch.cat([ys[..., None], torch.zeros_like(xs[..., 1:])], -1)
        tokens = torch.stack([xs, wide], 2).flatten(1, 2)
        hidden = self.backbone(inputs_embeds=self.read_in(tokens)).last_hidden_state
        return self.read_out(hidden)[:, ::2, 0]


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--part", choices=["steps", "predictors", "profile"], action="append")
    parser.add_argument("--shape", choices=list(SHAPES), action="append")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each design")
    parser.add_argument("--compile", action="store_true", help="time torch.compile too")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[str, Any] = {"machine": machine(device)}
    print(*(f"{key}: {value}" for key, value in found["machine"].items()), sep="\n")
    parts = arguments.part or ["steps", "predictors"]
    if "predictors" in parts:
        found["predictors"] = predictors(device)
    if "steps" in parts:
        found["steps"] = {
            name: steps(name, device, arguments.rounds, compiled=arguments.compile)
            for name in arguments.shape or SHAPES
        }
    if "profile" in parts:
        found["profile"] = {
            name: profile(name, device, arguments.rounds) for name in arguments.shape or SHAPES
        }
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if device.type == "cuda" else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large matrix product: the best of ten."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / min(seconds(lambda: a @ b, device) for _ in range(10))


# Training steps


def steps(name: str, device: torch.device, rounds: int, *, compiled: bool) -> dict[str, Any]:
    """Time a training step of every design at one shape."""
    shape = dict(SHAPES[name])
    batch = shape.pop("batch")
    prior = Gaussian(Linear(dim=shape["dim"]), sigma=1.0)
    generator = stream(0, "benchmark", device=device)
    prompts = prior.sample(batch, shape["positions"], generator)
    designs: dict[str, Callable[[], None]] = {
        "Garg et al.: GPT2Model, Adam": step(Garg(**shape).to(device), prompts, "plain"),
        "ours, interleaved": ours(shape, "interleaved", prompts, device),
        "ours, interleaved, bfloat16": ours(shape, "interleaved", prompts, device, bfloat16=True),
        "ours, paired": ours(shape, "paired", prompts, device),
        "ours, paired, Muon": ours(shape, "paired", prompts, device, optimiser="muon"),
        "ours, paired, PyTorch's Muon": ours(shape, "paired", prompts, device, optimiser="torch"),
    }
    if device.type == "cuda":
        garg = Garg(**shape).to(device)
        designs["Garg et al., bfloat16"] = step(garg, prompts, "plain", bfloat16=True)
        designs["ours, paired, bfloat16"] = ours(shape, "paired", prompts, device, bfloat16=True)
    warmed: dict[str, float] = {}
    if compiled:
        designs["ours, interleaved, compiled"] = ours(
            shape, "interleaved", prompts, device, compiled=True
        )
        designs["ours, paired, compiled"] = ours(shape, "paired", prompts, device, compiled=True)
    for key, design in designs.items():
        warmed[key] = seconds(design, device)
    times: dict[str, list[float]] = {key: [] for key in designs}
    for _ in range(rounds):
        for key, design in designs.items():
            times[key].append(seconds(design, device))
    peaks = {dtype: peak_flops(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    first = next(iter(designs))
    reference = statistics.median(times[first])
    rows = {}
    told = ", ".join(
        f"{str(dtype).removeprefix('torch.')} {peak / 1e9:.0f}" for dtype, peak in peaks.items()
    )
    print(f"\nTraining step, {name} shape: {SHAPES[name]}; peak in GFLOP/s: {told}")
    for key, measured in times.items():
        middle = statistics.median(measured)
        work = flops(**shape, batch=batch, paired="paired" in key)
        rows[key] = {
            "ms": 1e3 * middle,
            "fastest_ms": 1e3 * min(measured),
            "ratio": reference / middle,
            "share_of_peak": work
            / middle
            / peaks[torch.bfloat16 if "bfloat16" in key else torch.float32],
            "first_call_s": warmed[key],
        }
        row = rows[key]
        print(
            f"  {key:32} {row['ms']:8.1f} ms (fastest {row['fastest_ms']:.1f})  "
            f"{row['ratio']:5.2f}× Garg  {100 * row['share_of_peak']:4.0f} % of peak  "
            f"first call {row['first_call_s']:.1f} s"
        )
    return {
        "shape": SHAPES[name],
        "peak_gflops": peaks[torch.float32] / 1e9,
        "peak_gflops_bfloat16": peaks[torch.bfloat16] / 1e9,
        "rounds": rounds,
        "designs": rows,
    }


def flops(
    *, dim: int, positions: int, width: int, depth: int, heads: int, batch: int, paired: bool
) -> float:
    """Multiplications and additions of a step's matrix products (three forward passes' worth)."""
    del heads, dim
    length = positions if paired else 2 * positions
    forward = depth * length * (2 * 12 * width**2 + 2 * 2 * length * width)
    return 3.0 * batch * forward


def ours(
    shape: dict[str, int],
    tokens: Tokens,
    prompts: Prompts,
    device: torch.device,
    *,
    optimiser: str = "adam",
    bfloat16: bool = False,
    compiled: bool = False,
) -> Callable[[], None]:
    """Return a training step of our transformer."""
    settings = TransformerSettings(**shape, tokens=tokens)
    model = Transformer(settings, stream(0, "weights")).to(device)
    return step(model, prompts, optimiser, bfloat16=bfloat16, compiled=compiled)


def step(
    model: nn.Module,
    prompts: Prompts,
    optimiser: str,
    *,
    bfloat16: bool = False,
    compiled: bool = False,
) -> Callable[[], None]:
    """Return a call that makes one training step."""
    made: list[torch.optim.Optimizer]
    if optimiser == "plain":
        made = [torch.optim.Adam(model.parameters(), lr=1e-4)]
    elif optimiser == "torch":
        adamw, muon = optimisers(model, "muon", 1e-4)
        hidden = [matrix for group in muon.param_groups for matrix in group["params"]]
        made = [adamw, torch.optim.Muon(hidden, lr=7e-4, weight_decay=0.0)]
    else:
        made = optimisers(model, cast("OptimiserName", optimiser), 1e-4)
    forward = torch.compile(model) if compiled else model

    def call() -> None:
        with torch.autocast(prompts.xs.device.type, torch.bfloat16, enabled=bfloat16):
            predictions = forward(prompts)
        (predictions.float() - prompts.ys).square().mean().backward()
        for one in made:
            one.step()
            one.zero_grad(set_to_none=True)

    return call


# Where a step's time goes

KINDS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm"),
    "attention kernel": ("_scaled_dot_product",),
    "optimiser": ("_fused_adam", "_foreach", "lerp", "addcdiv", "addcmul", "sqrt"),
    "activation": ("gelu", "tanh", "pow"),
    "softmax": ("_softmax",),
    "norms": ("native_layer_norm",),
    "copies": ("copy_", "cat", "clone", "contiguous", "stack"),
    "sums, products": ("add", "add_", "mul", "mul_", "sum", "sub", "div", "masked_fill", "where"),
}
"""Operations by what they are for; a name that begins so, after ``aten::``, or equals it."""


def profile(name: str, device: torch.device, rounds: int) -> dict[str, Any]:
    """Say what part of a step each kind of operation takes, for the usual design and ours."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as watch

    shape = dict(SHAPES[name])
    batch = shape.pop("batch")
    prior = Gaussian(Linear(dim=shape["dim"]), sigma=1.0)
    prompts = prior.sample(batch, shape["positions"], stream(0, "benchmark", device=device))
    designs = {
        "Garg et al.: GPT2Model, Adam": step(Garg(**shape).to(device), prompts, "plain"),
        "ours, interleaved": ours(shape, "interleaved", prompts, device),
        "ours, paired": ours(shape, "paired", prompts, device),
    }
    rows: dict[str, Any] = {}
    print(f"\nWhere a step's time goes, {name} shape, milliseconds a step of the operations alone")
    for key, design in designs.items():
        design()
        with watch(activities=[ProfilerActivity.CPU]) as watched:
            for _ in range(rounds):
                design()
        spent: dict[str, float] = {}
        for one in watched.key_averages():
            milliseconds = one.self_cpu_time_total / 1e3 / rounds
            kind = kind_of(one.key)
            spent[kind] = spent.get(kind, 0.0) + milliseconds
        rows[key] = dict(sorted(spent.items(), key=lambda item: -item[1]))
        total = sum(spent.values())
        print(f"  {key}: {total:.0f} ms")
        for kind, milliseconds in rows[key].items():
            print(f"    {kind:20} {milliseconds:8.1f} ms  {milliseconds / total:5.1%}")
    return rows


def kind_of(operation: str) -> str:
    """Return what a profiled operation is for."""
    plain = operation.removeprefix("aten::")
    for kind, names in KINDS.items():
        if plain in names or any(
            plain.startswith(n) for n in names if n.startswith(("_", "native"))
        ):
            return kind
        if plain.removesuffix("_backward") in names:
            return kind
    return "rest"


# Exact predictors


def predictors(device: torch.device) -> dict[str, Any]:
    """Time our predictors of every prefix against a loop over prefixes."""
    batch, positions, dim = BAYES["batch"], BAYES["positions"], BAYES["dim"]
    family = Linear(dim=dim)
    generator = stream(0, "benchmark tasks")
    tasks = torch.randn(BAYES["tasks"], dim, generator=generator, dtype=torch.float64).to(device)
    cont = Gaussian(family, sigma=1.0)
    disc = Discrete(family, sigma=1.0, tasks=tasks)
    mixture = Mixture([disc, cont], [0.5, 0.5])
    prompts = mixture.sample(batch, positions, stream(0, "benchmark", device=device))
    xs, ys = (part.double() for part in prompts)
    exact = Prompts(xs, ys)
    pairs: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
        "ridge: solve": (lambda: cont(exact), lambda: loop(exact, ridge)),
        "ridge: lstsq": (lambda: cont(exact), lambda: loop(exact, ridge_by_rows)),
        "least squares: lstsq": (
            lambda: LeastSquares(family=family)(exact),
            lambda: loop(exact, least_squares),
        ),
        "discrete": (lambda: disc(exact), lambda: loop(exact, discrete(tasks))),
        "mixture": (lambda: mixture(exact), lambda: loop(exact, mixed(tasks))),
    }
    rows = {}
    print(f"\nEvery prefix's prediction: {BAYES}, float64, against a loop over prefixes")
    for name, (fast, slow) in pairs.items():
        fast()
        fast_s = statistics.median(seconds(fast, device) for _ in range(5))
        slow_s = statistics.median(seconds(slow, device) for _ in range(3))
        difference = float((fast() - slow()).abs().max())
        rows[name] = {
            "ms": 1e3 * fast_s,
            "loop_ms": 1e3 * slow_s,
            "ratio": slow_s / fast_s,
            "largest_difference": difference,
        }
        print(
            f"  {name:22} {1e3 * fast_s:8.1f} ms, loop {1e3 * slow_s:8.1f} ms: "
            f"{slow_s / fast_s:6.1f}×, largest difference {difference:.1e}"
        )
    return rows


def loop(prompts: Prompts, predictor: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """Predict prefix by prefix, each for all prompts at once."""
    xs, ys = prompts
    return torch.stack(
        [predictor(xs[:, :k], ys[:, :k], xs[:, k]) for k in range(xs.shape[1])], dim=1
    )


def ridge(xs: Tensor, ys: Tensor, query: Tensor) -> Tensor:
    """(XᵀX + I)⁻¹Xᵀy."""
    gram = xs.mT @ xs + torch.eye(xs.shape[-1], dtype=xs.dtype, device=xs.device)
    return (torch.linalg.solve(gram, (xs.mT @ ys[..., None])[..., 0]) * query).sum(-1)


def ridge_by_rows(xs: Tensor, ys: Tensor, query: Tensor) -> Tensor:
    """The same as least squares with rows of the identity below X, which squares no condition."""
    size = xs.shape[-1]
    eye = torch.eye(size, dtype=xs.dtype, device=xs.device).expand(len(xs), size, size)
    labels = torch.cat([ys, torch.zeros_like(query)], 1)[..., None]
    return (torch.linalg.lstsq(torch.cat([xs, eye], 1), labels).solution[..., 0] * query).sum(-1)


def least_squares(xs: Tensor, ys: Tensor, query: Tensor) -> Tensor:
    """The shortest solution, by the driver that finds it where pairs are fewer than dimensions."""
    if not xs.shape[1]:
        return torch.zeros_like(query[:, 0])
    driver = "gelsy" if xs.device.type == "cpu" else None
    return (torch.linalg.lstsq(xs, ys[..., None], driver=driver).solution[..., 0] * query).sum(-1)


def discrete(tasks: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Posterior mean over tasks."""

    def predict(xs: Tensor, ys: Tensor, query: Tensor) -> Tensor:
        squares = (ys[..., None] - xs @ tasks.T).square().sum(1)
        return ((-0.5 * squares).softmax(-1) * (query @ tasks.T)).sum(-1)

    return predict


def mixed(tasks: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """G · w_disc + (1 − g) · w_cont, densities as the paper writes them."""
    by_task = discrete(tasks)

    def predict(xs: Tensor, ys: Tensor, query: Tensor) -> Tensor:
        count = xs.shape[1]
        covariance = xs @ xs.mT + torch.eye(count, dtype=xs.dtype, device=xs.device)
        factor = torch.linalg.cholesky(covariance)
        z = torch.linalg.solve_triangular(factor, ys[..., None], upper=False)[..., 0]
        log_cont = -0.5 * z.square().sum(-1) - factor.diagonal(dim1=1, dim2=2).log().sum(-1)
        squares = (ys[..., None] - xs @ tasks.T).square().sum(1)
        log_disc = (-0.5 * squares).logsumexp(-1) - math.log(len(tasks))
        g = (log_disc - log_cont).sigmoid()
        return g * by_task(xs, ys, query) + (1 - g) * ridge(xs, ys, query)

    return predict


if __name__ == "__main__":
    main()
