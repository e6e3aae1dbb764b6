"""A laboratory run on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dormant.regression.records import LabResults, PriorLosses
from dormant.results import Estimate


def print_summary(
    results: LabResults,
    floor: Estimate,
    net: Estimate | None,
    console: Console,
    figures: Sequence[Path] = (),
) -> None:
    """Print losses against each optimum, what was lost, and what conjugation won back.

    Args:
        results: The run's.
        floor: Loss on D_cont of the pretraining prior's exact predictor under s.
        net: Share won back by difference in differences, if there is one.
        console: Where to.
        figures: Images to name.
    """
    losses = results.losses
    seeds = ", ".join(str(seed) for seed in results.seeds)
    console.print(f"[bold]{results.preset}[/bold] · seed {seeds} · {results.wall_seconds:.0f} s")
    table = Table(box=None, pad_edge=False)
    table.add_column("loss (labels²)", no_wrap=True)
    for name in ("D_cont", "to ridge", "D_disc", "to discrete"):
        table.add_column(name, justify="right", no_wrap=True)
    rows: tuple[tuple[str, PriorLosses], ...] = (
        ("pretrained", losses.pretrained),
        ("fine-tuned on D_disc", losses.finetuned),
        (f"fine-tuned + s (γ = {results.gamma:g})", losses.finetuned_conjugated),
        ("ridge: optimum, D_cont", losses.ridge),
        ("discrete: optimum, D_disc", losses.discrete),
    )
    for name, pair in rows:
        table.add_row(
            name,
            _interval(pair.cont),
            f"{pair.cont.estimate / losses.ridge.cont.estimate - 1:+.0%}",
            _interval(pair.disc),
            f"{pair.disc.estimate / losses.discrete.disc.estimate - 1:+.0%}",
        )
    table.add_row("pretraining optimum + s", _interval(floor), "", "", "")
    console.print(table)
    share = results.recovered_share
    if share is None:
        console.print("The loss on D_cont did not rise beyond its interval: nothing to recover.")
    else:
        console.print(
            f"Of what fine-tuning lost on D_cont, s wins back [bold]{share.estimate:.0%}[/bold] "
            f"({share.low:.0%} to {share.high:.0%})."
        )
    if net is not None:
        console.print(
            f"Beyond what s does for the pretrained model: {net.estimate:.0%} "
            f"({net.low:.0%} to {net.high:.0%})."
        )
    console.print(
        f"95 % intervals: {losses.pretrained.cont.method.replace('-', ' ')}.", style="dim"
    )
    for figure in figures:
        console.print(str(figure), soft_wrap=True, highlight=False)


def print_sweep(
    rows: Sequence[Mapping[str, float | str]], fields: Sequence[str], console: Console, path: Path
) -> None:
    """Print the rows of a sweep, in short; the file has every column.

    Args:
        rows: What `sweep` returned.
        fields: The fields that were varied.
        console: Where to.
        path: The table's file, to be named.
    """
    table = Table(box=None, pad_edge=False)
    columns = {
        "pretrained_cont": "pretrained, D_cont",
        "finetuned_cont": "fine-tuned",
        "finetuned_conjugated_cont": "+ s",
        "recovered_share": "won back",
        "finetuned_disc": "fine-tuned, D_disc",
    }
    for name in (*fields, *columns.values()):
        table.add_column(name, justify="right")
    for row in rows:
        if row["error"]:
            table.add_row(*(str(row[name]) for name in fields), f"[red]{row['error']}[/red]")
            continue
        cells = [f"{row[name]:.3f}" if row[name] != "" else "–" for name in columns]
        table.add_row(*(str(row[name]) for name in fields), *cells)
    console.print(table)
    console.print(str(path), soft_wrap=True, highlight=False)


def _interval(estimate: Estimate) -> str:
    # Student's t intervals are symmetric.
    return f"{estimate.estimate:.3f} ± {estimate.high - estimate.estimate:.3f}"
