"""Writing reports to disk."""

import csv
from pathlib import Path
from typing import Any

import pytest
from report_fixtures import demonstration, outcomes

from dormant.errors import DormantError
from dormant.report import FORMATS, write_report
from dormant.report.files import report_stream
from dormant.results import AuditResults


def test_formats() -> None:
    assert FORMATS == ("html", "latex", "csv", "json", "junit", "markdown", "model-card")


@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("html", "report.html"),
        ("latex", "report.tex"),
        ("csv", "report.csv"),
        ("json", "results.json"),
        ("junit", "junit.xml"),
        ("markdown", "report.md"),
        ("model-card", "model-card.md"),
    ],
)
def test_a_directory_gets_the_usual_name(tmp_path: Path, format: Any, name: str) -> None:
    path = write_report(demonstration(), outcomes(2), tmp_path, format)
    assert path == tmp_path / name
    assert path.stat().st_size > 1000
    expected = {name, "report-items.csv"} if format == "csv" else {name}
    assert {file.name for file in tmp_path.iterdir()} == expected


def test_json_is_results_json(tmp_path: Path) -> None:
    path = write_report(demonstration(), [], tmp_path / "new" / "folder" / "r.json", "json")
    assert AuditResults.model_validate_json(path.read_text("utf-8")) == demonstration()


def test_csv_brings_the_items(tmp_path: Path) -> None:
    write_report(demonstration(), outcomes(9), tmp_path / "t.csv", "csv")
    with (tmp_path / "t-items.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["prompt"] for row in rows] == [outcome.prompt for outcome in outcomes(9)]


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(DormantError, match="unknown report format 'htm': did you mean 'html'"):
        write_report(demonstration(), [], tmp_path, "htm")  # type: ignore[arg-type]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DormantError, match=r"can't write the report to .*report.html"):
        write_report(demonstration(), [], tmp_path / "file" / "report.html", "html")


def _write_half(path: Path, error: BaseException) -> None:
    with report_stream(path) as file:
        file.write("half of the new")
        raise error


def test_a_full_disk_leaves_the_old_report(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text("old")
    with pytest.raises(DormantError, match="No space left"):
        _write_half(path, OSError(28, "No space left on device"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_leaves_the_old_report(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _write_half(path, KeyboardInterrupt())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_reports_are_ordinary_files(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    path = write_report(demonstration(), [], tmp_path, "latex")
    assert path.stat().st_mode == ordinary.stat().st_mode
