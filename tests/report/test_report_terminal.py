"""The report in a terminal."""

import io
from pathlib import Path

import pytest
from report_fixtures import demonstration, two_cells
from rich.console import Console

from dormant.report import print_report
from dormant.results import AuditResults


def _printed(results: AuditResults, *, width: int = 80, page: Path | None = None) -> str:
    file = io.StringIO()
    print_report(results, Console(file=file, width=width, color_system=None), page)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("results", [demonstration(), two_cells()], ids=["four", "two"])
def test_it_fits(results: AuditResults, width: int) -> None:
    lines = _printed(results, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines), "nothing is cut"


def test_verdicts_first_then_figures_then_what_to_be_wary_of() -> None:
    page = Path("a-long-folder-name/" * 6) / "report.html"
    text = _printed(demonstration(), page=page)
    parts = [
        "4 abilities: 1 lost, 1 suppressed",
        "○ lost  icl/capital",
        "◐ suppressed  icl/copy",
        "? inconclusive  icl/plural",
        "✔ retained  icl/antonym",
        "Ability ",
        "Failed controls",
        "- pig-latin on icl/antonym: the base keeps 12%",
        "! hungarian: 4 of 120 items",
        f"Report: {page}",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_the_figures() -> None:
    lines = _printed(demonstration()).splitlines()
    row = next(index for index, line in enumerate(lines) if line.startswith("◐ icl/copy"))
    assert lines[row].split() == ["◐", "icl/copy", "90%", "18%", "+72", "french", "+70", "+65"]
    assert lines[row + 1].split("]")[0].strip() == "[+63, +81"


def test_names_are_not_markup() -> None:
    results = demonstration()
    ability = results.abilities[0].model_copy(update={"task": "[red]x[/red]", "reason": "[/]"})
    text = _printed(results.model_copy(update={"abilities": [ability], "warnings": ["[bold]w"]}))
    assert "[red]x[/red]" in text
    assert "[bold]w" in text


def test_ascii_terminals() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    print_report(demonstration(), Console(file=file, width=80), Path("r.html"))
    file.flush()
    assert b"o suppressed  icl/copy" in raw.getvalue()
    assert b"0 lost  icl/capital" in raw.getvalue()


def test_colour_follows_the_verdict() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system="standard")
    print_report(demonstration(), console)
    assert "\x1b[1;32mretained" in file.getvalue()
    forgotten = demonstration().abilities[3].model_copy(update={"verdict": "forgotten"})
    print_report(demonstration().model_copy(update={"abilities": [forgotten]}), console)
    assert "\x1b[1;31mforgotten" in file.getvalue()
