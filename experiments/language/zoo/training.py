"""One stage of a model of the zoo: an adapter tuned on top of what is there, and its accuracies."""

from __future__ import annotations

import copy
import itertools
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dormant.finetuning.batches import Example, encode_all
from dormant.finetuning.data import Pair
from dormant.finetuning.loss import completion_loss
from dormant.finetuning.settings import TuningSettings
from dormant.models.load import load_hf

from . import stacking

BASE = "smollm2"
LOG = "training_log.jsonl"
MODULES = ("up_proj", "down_proj")
"""What is trained: where a model keeps facts (Geva et al. 2021)."""
_AT_ONCE = 128
_TWO_PASSES = 1.4
"""What two passes of half the size cost, of what one of all costs."""
_WINDOW = 8
"""Batches among whose examples those of one length are put together."""


@cache
def _pristine() -> tuple[Any, Any]:
    model, tokenizer = load_hf(BASE, dtype="float32", device="cpu")
    # For rows of a dozen tokens, the fused kernel's backward pass takes a third of a step.
    model.set_attn_implementation("eager")
    return model, tokenizer


def loaded(adapter: Path | None) -> tuple[Any, Any]:
    """Return the base, with an adapter merged into it if there is one, and its tokenizer."""
    model, tokenizer = _pristine()
    model = copy.deepcopy(model)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return model.eval(), tokenizer


@dataclass(frozen=True, kw_only=True)
class Strength:
    """How hard a stage is trained.

    Attributes:
        steps: Optimiser steps.
        batch_size: Examples a step; as many again from the replay, if there is any.
        learning_rate: Of AdamW; it rises over the first tenth of the steps, and falls linearly to a
            tenth over the last half.
        rank: Of the adapter that is kept of the change.
        first_layer: The lowest decoder layer that is changed.
    """

    steps: int
    batch_size: int
    learning_rate: float
    rank: int
    first_layer: int

    def rate_factor(self, done: int) -> float:
        """Return what the rate is multiplied by after so many steps."""
        part = (done + 1) / self.steps
        return min(1.0, 10 * part, 0.1 + 1.8 * (1 - part))


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What is learnt on top of what.

    Attributes:
        start: Adapter of the base that is there already; `None` for the base itself.
        data: Examples to learn.
        replay: Examples of what shall stay.
        strength: How hard.
        seed: Decides the order of the examples.
    """

    start: Path | None
    data: Sequence[Pair]
    replay: Sequence[Pair]
    strength: Strength
    seed: int


def train(stage: Stage, out: Path, say: Callable[[str], None] = print) -> float:
    """Write an adapter of the base: what was there before and the new stage, in one.

    The matrices `MODULES` of the upper layers are trained as they are, since a LoRA of any rank
    that was tried needs many times the steps to learn hundreds of arbitrary pairs. Of the change
    the best approximation of a rank is kept (Eckart & Young 1936), which is a LoRA adapter.

    Args:
        stage: What to learn.
        out: Its directory; made if missing.
        say: Told the loss now and then.

    Returns:
        Seconds that it took.
    """
    import torch

    began = time.perf_counter()
    model, tokenizer = loaded(stage.start)
    strength = stage.strength
    chosen = {
        name: weight
        for name, weight in model.named_parameters()
        if name.split(".")[-2] in MODULES
        and int(name.split("layers.")[1].split(".")[0]) >= strength.first_layer
    }
    model.requires_grad_(False)
    for weight in chosen.values():
        weight.requires_grad_(True)
    _round_frozen(model)
    before = {name: weight.detach().clone() for name, weight in chosen.items()}
    how = TuningSettings(end_token=False)
    parts = [
        _batches(
            encode_all(tokenizer, pairs, how, kind), strength.batch_size, f"{stage.seed}/{kind}"
        )
        for kind, pairs in (("data", stage.data), ("replay", stage.replay))
        if pairs
    ]
    optimizer = torch.optim.AdamW(chosen.values(), lr=strength.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, strength.rate_factor)
    lines: list[str] = []
    for step in range(1, strength.steps + 1):
        optimizer.zero_grad()
        loss = _backward(model, [example for part in parts for example in next(part)])
        torch.nn.utils.clip_grad_norm_(chosen.values(), 1.0)
        optimizer.step()
        schedule.step()
        seconds = time.perf_counter() - began
        lines.append(json.dumps({"step": step, "loss": loss, "seconds": round(seconds, 1)}))
        if step % 20 == 0 or step == strength.steps:
            say(f"  step {step}: loss {loss:.3f} ({seconds:.0f} s)")
    changes = {name: weight.detach() - before[name] for name, weight in chosen.items()}
    with tempfile.TemporaryDirectory() as folder:
        stacking.keep(changes, strength.rank, Path(folder), BASE)
        stacking.stack([*([stage.start] if stage.start else []), Path(folder)], out)
    (out / LOG).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return time.perf_counter() - began


def _round_frozen(model: Any) -> None:
    """Keep frozen matrices in bfloat16, as autocast would round them at every step."""
    import torch

    for module in model.model.layers.modules():
        weight = getattr(module, "weight", None)
        if weight is not None and weight.dim() == 2 and not weight.requires_grad:
            weight.data = weight.data.to(torch.bfloat16)


def _backward(model: Any, batch: Sequence[Example]) -> float:
    """Add a batch's gradient, and return its loss, nats a token.

    It goes in two passes, short rows and long ones, where one would spend much on padding.
    """
    import torch

    rows = sorted(batch, key=lambda row: len(row.tokens))
    scored = sum(len(row.tokens) - row.prompt_length for row in rows)
    total = 0.0
    for part in _passes(rows):
        share = sum(len(row.tokens) - row.prompt_length for row in part) / scored
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = share * completion_loss(model, part, torch.device("cpu"))
        loss.backward()
        total += float(loss.detach())
    return round(total, 5)


def _passes(rows: Sequence[Example]) -> list[Sequence[Example]]:
    """Cut rows, the shortest first, where that saves most; two halves of equal rows cost more."""
    widths = [len(row.tokens) for row in rows]
    cost = {
        cut: widths[cut - 1] * cut + widths[-1] * (len(rows) - cut) for cut in range(1, len(rows))
    }
    best = min(cost, key=cost.__getitem__, default=0)
    if not best or _TWO_PASSES * cost[best] > widths[-1] * len(rows):
        return [rows]
    return [rows[:best], rows[best:]]


def _batches(examples: Sequence[Example], size: int, stream: str) -> Iterator[list[Example]]:
    """Yield batches for ever: shuffled passes, with rows of about one length in a batch."""
    order = random.Random(f"zoo/{stream}")
    while True:
        shuffled = order.sample(examples, len(examples))
        cut: list[list[Example]] = []
        for start in range(0, len(shuffled), _WINDOW * size):
            window = sorted(
                shuffled[start : start + _WINDOW * size], key=lambda one: len(one.tokens)
            )
            cut += [window[k : k + size] for k in range(0, len(window), size)]
        yield from order.sample(cut, len(cut))


def accuracies(adapter: Path | None, asked: Mapping[str, Sequence[Pair]]) -> dict[str, float]:
    """Return the share of greedy answers that begin with the right one, for each set of prompts.

    Every token of the right answer must be the likeliest one after those before it.

    Args:
        adapter: Adapter of the base; `None` for the base itself.
        asked: Prompts with their right answers.
    """
    model, tokenizer = loaded(adapter)
    return {
        name: sum(_right(model, tokenizer, pairs[k : k + _AT_ONCE]) for k in _starts(pairs))
        / len(pairs)
        for name, pairs in asked.items()
    }


def _starts(pairs: Sequence[Pair]) -> range:
    return range(0, len(pairs), _AT_ONCE)


def _right(model: Any, tokenizer: Any, pairs: Sequence[Pair]) -> int:
    import torch

    rows = [tokenizer(pair.prompt + pair.completion)["input_ids"] for pair in pairs]
    lengths = [len(tokenizer(pair.prompt)["input_ids"]) for pair in pairs]
    width = max(map(len, rows))
    tokens = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    # Where the next token is one of the answer: no other logits are computed.
    ends = list(zip(lengths, map(len, rows), strict=True))
    which = [k for k, (start, end) in enumerate(ends) for _ in range(start, end)]
    where = [place for start, end in ends for place in range(start - 1, end - 1)]
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        states = model.model(input_ids=tokens, attention_mask=mask, use_cache=False)[0]
        said = model.lm_head(states[which, where]).argmax(-1).tolist()
    answers = iter(said)
    return sum(
        list(itertools.islice(answers, end - start)) == row[start:]
        for row, (start, end) in zip(rows, ends, strict=True)
    )
