"""How fast answers are scored, against the ways in which others score them.

    python benchmarks/scoring.py --json scoring.json        # everything, ten to twenty minutes
    python benchmarks/scoring.py --json scoring.json --only shared   # a part; parts share a file
    python benchmarks/scoring.py --quick                    # the same with a few prompts
    python benchmarks/scoring.py --budgets                  # seconds by tokens a forward pass
    python benchmarks/scoring.py --profile                  # where our time goes
    python benchmarks/scoring.py --device cuda              # on a GPU, by more prompts

The model is SmolLM2-135M-Instruct, as everywhere in Dormant. Prompts are the audit's own: the four
tasks of `icl_vs_if` under pig latin, two demonstrations each, 24 items a task (96 prompts of about
145 tokens), target and distractor asked of each. They are scored twice: as they are (`shared`: all
prompts of a task begin with its instruction, which is read once), and with a number before each
(`unshared`), so that next to nothing is shared and the tree gains nothing.

All ways alternate in one process, round after round; a ratio is taken within a round and its
median over the rounds is reported. Where a reference is slow, each round gives it every k-th
prompt only and times are compared a prompt (`every` in the file says k); batch size 1 costs the
same at any number of prompts, and the batched references keep whole batches.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from measured_on import machine, peak_mebibytes, quiet, synchronise
from references import best_batch_size, by_generation, by_harness, harness

from dormant import tasks
from dormant.audit.plan import plan
from dormant.audit.settings import AuditSettings
from dormant.models.load import LoadOptions, load, load_hf
from dormant.models.pair import ModelPair
from dormant.models.spec import parse
from dormant.scoring.encoding import encode_prompts
from dormant.scoring.harness import scorer_of
from dormant.scoring.prefix_tree import build_tree
from dormant.scoring.rows import batches
from dormant.scoring.scorer import TOKEN_BUDGET, FastLM

MODEL, CHILD = "smollm2", "smollm2-sentiment"
TASK, TRANSFORM = "icl_vs_if", "pig-latin"
BUDGETS = (512, 1024, 2048, 4096, 8192)
GOALS = {"paper": 10.0, "lm-eval": 4.0, "lm-eval-bfloat16": 1.5}
PARTS = ("shared", "unshared", "peak", "memory")


@dataclass(frozen=True)
class Prompts:
    """What is scored: one list a task, as the audit hands them to a scorer."""

    cells: list[list[str]]
    answers: list[list[list[str]]]

    def flat(self) -> tuple[list[str], list[list[str]]]:
        """All prompts and their answers."""
        return list(chain.from_iterable(self.cells)), list(chain.from_iterable(self.answers))


@dataclass
class Arm:
    """One way of scoring.

    Attributes:
        run: Scores every `every`-th prompt; gives each one's verdict on its target.
        count: How many prompts are timed.
        every: How many prompts stand for each one that is timed.
        device: Where it runs.
        seconds: Wall time a prompt, by round.
        work: Processor time a prompt, by round: what other programs on the machine change least.
        verdicts: What it said, by place of the prompt.
    """

    run: Callable[[], dict[int, bool]]
    count: int
    every: int = 1
    device: str = "cpu"
    seconds: list[float] = field(default_factory=list[float])
    work: list[float] = field(default_factory=list[float])
    verdicts: dict[int, bool] = field(default_factory=dict[int, bool])

    def time(self) -> None:
        """Run once more, against the clock."""
        gc.collect()
        synchronise(self.device)
        start, began = time.perf_counter(), time.process_time()
        self.verdicts = self.run()
        synchronise(self.device)
        self.seconds.append((time.perf_counter() - start) / self.count)
        self.work.append((time.process_time() - began) / self.count)


def prompts(items: int, numbered: bool) -> Prompts:
    """Make the prompts; a number before each, where nothing is to be shared."""
    settings = AuditSettings(base=None, tuned=MODEL, n=items, transforms=(TRANSFORM,))
    cells: list[list[str]] = []
    answers: list[list[list[str]]] = []
    number = 100
    for task in tasks.get([TASK]):
        cases = list(plan(task, settings).cells[TRANSFORM].cases.values())
        texts: list[str] = []
        for case in cases:
            number += 1
            texts.append(f"{str(number)[::-1]}. {case.prompt}" if numbered else case.prompt)
        cells.append(texts)
        answers.append([[f"{case.answer_prefix}{one}" for one in case.answers] for case in cases])
    return Prompts(cells, answers)


def choose_precision(lm: FastLM, made: Prompts) -> None:
    """Choose as an audit of many prompts does, with as many verdicts tested as there are here."""
    texts, answers = made.flat()
    tested = sum(map(len, answers)) // 2  # some are near ties
    lm.choose_precision(texts, answers, verdicts=tested)
    # What was computed for the choice is not to be spared when it is timed.
    lm.precision = lm.precision


def ours(lm: FastLM, made: Prompts) -> dict[int, bool]:
    """Score as the audit does: from text, a cell at a time."""
    rows = [
        row
        for texts, answers in zip(made.cells, made.answers, strict=True)
        for row in scorer_of(lm).score(texts, answers)
    ]
    return {place: row[0].greedy for place, row in enumerate(rows)}


def theirs(lm: Any, made: Prompts, every: int) -> dict[int, bool]:
    """Score every k-th prompt as the harness does."""
    texts, answers = made.flat()
    rows = by_harness(lm, texts[::every], answers[::every])
    return {place * every: row[0].greedy for place, row in enumerate(rows)}


def papers(model: Any, tokenizer: Any, made: Prompts, every: int) -> dict[int, bool]:
    """Ask every k-th prompt the paper's way."""
    texts, answers = made.flat()
    rows = by_generation(model, tokenizer, texts[::every], answers[::every])
    return {place * every: row[0].greedy for place, row in enumerate(rows)}


def shape(lm: FastLM, made: Prompts) -> dict[str, float]:
    """Say how many tokens a prompt has, and how many the engine reads."""
    prompt_tokens = paths = nodes = predicted = 0
    for texts, answers in zip(made.cells, made.answers, strict=True):
        rows = encode_prompts(lm, texts, answers)
        prompt_tokens += sum(len(row.context) for row in rows)
        paths += sum(len(path) for row in rows for path in row.paths)
        nodes += sum(len(build_tree(part).tokens) for part in batches(rows, lm.token_budget))
        predicted += sum(len(answer) for row in rows for answer in row.answers)
    count = len(made.flat()[0])
    return {
        "prompts": count,
        "tokens_a_prompt": round(prompt_tokens / count, 1),
        "tokens_with_answers_a_prompt": round(paths / count, 1),
        "tokens_read_a_prompt": round(nodes / count, 1),
        "tokens_predicted_a_prompt": round(predicted / count, 1),
    }


def ratios(
    made: Prompts, rounds: int, every: dict[str, int], spec: str, device: str
) -> dict[str, Any]:
    """Time all ways in turn and compare each with ours."""
    model, tokenizer = load_hf(spec, dtype="float32", device=device)
    half, _ = load_hf(spec, dtype="bfloat16", device=device)
    lm = FastLM(pretrained=model, tokenizer=tokenizer)
    choose_precision(lm, made)
    texts, answers = made.flat()
    step = 3 if len(texts) < 96 else 6
    size, sizes = best_batch_size(model, tokenizer, texts[::step], answers[::step])
    plain, plain_half = harness(model, tokenizer, size), harness(half, tokenizer, size)
    count = len(made.flat()[0])

    def arm(run: Callable[[int], dict[int, bool]], name: str = "") -> Arm:
        step = every.get(name, 1)
        return Arm(lambda: run(step), len(range(0, count, step)), step, device)

    mine = arm(lambda _: ours(lm, made))
    arms = {
        "paper": arm(lambda step: papers(model, tokenizer, made, step), "paper"),
        "lm-eval": arm(lambda step: theirs(plain, made, step), "lm-eval"),
        "lm-eval-bfloat16": arm(lambda step: theirs(plain_half, made, step), "lm-eval-bfloat16"),
    }
    ours(lm, made)  # decides how batches are run, and warms up
    for number in range(rounds):
        for name, one in {"ours": mine, **arms}.items():
            one.time()
            print(f"round {number + 1}: {name} {one.seconds[-1]:.3f} s a prompt", file=sys.stderr)
    found: dict[str, Any] = {
        "shape": shape(lm, made),
        "mode": lm.mode,
        "precision": lm.precision.dtype,
        "token_budget": lm.token_budget,
        "lm_eval_batch_size": size,
        "lm_eval_seconds_by_batch_size": sizes,
        "ours_seconds_a_prompt": [round(value, 4) for value in mine.seconds],
        "ours_median": round(statistics.median(mine.seconds), 4),
        "against": {},
    }
    for name, one in arms.items():
        by_round = [slow / fast for slow, fast in zip(one.seconds, mine.seconds, strict=True)]
        by_work = [slow / fast for slow, fast in zip(one.work, mine.work, strict=True)]
        found["against"][name] = {
            "goal": GOALS[name],
            "ratio": round(statistics.median(by_round), 2),
            "ratios": [round(value, 2) for value in by_round],
            "ratio_of_processor_time": round(statistics.median(by_work), 2),
            "every": one.every,
            "seconds_a_prompt": [round(value, 4) for value in one.seconds],
            "median": round(statistics.median(one.seconds), 4),
            "verdicts_equal": sum(mine.verdicts[k] == v for k, v in one.verdicts.items()),
            "verdicts_compared": len(one.verdicts),
        }
    return found


def matmul_peak(dtype: torch.dtype, device: str) -> float:
    """Return the fastest matrix product of a few large shapes, in 10⁹ operations a second."""
    best = 0.0
    shapes = [(2048, 2048, 2048), (4096, 576, 1536), (4096, 1536, 576)]
    if device.startswith("cuda"):
        shapes.append((8192, 8192, 8192))
    for rows, inner, columns in shapes:
        a = torch.randn(rows, inner).to(device, dtype)
        b = torch.randn(columns, inner).to(device, dtype)
        for _ in range(8):
            synchronise(device)
            start = time.perf_counter()
            torch.nn.functional.linear(a, b)
            synchronise(device)
            best = max(best, 2 * rows * inner * columns / (time.perf_counter() - start) / 1e9)
    return best


def operations(lm: FastLM, made: Prompts) -> float:
    """Count the forward passes' multiplications and additions: linear layers, head, attention."""
    config, head = lm.model.config, lm.model.get_output_embeddings()
    weights = sum(
        module.weight.numel()
        for module in lm.model.modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )
    total = 0.0
    for texts, answers in zip(made.cells, made.answers, strict=True):
        rows = encode_prompts(lm, texts, answers)
        for part in batches(rows, lm.token_budget):
            tree = build_tree(part)
            predicted = {node for row in tree.predicted for path in row for node in path}
            # A query at place p meets p + 1 keys, in scores and in values.
            seen = sum(place + 1 for place in tree.positions)
            total += 2.0 * weights * len(tree.tokens)
            total += 2.0 * head.weight.numel() * len(predicted)
            total += 4.0 * config.num_hidden_layers * config.hidden_size * seen
    return total


def peak(made: Prompts, rounds: int, spec: str, device: str) -> dict[str, Any]:
    """Compare the forward passes' speed with the fastest matrix product measured beside them."""
    model, tokenizer = load_hf(spec, dtype="float32", device=device)
    lm = FastLM(pretrained=model, tokenizer=tokenizer)
    choose_precision(lm, made)
    ours(lm, made)
    rows = [encode_prompts(lm, *cell) for cell in zip(made.cells, made.answers, strict=True)]
    wanted = operations(lm, made)
    half = lm.precision.dtype == "bfloat16"
    dtype = torch.bfloat16 if half else torch.float32
    shares: list[float] = []
    peaks: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    speeds: list[float] = []
    for _ in range(rounds):
        for name, values in peaks.items():
            values.append(matmul_peak(getattr(torch, name), device))
        start = time.perf_counter()
        for cell in rows:
            lm._run(cell, half)
        synchronise(device)
        speeds.append(wanted / (time.perf_counter() - start) / 1e9)
        shares.append(speeds[-1] / peaks[str(dtype).removeprefix("torch.")][-1])
    return {
        "goal": 0.70,
        "dtype": lm.precision.dtype,
        "share": round(statistics.median(shares), 3),
        "share_of_bfloat16_peak": round(
            statistics.median(
                speed / top for speed, top in zip(speeds, peaks["bfloat16"], strict=True)
            ),
            4,
        ),
        "shares": [round(value, 3) for value in shares],
        "forward_gflops": [round(value, 1) for value in speeds],
        "matmul_gflops": {k: [round(v, 1) for v in values] for k, values in peaks.items()},
    }


def resident(kind: str, items: int, answer: Any) -> None:
    """Score in a process of its own; tell its memory before and its peak, in MiB."""
    quiet()
    made = prompts(items, numbered=False)
    before = peak_mebibytes()
    if kind == "four cells":
        pair = ModelPair(parse(MODEL), parse(CHILD), LoadOptions(device="cpu"))
        for which in ("base", "tuned"):
            with pair.open(which) as lm:
                # Plain and transformed cells differ by their prompts only.
                ours(lm, made)
                ours(lm, made)
    elif kind == "one model":
        ours(load(MODEL, LoadOptions(device="cpu")), made)
    else:
        kept = [load(name, LoadOptions(device="cpu")) for name in (MODEL, CHILD)]
        for lm in kept:
            ours(lm, made)
    answer.send((before, peak_mebibytes()))


def memory(items: int, rounds: int) -> dict[str, Any]:
    """Compare the peak memory of four cells over an adapter with that of one model."""
    kinds = ("one model", "four cells", "two copies")
    start = multiprocessing.get_context("spawn")
    peaks: dict[str, list[float]] = {kind: [] for kind in kinds}
    above: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            mine, other = start.Pipe()
            process = start.Process(target=resident, args=(kind, items, other))
            process.start()
            other.close()
            before, most = mine.recv()
            process.join()
            peaks[kind].append(most)
            above[kind].append(most - before)
    middle = {kind: statistics.median(values) for kind, values in peaks.items()}
    net = {kind: statistics.median(values) for kind, values in above.items()}
    return {
        "goal": 1.15,
        "ratio": round(middle["four cells"] / middle["one model"], 3),
        "ratio_above_libraries": round(net["four cells"] / net["one model"], 3),
        "two_copies_ratio": round(middle["two copies"] / middle["one model"], 3),
        "peak_mib": {k: [round(v) for v in values] for k, values in peaks.items()},
        "peak_above_libraries_mib": {k: [round(v) for v in values] for k, values in above.items()},
    }


def budgets(made: Prompts, rounds: int) -> dict[str, Any]:
    """Time our way by tokens a forward pass, in turn."""
    model, tokenizer = load_hf(MODEL, dtype="float32", device="cpu")
    lm = FastLM(pretrained=model, tokenizer=tokenizer)
    ours(lm, made)
    found: dict[int, list[float]] = {budget: [] for budget in BUDGETS}
    count = len(made.flat()[0])
    for _ in range(rounds):
        for budget, values in found.items():
            lm.token_budget = budget
            start = time.perf_counter()
            ours(lm, made)
            values.append((time.perf_counter() - start) / count)
    return {
        "in_use": TOKEN_BUDGET["cpu"],
        "seconds_a_prompt": {k: [round(v, 4) for v in values] for k, values in found.items()},
        "median": {k: round(statistics.median(values), 4) for k, values in found.items()},
    }


def profile(made: Prompts, top: int = 12) -> dict[str, Any]:
    """Say which operations take our time: their share of it, and how often they are called."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as watch

    model, tokenizer = load_hf(MODEL, dtype="float32", device="cpu")
    lm = FastLM(pretrained=model, tokenizer=tokenizer)
    choose_precision(lm, made)
    ours(lm, made)
    start = time.perf_counter()
    rows = [encode_prompts(lm, *cell) for cell in zip(made.cells, made.answers, strict=True)]
    tokens = time.perf_counter() - start
    start = time.perf_counter()
    for cell in rows:
        for part in batches(cell, lm.token_budget):
            build_tree(part)
    trees = time.perf_counter() - start
    start = time.perf_counter()
    with watch(activities=[ProfilerActivity.CPU]) as watched:
        ours(lm, made)
    whole = time.perf_counter() - start
    found = sorted(watched.key_averages(), key=lambda one: -one.self_cpu_time_total)
    total = sum(one.self_cpu_time_total for one in found)
    return {
        "tokenising": round(tokens / whole, 4),
        "prefix_trees": round(trees / whole, 4),
        "operations": {
            one.key: {"share": round(one.self_cpu_time_total / total, 4), "calls": one.count}
            for one in found[:top]
        },
    }


def parts(wanted: Sequence[str], options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    items, rounds = (4, 2) if options.quick else (options.items, options.rounds)
    where = (options.model, options.device)
    every = (
        {"paper": 4, "lm-eval-bfloat16": 8}
        if options.quick
        else {"paper": 6, "lm-eval": 2, "lm-eval-bfloat16": 24}
    )
    for name in wanted:
        if name in ("shared", "unshared"):
            yield name, ratios(prompts(items, name == "unshared"), rounds, every, *where)
        elif name == "peak":
            yield name, peak(prompts(items, False), rounds, *where)
        elif name == "memory":
            yield name, memory(max(2, items // 3), 1 if options.quick else min(rounds, 3))
        elif name == "profile":
            yield name, profile(prompts(items, False))
        else:
            # One task's prompts only: as many budgets again would take all day.
            made = prompts(2 * items, False)
            yield name, budgets(Prompts(made.cells[:1], made.answers[:1]), min(rounds, 3))


def main() -> None:
    """Run what is asked for; print it, and keep it in a file beside earlier parts."""
    parser = argparse.ArgumentParser(description="Speed of scoring, against other ways.")
    parser.add_argument("--json", type=Path, help="file to write; parts of other calls stay in it")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be repeated")
    parser.add_argument("--budgets", action="store_true", help="time batches of several sizes")
    parser.add_argument("--profile", action="store_true", help="say where our time goes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a few prompts, two rounds")
    parser.add_argument("--items", type=int, default=24, help="prompts a task")
    parser.add_argument("--model", default=MODEL, help="scored in the first three parts")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for the first three parts")
    options = parser.parse_args()
    quiet()
    body: dict[str, Any] = {}
    if options.json is not None and options.json.exists():
        body = json.loads(options.json.read_text(encoding="utf-8"))
    body["machine"] = machine(options.device)
    extra = [name for name in ("budgets", "profile") if getattr(options, name)]
    wanted = [*(options.only or ([] if extra else PARTS)), *extra]
    if options.device != "cpu" and (only_cpu := {*wanted} - {*PARTS[:3]}):
        parser.error(f"only on the CPU: {', '.join(sorted(only_cpu))}; use --only")
    for name, found in parts(wanted, options):
        load = [round(value, 2) for value in os.getloadavg()]
        pages = os.environ.get("THP_MEM_ALLOC_ENABLE") == "1"
        body[name] = {"quick": options.quick, "large_pages": pages, "load_after": load, **found}
        print(f"{name}: {json.dumps(body[name], indent=1)}", flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
