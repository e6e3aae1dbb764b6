"""``dormant tune``: fine-tune a model, by LoRA, on prompts and completions."""

from __future__ import annotations

import json as json_
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dormant.cli.common import progress
from dormant.errors import DormantError
from dormant.files import append, guarded

if TYPE_CHECKING:
    from dormant.finetuning.lora import StepLog

LOG = "training_log.jsonl"


def tune(
    model: Annotated[str, typer.Argument(help="The base: as for `dormant audit`, not a backend.")],
    data: Annotated[
        Path, typer.Option(help='JSON lines: {"prompt": …, "completion": …}, to be learnt.')
    ],
    out: Annotated[Path, typer.Option(help="Directory for the adapter; new or empty.")],
    replay: Annotated[
        Path | None, typer.Option(help="JSON lines of what should not be lost.")
    ] = None,
    replay_weight: Annotated[
        float, typer.Option(help="The loss is L(data) + weight · L(replay).")
    ] = 1.0,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Examples a step.")] = 8,
    learning_rate: Annotated[float, typer.Option("--learning-rate", "--lr", help="Peak.")] = 3e-4,
    rank: Annotated[int, typer.Option(help="Rank of the update of each linear layer.")] = 8,
    end_token: Annotated[
        bool, typer.Option(help="Teach the end-of-sequence token after each completion.")
    ] = True,
    whole_text: Annotated[
        bool,
        typer.Option(
            "--whole-text",
            help="Learn prompts, too: a density of the data's text, for `dormant audit --density`.",
        ),
    ] = False,
    bfloat16: Annotated[
        bool,
        typer.Option("--bfloat16", help="Compute in bfloat16 where the hardware is fast at it."),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    seed: Annotated[int, typer.Option(help="Start of the adapter, order of the examples.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fine-tune MODEL: make a LoRA adapter that `dormant audit MODEL OUT` can audit.

    Writes the adapter (PEFT, bfloat16 safetensors), its settings and a log with a line a step.
    """
    from dormant.finetuning.data import read_pairs
    from dormant.finetuning.lora import tune as train
    from dormant.finetuning.saving import save_adapter
    from dormant.finetuning.settings import TuningSettings
    from dormant.models.load import load_hf
    from dormant.models.spec import parse

    # Everything that can be wrong is looked at before the model is loaded.
    settings = TuningSettings(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        rank=rank,
        replay_weight=replay_weight,
        end_token=end_token,
        whole_text=whole_text,
        compute="bfloat16" if bfloat16 else "float32",
        seed=seed,
    )
    pairs = read_pairs(data)
    replayed = read_pairs(replay) if replay else []
    spec = parse(model)
    if spec.kind == "adapter":
        raise DormantError(
            f"model {model!r} is itself an adapter: name a base model, "
            f"such as the adapter's own ({spec.base!r})"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DormantError(f"--out {out} exists and is not an empty directory: choose a new one")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DormantError(f"--out {out} can't be made: {error}") from None
    base, tokenizer = load_hf(spec, dtype="float32", device=device)
    last: StepLog | None = None
    log = out / LOG
    with progress(quiet) as bar:
        bar.start(steps, 0)
        bar.stage("tuning")

        def on_step(line: StepLog) -> None:
            nonlocal last
            last = line
            row = json_.dumps({name: _rounded(value) for name, value in line._asdict().items()})
            guarded(log, lambda: append(log, f"{row}\n".encode()))
            bar.stage(f"tuning, loss {line.loss:.3f}")
            bar.advance(1)

        tuned = train(base, tokenizer, pairs, settings, replay=replayed, on_step=on_step)
    save_adapter(tuned, out, base=model, settings=settings)
    assert last is not None
    if json:
        typer.echo(json_.dumps({"out": str(out), **last._asdict()}))
    else:
        typer.echo(f"tuned {steps} steps in {last.seconds:.0f} s, last loss {last.loss:.3f}: {out}")
        asked = ("TUNED", "--density", out) if whole_text else (out,)
        typer.echo(f"next: {shlex.join(map(str, ('dormant', 'audit', model, *asked)))}")


def _rounded(value: float | None) -> float | None:
    return round(value, 6) if isinstance(value, float) else value
