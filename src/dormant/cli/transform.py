"""``dormant transform``: try a transform, undo it, measure its fidelity."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dormant.cli.common import errors, given_text, tell_engines
from dormant.errors import DormantError

if TYPE_CHECKING:
    from dormant.prompts.text_transform import TextTransform
    from dormant.transforms.fidelity import Fidelity, Summary

_EXAMPLES = 5


def transform(
    name: Annotated[
        str,
        typer.Argument(help="leetspeak, spanish, spanish@apertium, spanish+leetspeak, …"),
    ],
    text: Annotated[
        str | None, typer.Argument(help="The text; `-` or nothing reads standard input.")
    ] = None,
    invert: Annotated[bool, typer.Option("--invert", help="Undo the transform.")] = False,
    check: Annotated[
        Path | None,
        typer.Option(help="Measure the round trip of every line of this file instead."),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(help="Leave numbers, URLs, code, tags and placeholders as they are."),
    ] = False,
    min_chrf: Annotated[
        float, typer.Option(help="With --check: least round-trip chrF.", min=0, max=100)
    ] = 40.0,
    as_json: Annotated[bool, typer.Option("--json", help="With --check: print JSON.")] = False,
) -> None:
    """Print s(TEXT), or s⁻¹(TEXT) with --invert; or measure s⁻¹(s(line)) with --check FILE."""
    from dormant import transforms
    from dormant.prompts.conjugate import Undo, conjugate
    from dormant.prompts.layout import cut, text_of
    from dormant.prompts.protect import find
    from dormant.transforms.fidelity import Gate, measure, summarise

    chosen = transforms.get(name)
    if check is not None:
        if text is not None or invert:
            raise DormantError("--check takes its text from the file: leave out TEXT and --invert")
        lines = _lines(check)
        with errors.status(f"{len(lines)} lines there and back"):
            protected = [find(line) if keep else () for line in lines]
            results = measure(chosen, lines, protected, Gate(chrf=min_chrf))
        _report(chosen, summarise(results), results, as_json)
        return
    tell_engines([chosen])
    given = given_text(text)
    if invert:
        # What was protected is not known: what looks like it is left alone.
        protected = dict.fromkeys(given[a:b] for a, b in find(given)) if keep else ()
        result = Undo(chosen, tuple(protected))(given)
    else:
        result = text_of(conjugate(chosen, cut(given), keep).segments)
    typer.echo(result)


def _lines(path: Path) -> list[str]:
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DormantError(f"{path}: can't be read as UTF-8 text ({error})") from error
    if not lines:
        raise DormantError(f"{path}: it has no line to check")
    return lines


def _report(
    chosen: TextTransform, summary: Summary, results: list[Fidelity], as_json: bool
) -> None:
    if as_json:
        body = {"transform": chosen.name, "signature": chosen.signature, **asdict(summary)}
        typer.echo(json.dumps(body | {"lines": [asdict(one) for one in results]}, indent=1))
        return
    console = Console()
    console.print(Text(f"{chosen.name}  ({chosen.signature})", style="bold"))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("lines", str(summary.count))
    table.add_row("passed the gate", f"{summary.passed} ({summary.passed / summary.count:.0%})")
    table.add_row("round-trip chrF, mean", f"{summary.chrf:.1f} of 100")
    table.add_row("came back identical", f"{summary.identical:.0%}")
    if summary.kept < 1:
        table.add_row("protected spans intact", f"{summary.kept:.0%}")
    if summary.languages:
        named = ", ".join(f"{n} × {code}" for code, n in summary.languages.items())
        table.add_row("identified as", f"{named}, of {summary.count}")
    for reason, count in summary.reasons.items():
        table.add_row("left out", f"{count} × {reason}")
    console.print(table)
    for one in sorted(results, key=lambda one: one.chrf)[:_EXAMPLES]:
        if one.restored == one.text:
            break
        console.print(Text(f"\n{one.chrf:5.1f}  {one.text}", style="dim"))
        console.print(Text(f"       {one.changed if one.changed is not None else '—'}"))
        console.print(Text(f"       {one.restored if one.restored is not None else one.error}"))
