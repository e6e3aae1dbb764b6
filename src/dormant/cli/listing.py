"""``dormant list``: what there is to name."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table


def list_(
    what: Annotated[
        Literal["tasks", "transforms", "models", "presets"], typer.Argument(help="What to list.")
    ],
) -> None:
    """List tasks, transforms, models or the laboratory's presets by name."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text in _rows(what):
        table.add_row(name, text)
    Console().print(table)


def _rows(what: str) -> list[tuple[str, str]]:
    if what == "tasks":
        from dormant import tasks

        return [
            (task.name, f"{task.title} · {len(task.pool())} items · {', '.join(task.languages())}")
            for task in tasks.get(tasks.names())
        ]
    if what == "transforms":
        return _transforms()
    if what == "presets":
        from dormant.regression import settings

        return [(name, settings.load(name).summary) for name in settings.names()]
    from dormant.models.spec import SHIPPED

    return [
        *SHIPPED.items(),
        ("ORG/NAME", "a model on the Hugging Face hub"),
        ("DIRECTORY", "a saved checkpoint, or a PEFT adapter"),
        ("FILE.gguf", "a GGUF checkpoint, dequantised"),
        ("BACKEND:ARGS", "any backend of lm-evaluation-harness, e.g. vllm:pretrained=…"),
    ]


def _transforms() -> list[tuple[str, str]]:
    from dormant import transforms, translation
    from dormant.transforms.probes import PROBES

    after = transforms.families()
    rows = [
        (f"{name}[:…]", f"{transforms.get(name).summary} (after the colon: {after[name]})")
        if name in after
        else (name, transforms.get(name).summary)
        for name in transforms.names()
    ]
    for engine, languages in translation.installed().items():
        rows += [(f"{language}@{engine}", f"translated by {engine}") for language in languages]
    rows += [
        ("LANGUAGE", "the task's own text, else the best of the installed translators"),
        ("LANGUAGE@ENGINE", f"translated by {', '.join(translation.engines.names())}"),
        ("A+B", "A, then B; undone in reverse order"),
    ]
    return rows + [(name, f"{probe.summary} (audits only)") for name, probe in PROBES.items()]
