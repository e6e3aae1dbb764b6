"""``dormant lab``: regression in context, with exact answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from dormant.cli.common import progress, resumable, split
from dormant.errors import DormantError

app = typer.Typer(no_args_is_help=True, help="The laboratory: regression in context (paper §2).")

_CACHE = "Directory where runs share what they pretrain alike"

# Options that both commands have.
Preset: TypeAlias = Annotated[
    str, typer.Argument(help="A preset (`dormant list presets`), or a .toml file like one.")
]
Change: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="field=value, such as alpha=0.3 or finetuning.steps=200; repeat for more.",
    ),
]
Device: TypeAlias = Annotated[str, typer.Option(help="auto, cpu, cuda, …")]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


@app.command()
def run(
    preset: Preset,
    change: Change = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, by commas [default: the preset's].")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run directory; resumed if it holds this run [default: runs/lab-PRESET]."
        ),
    ] = None,
    cache: Annotated[Path | None, typer.Option(help=f"{_CACHE}.")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="Print results.json, not a table.")] = False,
) -> None:
    """Pretrain on D_mix, fine-tune on D_disc, conjugate; print losses and write the figures.

    A run that was stopped goes on when the same command is given again.
    """
    _needed()
    from dormant.regression import lab, settings
    from dormant.regression.rundir import LabRun

    wanted = settings.load(preset, [*(change or ()), *_seeds(seeds)])
    directory = out or Path("runs") / f"lab-{wanted.preset}"
    with resumable(directory, "done"), progress(quiet or json) as bar:
        results = lab.run(wanted, directory, device=device, progress=bar, cache=cache)
    if results is None:  # another process prints
        return
    from rich.console import Console

    from dormant.regression.evaluation import conjugated_name
    from dormant.regression.figures import write_figures
    from dormant.regression.records import mean_estimate, net_share
    from dormant.regression.summary import print_summary

    finished = LabRun(directory)
    figures = write_figures(finished)
    if json:
        typer.echo(results.to_json(), nl=False)
        return
    key = f"cont/{conjugated_name('optimum', results.gamma)}"
    measured = finished.all_errors()
    floor = mean_estimate([one[key].mean(1) for one in measured])
    print_summary(results, floor, net_share(measured, results.gamma), Console(), figures)


@app.command()
def sweep(
    preset: Preset,
    over: Annotated[
        list[str],
        typer.Option(
            help="field=value,value,… to vary; repeat for more fields: every combination is run."
        ),
    ],
    change: Change = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds of every run, by commas [default: the preset's].")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Directory; a sweep there is resumed [default: runs/sweep-PRESET]."),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="local: processes of this machine; ray: a Ray cluster.")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(help="Runs at once [default: processors / threads].", min=1)
    ] = None,
    threads: Annotated[int, typer.Option(help="Processors a run uses.", min=1)] = 1,
    cache: Annotated[Path | None, typer.Option(help=f"{_CACHE} [default: in OUT].")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="Print rows as JSON lines.")] = False,
) -> None:
    """Run a preset for every combination of some fields' values: one row a run in one table.

    A sweep that was stopped goes on when the same command is given again.
    """
    _needed()
    import json as json_

    from dormant.clusters import known_backend
    from dormant.regression import settings
    from dormant.regression.sweep import TABLE, values_of
    from dormant.regression.sweep import sweep as run_sweep

    where = known_backend(backend)
    wanted = settings.load(preset, [*(change or ()), *_seeds(seeds)])
    directory = out or Path("runs") / f"sweep-{wanted.preset}"
    varied = dict(values_of(text) for text in over)
    if len(varied) < len(over):
        raise DormantError("a field is swept twice: give all its values at once")
    with resumable(directory, "done"), progress(quiet or json) as bar:
        rows = run_sweep(
            wanted, varied, directory, backend=where, workers=workers, threads=threads,
            device=device, cache=cache, progress=bar,
        )  # fmt: skip
    if json:
        for row in rows:
            typer.echo(json_.dumps(row))
    else:
        from rich.console import Console

        from dormant.regression.summary import print_sweep

        print_sweep(rows, list(varied), Console(), directory / TABLE)
    if all(row["error"] for row in rows):
        raise DormantError(f"no run of the sweep finished; the first: {rows[0]['error']}")


def _seeds(text: str | None) -> list[str]:
    if text is None:
        return []
    parts = split([text])
    if not parts or not all(part.isdecimal() for part in parts):
        raise DormantError(f"--seeds {text!r}: give whole numbers, such as 0,1,2")
    return [f"seeds=[{','.join(parts)}]"]


def _needed() -> None:
    """Say what to install, before anything is begun."""
    import importlib.util

    for name in ("torch", "safetensors", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise DormantError(f"the laboratory needs {name}: pip install 'dormant[lab]'")
