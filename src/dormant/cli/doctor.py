"""``dormant doctor``: what works here, and what to install for the rest."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_MARKS = {True: "[green]✔[/]", False: "[red]✘[/]", None: "[dim]–[/]"}


def doctor() -> None:
    """Say what is installed and what of it works, and what to install for the rest.

    Things are tried; nothing is downloaded, and no server is asked. The exit code is 1 where
    something that is there does not work.
    """
    import typer

    from dormant.doctor import about, look

    console = Console()
    seen = about()
    console.print(" · ".join(f"{name} {value}" for name, value in seen.items()), style="dim")
    broken, part, table = 0, "", _table()
    for one in look():
        if one.part != part:
            if part:
                console.print(table)
            console.print(f"\n[bold]{one.part}[/]")
            part, table = one.part, _table()
        fix = f"  [dim]{escape(one.fix)}[/]" if one.fix else ""
        table.add_row(_MARKS[one.works], one.name, f"{escape(one.text)}{fix}")
        broken += one.works is False
    console.print(table)
    if broken:
        console.print(f"\nfailing: {broken}")
        raise typer.Exit(1)


def _table() -> Table:
    return Table(box=None, pad_edge=False, show_header=False)
