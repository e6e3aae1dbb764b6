"""How long a verdict takes, against what a user would take instead.

    python benchmarks/time_to_verdict.py --json verdict.json       # both audits, five rounds
    python benchmarks/time_to_verdict.py --audit icl_vs_if -n 12   # one of them, of another size
    python benchmarks/time_to_verdict.py --only lm-eval,paper --quick
    python benchmarks/time_to_verdict.py --vllm-python ENV/bin/python --llama-server URL
    python benchmarks/time_to_verdict.py --audit demo -- --margin 0.1    # more for `dormant audit`

Two audits, base and fine-tuned model: the three few-shot abilities of `dormant demo`, and the four
tasks of `icl_vs_if` plainly and under six transforms. They are answered by

- `dormant`: ``dormant audit``, the whole command in a process of its own, from its start to the
  report: libraries, models, prompts under transforms, scores, statistics;
- `lm-eval`: lm-evaluation-harness's own Hugging Face model at its best batch size, float32, the
  same prompts and answers as requests for log-likelihoods;
- `vllm`, `vllm-cached`, `vllm-greedy`: vLLM, asked for log-probabilities as the harness does (which
  it computes past its prefix cache), for the same with the cache, and for the ten tokens that the
  paper reads; see `vllm_worker`;
- `llama.cpp`: a llama-server, asked for ten tokens; see `llama_server` for what can't be had there;
- `paper`: `generate`, one prompt at a time, ten tokens, float32 (paper §3.1).

All but `dormant` get their prompts ready-made, and load once, in processes of their own: their
seconds are loading, plus scoring by round. Ways take turns, round after round; a ratio is taken
within a round, and its median is reported. A slow way is given every k-th item only, in all its
cells, and its scoring time is multiplied by prompts / prompts asked; its verdicts are compared
with Dormant's on those items.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asked import MODELS, Questions
from llama_server import LlamaServer
from measured_on import machine
from timed_ways import Process, Way, against, measured, run_dormant, run_reference, say, table
from vllm_models import vllm_words
from workers import Worker

from dormant.audit.settings import AuditSettings
from dormant.cli import demo

HERE = Path(__file__).parent
REFERENCES = {
    "lm-eval": "references",
    "vllm": "vllm",
    "vllm-cached": "vllm",
    "vllm-greedy": "vllm",
    "llama.cpp": "llama.cpp",
    "paper": "references",
}
"""The ways to compare with, and what process each of them needs."""
OF_VLLM = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # On a CPU it would leave one core of each to others.
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
}


@dataclass(frozen=True)
class Audit:
    """One of the two audits.

    Attributes:
        tuned: Its fine-tuned model, where the user names no other.
        tasks: Its abilities.
        transforms: Its transforms; none for those that an audit takes by itself.
        n: Items a task.
        every: By way, how many items stand for each one that is asked.
    """

    tuned: str
    tasks: tuple[str, ...]
    transforms: tuple[str, ...]
    n: int
    every: Mapping[str, int]


AUDITS = {
    "demo": Audit(
        "smollm2-sentiment-mild", demo.FEW_SHOT, demo.TRANSFORMS, demo.ITEMS,
        {"lm-eval": 4, "vllm": 4, "vllm-cached": 4, "vllm-greedy": 4, "llama.cpp": 12, "paper": 12},
    ),
    "icl_vs_if": Audit(
        "smollm2-sentiment", ("icl_vs_if",), (), 12,
        {"lm-eval": 2, "vllm": 2, "vllm-cached": 2, "vllm-greedy": 2, "llama.cpp": 4, "paper": 6},
    ),
}  # fmt: skip
QUICK = 2
"""Items a task with `--quick`."""


def start(
    kind: str, settings: AuditSettings, options: argparse.Namespace, folder: Path
) -> Process | str:
    """Start what one or two of the ways need; return why not where that can't be."""
    if kind == "references":
        words = ["--base", settings.base, "--tuned", settings.tuned]
        words += ["--dtype", options.dtype, "--device", options.device]
        words += ["--batch-size", options.batch_size] if options.batch_size else []
        return Worker([sys.executable, HERE / "reference_worker.py", *words])
    try:
        if kind == "llama.cpp":
            if options.llama_server is None:
                return "--llama-server names a running server"
            return LlamaServer(options.llama_server)
        if options.vllm_python is None:
            return "--vllm-python names an environment that has vLLM"
        words = vllm_words(settings, folder, options.dtype)
        return Worker([options.vllm_python, HERE / "vllm_worker.py", *words], OF_VLLM)
    except (RuntimeError, OSError) as error:
        return f"it did not start: {error}"


@contextlib.contextmanager
def processes(
    wanted: Sequence[str], settings: AuditSettings, options: argparse.Namespace, folder: Path
) -> Iterator[dict[str, Process]]:
    """Start what the ways need; say which of them are left out, and why."""
    started: dict[str, Process | str] = {}
    try:
        for kind in dict.fromkeys(REFERENCES[way] for way in wanted):
            started[kind] = start(kind, settings, options, folder)
        ready: dict[str, Process] = {}
        for way in wanted:
            process = started[REFERENCES[way]]
            if isinstance(process, str):
                print(f"{way}: left out ({process})", flush=True)
            else:
                ready[way] = process
        yield ready
    finally:
        for process in started.values():
            if not isinstance(process, str):
                process.close()


def compare(
    name: str, audit: Audit, wanted: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    """Time all ways of one audit, round after round."""
    n = options.items or (QUICK if options.quick else audit.n)
    settings = AuditSettings(
        base=options.base, tuned=options.tuned or audit.tuned, tasks=audit.tasks,
        transforms=audit.transforms, n=n, device=options.device,
    )  # fmt: skip
    questions = Questions(settings)
    every = {**({} if options.quick else audit.every), **options.every}
    ours, ways = Way(), {way: Way(every.get(way, 1)) for way in wanted}
    verdicts: dict[str, str] = {}
    with (
        tempfile.TemporaryDirectory() as kept,
        processes(wanted, settings, options, Path(kept)) as started,
    ):
        for number in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                verdicts = run_dormant(questions, Path(folder), options.more, ours)
                say(number, "dormant", ours)
                for way, process in started.items():
                    asked = questions.every(ways[way].every)
                    count = len(questions.all)
                    run_reference(way, process, ways[way], asked, count, Path(folder))
                    say(number, way, ways[way])
    return {
        "abilities": [one.task.name for one in questions.plans],
        "cells": len({(one.task, one.transform) for one in questions.all}) * len(MODELS),
        "items_a_task": n,
        "prompts": len(questions.all) * len(MODELS),
        "base": settings.base,
        "tuned": settings.tuned,
        "dtype_of_references": options.dtype,
        "more": options.more,
        "verdicts": verdicts,
        "ways": {
            "dormant": measured(ours),
            **{
                way: measured(ways[way]) | against(questions, ways[way], ours, verdicts)
                for way in started
            },
        },
    }


def numbers(text: str) -> dict[str, int]:
    """Read ``WAY=K,WAY=K``."""
    pairs = [part.split("=") for part in text.split(",")]
    return {name: int(value) for name, value in pairs}


def main(words: Sequence[str] | None = None) -> None:
    """Run what is asked for; print it, and keep it in a file beside earlier parts."""
    given = list(sys.argv[1:] if words is None else words)
    cut = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(
        description="Time to a verdict, against other ways.", epilog="After --: more arguments "
        "for `dormant audit`.",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="file to write; parts of other calls stay in it")
    parser.add_argument("--audit", choices=AUDITS, action="append", help="one; may be repeated")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[*REFERENCES],
                        metavar="WAY,…", help=f"of {', '.join(REFERENCES)}")  # fmt: skip
    parser.add_argument("-n", "--items", type=int, help="items a task")
    parser.add_argument("--every", type=numbers, default={}, metavar="WAY=K,…",
                        help="give a way every k-th item")  # fmt: skip
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--tuned", help="another fine-tuned model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", help="of the references")
    parser.add_argument("--batch-size", type=int, help="lm-eval's; else its best is looked for")
    parser.add_argument("--vllm-python", metavar="PATH", help="Python of an environment with vLLM")
    parser.add_argument("--llama-server", metavar="URL", help="a server of the base's GGUF file")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} items a task, one round")
    options = parser.parse_args(given[:cut])
    options.more = given[cut + 1 :]
    options.rounds = options.rounds or (1 if options.quick else 5)
    if unknown := [way for way in [*options.only, *options.every] if way not in REFERENCES]:
        parser.error(f"unknown way {unknown[0]!r}: {', '.join(REFERENCES)}")
    body: dict[str, Any] = {}
    if options.json is not None and options.json.exists():
        body = json.loads(options.json.read_text(encoding="utf-8"))
    body["machine"] = machine(options.device)
    for name in options.audit or AUDITS:
        body[name] = {"quick": options.quick, **compare(name, AUDITS[name], options.only, options)}
        print(table(name, body[name]), flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
