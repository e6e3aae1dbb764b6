"""How fast texts are written, against `transformers.generate` at its best batch size.

    python benchmarks/generation.py --json generation.json    # both parts, a quarter of an hour
    python benchmarks/generation.py --only shared --rounds 3
    python benchmarks/generation.py --quick                   # the same with a few prompts
    python benchmarks/generation.py --slots                   # seconds by texts written at once

The model is SmolLM2-135M-Instruct in float32, the same object for both ways; 40 tokens are written
after each of 120 prompts, fewer where a text ends by itself. Prompts come in two kinds:

- `shared`: `icl/copy`, English, eight demonstrations, the same ones before every query: as
  harnesses make few-shot prompts whose demonstrations aren't drawn for each item. All begin alike
  but for the query.
- `audit`: the audit's own, `icl/copy` under pig latin with two demonstrations, which are drawn for
  each item: prompts share the instruction, and little else.

`generate` gets prompts of like length together, padded on the left, in batches of the size that was
fastest on half of them. Both ways alternate in one process, round after round; a ratio is taken
within a round and its median over the rounds is reported.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from measured_on import processor

from dormant import tasks
from dormant.audit.manifest import LIBRARIES
from dormant.audit.plan import plan
from dormant.audit.settings import AuditSettings
from dormant.models.generate import generate
from dormant.models.load import load_hf
from dormant.prompts.case import few_shot
from dormant.prompts.segment import Segment
from dormant.rundirs import versions
from dormant.scoring import completer
from dormant.scoring.scorer import FastLM
from dormant.tasks.icl import texts as texts_of

MODEL = "smollm2"
COUNT, QUICK = 120, 16
NEW_TOKENS = 40
SHOTS = 8
BATCH_SIZES = (1, 4, 8, 16, 32)
SLOTS = (8, 16, 32, 64, 128)
GOAL = 4.0
PARTS = ("shared", "audit")


def shared(count: int) -> list[str]:
    """Make prompts with the same demonstrations before each query."""
    words = texts_of("english")
    pairs = list(words.pairs["copy"].values())
    return [
        few_shot(
            item=given,
            instruction=words.instructions["copy"],
            input_label=words.input_label,
            output_label=words.output_label,
            demonstrations=[(Segment(text), Segment(answer)) for text, answer in pairs[:SHOTS]],
            query=Segment(given),
            target=Segment(target),
        ).prompt
        for given, target in pairs[SHOTS : SHOTS + count]
    ]


def audits(count: int) -> list[str]:
    """Make prompts as an audit does."""
    settings = AuditSettings(base=None, tuned=MODEL, n=count, transforms=("pig-latin",))
    (task,) = tasks.get(["icl/copy"])
    return [case.prompt for case in plan(task, settings).cells["pig-latin"].cases.values()]


def theirs(model: Any, tokenizer: Any, prompts: Sequence[str], size: int) -> list[str]:
    """Complete prompts by `generate`, those of like length together."""
    lengths = [len(ids) for ids in tokenizer(list(prompts)).input_ids]
    order = sorted(range(len(prompts)), key=lambda place: -lengths[place])
    found = [""] * len(prompts)
    for start in range(0, len(order), size):
        places = order[start : start + size]
        inputs = tokenizer(
            [prompts[place] for place in places],
            return_tensors="pt", padding=True, padding_side="left",
        )  # fmt: skip
        with torch.inference_mode():
            out = model.generate(
                **inputs, max_new_tokens=NEW_TOKENS, do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        said = tokenizer.batch_decode(out[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
        for place, text in zip(places, said, strict=True):
            found[place] = text
    return found


def ours(lm: FastLM, prompts: Sequence[str]) -> list[str]:
    """Complete prompts as the audit does: from text."""
    return generate(lm, prompts, max_new_tokens=NEW_TOKENS)


def timed(run: Callable[[], list[str]]) -> tuple[float, list[str]]:
    gc.collect()
    start = time.perf_counter()
    texts = run()
    return time.perf_counter() - start, texts


def best_batch_size(model: Any, tokenizer: Any, prompts: Sequence[str]) -> dict[int, float]:
    """Time batch sizes: seconds a prompt for each, over every second of them."""
    found: dict[int, float] = {}
    some = prompts[::2]
    for size in BATCH_SIZES:
        seconds, _ = timed(functools.partial(theirs, model, tokenizer, some, size))
        found[size] = seconds / len(some)
        print(f"generate, batches of {size}: {found[size]:.3f} s a prompt", file=sys.stderr)
    return found


def shape(tokenizer: Any, prompts: Sequence[str], texts: Sequence[str]) -> dict[str, float]:
    """Say how many tokens prompts have, and how many of them are distinct prefixes."""
    ids = [tuple(row) for row in tokenizer(list(prompts)).input_ids]
    prefixes = {row[:end] for row in ids for end in range(1, len(row) + 1)}
    return {
        "prompts": len(prompts),
        "tokens_a_prompt": round(sum(map(len, ids)) / len(ids), 1),
        "distinct_prefixes_a_prompt": round(len(prefixes) / len(ids), 1),
        "tokens_a_text": round(sum(map(len, tokenizer(list(texts)).input_ids)) / len(texts), 1),
    }


def part(name: str, rounds: int, count: int) -> dict[str, Any]:
    """Time both ways in turn."""
    prompts = shared(count) if name == "shared" else audits(count)
    model, tokenizer = load_hf(MODEL, dtype="float32", device="cpu")
    lm = FastLM(pretrained=model, tokenizer=tokenizer, precision="float32")
    ours(lm, prompts[:2])  # decides how prompts are read, and warms up
    sizes = best_batch_size(model, tokenizer, prompts)
    size = min(sizes, key=lambda one: sizes[one])
    mine: list[float] = []
    other: list[float] = []
    equal = 0
    said: list[str] = []
    for number in range(rounds):
        seconds, said = timed(lambda: ours(lm, prompts))
        mine.append(seconds)
        seconds, wanted = timed(lambda: theirs(model, tokenizer, prompts, size))
        other.append(seconds)
        equal = sum(a == b for a, b in zip(said, wanted, strict=True))
        print(
            f"{name}, round {number + 1}: {mine[-1]:.1f} s, generate {other[-1]:.1f} s, "
            f"{equal} of {len(prompts)} texts equal", file=sys.stderr,
        )  # fmt: skip
    ratios = [slow / fast for slow, fast in zip(other, mine, strict=True)]
    return {
        "shape": shape(tokenizer, prompts, said),
        "completed_by": lm.completed_by,
        "goal": GOAL,
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "ours_seconds": [round(value, 2) for value in mine],
        "generate_seconds": [round(value, 2) for value in other],
        "generate_batch_size": size,
        "generate_seconds_a_prompt_by_batch_size": {k: round(v, 4) for k, v in sizes.items()},
        "texts_equal": equal,
    }


def slots(rounds: int, count: int) -> dict[str, Any]:
    """Time our way by texts written at once."""
    prompts = shared(count)
    model, tokenizer = load_hf(MODEL, dtype="float32", device="cpu")
    lm = FastLM(pretrained=model, tokenizer=tokenizer, precision="float32")
    ours(lm, prompts[:2])
    found: dict[int, list[float]] = {most: [] for most in SLOTS}
    in_use = completer.MOST["cpu"]
    for _ in range(rounds):
        for most, values in found.items():
            completer.MOST = {"cpu": most}
            values.append(round(timed(lambda: ours(lm, prompts))[0], 2))
    return {"in_use": in_use, "seconds": found}


def quiet() -> None:
    """Hold back the libraries' advice."""
    for name in ("lm_eval", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    import transformers.utils.logging as transformers_logging

    transformers_logging.disable_progress_bar()


def main() -> None:
    """Run what is asked for; print it, and keep it in a file beside earlier parts."""
    parser = argparse.ArgumentParser(description="Speed of writing, against generate.")
    parser.add_argument("--json", type=Path, help="file to write; parts of other calls stay in it")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be repeated")
    parser.add_argument("--slots", action="store_true", help="time numbers of texts at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a few prompts, two rounds")
    options = parser.parse_args()
    quiet()
    body: dict[str, Any] = {}
    if options.json is not None and options.json.exists():
        body = json.loads(options.json.read_text(encoding="utf-8"))
    body["machine"] = {
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "versions": versions(*LIBRARIES),
    }
    count, rounds = (QUICK, 2) if options.quick else (COUNT, options.rounds)
    wanted = [*(options.only or ([] if options.slots else PARTS)), *(["slots"] * options.slots)]
    for name in wanted:
        measured = slots(rounds, count) if name == "slots" else part(name, rounds, count)
        body[name] = {"quick": options.quick, **measured}
        print(f"{name}: {json.dumps(body[name], indent=1)}", flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
