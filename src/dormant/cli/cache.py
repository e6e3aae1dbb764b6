"""``dormant cache``: checkpoints that are kept converted."""

from __future__ import annotations

import time
from typing import Annotated

import typer

app = typer.Typer(
    name="cache",
    help="Checkpoints that are kept converted, so that they load in seconds the next time.",
    no_args_is_help=True,
)


@app.command(name="list")
def list_() -> None:
    """List what is kept converted: name, size, when last used, and the file that it came from."""
    from dormant.models import converted
    from dormant.models.size import gigabytes

    place = converted.folder()
    if place is None:
        typer.echo(f"nothing is kept ({converted.CAP_VARIABLE}=0, or no cache is wanted)")
        return
    kept = converted.entries()
    rows = [
        (
            entry.name,
            entry.dtype,
            gigabytes(entry.bytes),
            f"used {_age(time.time() - entry.used)} ago",
            entry.source if entry.source != entry.name else "",
        )
        for entry in kept
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        # Paths are long: a table would cut them.
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
    total = sum(entry.bytes for entry in kept)
    typer.echo(f"{gigabytes(total)} of at most {gigabytes(converted.cap())} in {place}")


@app.command()
def clear(
    name: Annotated[
        str | None, typer.Argument(help="What `dormant cache list` calls it [default: all].")
    ] = None,
) -> None:
    """Remove what is kept converted; it is converted again when it is next loaded."""
    from dormant.errors import unknown
    from dormant.models import converted
    from dormant.models.size import gigabytes

    kept = converted.entries()
    chosen = [entry for entry in kept if name in (entry.name, entry.source)]
    if name is not None and not chosen:
        raise unknown("kept checkpoint", name, {entry.name for entry in kept})
    free = converted.clear(None if name is None else chosen)
    typer.echo(f"{gigabytes(free)} set free")


def _age(seconds: float) -> str:
    """Write a time for people: "3 days"."""
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "a moment"
