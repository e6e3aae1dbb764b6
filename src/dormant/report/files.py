"""Write a report to disk, in any of its formats."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, TypeAlias, get_args

from dormant.errors import DormantError, unknown
from dormant.files import replacing
from dormant.results import AS_TRAINED, PLAIN, AuditResults, ItemOutcome, Verdict

Format: TypeAlias = Literal["html", "latex", "csv", "json", "junit", "markdown", "model-card"]
"""What a report can be written as."""

FORMATS: tuple[str, ...] = get_args(Format)

_DEFAULT_NAMES = {
    "html": "report.html",
    "latex": "report.tex",
    "csv": "report.csv",
    "json": "results.json",
    "junit": "junit.xml",
    "markdown": "report.md",
    "model-card": "model-card.md",
}


def usual_name(format: Format) -> str:
    """Return what a report's file is called where nobody says otherwise."""
    return _DEFAULT_NAMES[format]


def write_report(
    results: AuditResults,
    items: Iterable[ItemOutcome],
    out: Path,
    format: Format,
    fail_on: Collection[Verdict] = (),
) -> Path:
    """Write one audit's report.

    Args:
        results: What the audit found.
        items: The scored prompts, in any order; read once and never held in full. Used by "html"
            (a sample of them) and "csv" (all of them, in a second file beside the first, called
            ``<stem>-items.csv``); the others do not touch them.
        out: The file to write, or an existing directory, which gets ``report.html``,
            ``report.tex``, ``report.csv``, ``results.json``, ``junit.xml``, ``report.md`` or
            ``model-card.md``. Missing parents are made. A file of that name is replaced, in one
            step, only once the new one is complete.
        format: One of `FORMATS`.
        fail_on: Verdicts that are failures in "junit"; none means all that say of a loss.

    Returns:
        The path of the file written.

    Raises:
        DormantError: The format is unknown, or the file can't be written.
    """
    if format not in FORMATS:
        raise unknown("report format", format, FORMATS)
    path = out / _DEFAULT_NAMES[format] if out.is_dir() else out
    items = judged(results, items)
    # Each format's module is loaded only when asked for: a CSV needs no Jinja.
    if format == "html":
        from dormant.report.page import render_page

        page = render_page(results, items)
        with report_stream(path) as file:
            file.write(page)
    elif format == "latex":
        from dormant.report.tables import latex_tables

        with report_stream(path) as file:
            file.write(latex_tables(results))
    elif format == "csv":
        from dormant.report.tables import write_items_csv, write_transforms_csv

        with report_stream(path) as file:
            write_transforms_csv(results, file)
        with report_stream(path.with_name(f"{path.stem}-items.csv")) as file:
            write_items_csv(items, file)
    else:
        text = _text(results, format, fail_on)
        with report_stream(path) as file:
            file.write(text)
    return path


def _text(results: AuditResults, format: Format, fail_on: Collection[Verdict]) -> str:
    if format == "junit":
        from dormant.report.junit import junit

        return junit(results, fail_on)
    if format == "markdown":
        from dormant.report.markdown import summary_page

        return summary_page(results)
    if format == "model-card":
        from dormant.report.model_card import model_card

        return model_card(results)
    return results.to_json()


def judged(results: AuditResults, items: Iterable[ItemOutcome]) -> Iterator[ItemOutcome]:
    """Leave out prompts of cells that the results don't have: of a rung not asked for this time."""
    cells = {
        (ability.task, cell.name) for ability in results.abilities for cell in ability.transforms
    }
    for item in items:
        if item.transform in (PLAIN, AS_TRAINED) or (item.task, item.transform) in cells:
            yield item


@contextmanager
def report_stream(path: Path) -> Generator[IO[str], None, None]:
    """Open a text file that takes `path`'s place when the block ends without an error.

    Line endings are written as given (CSV brings its own).

    Args:
        path: The file to make or replace.

    Yields:
        A file open for writing, UTF-8.

    Raises:
        DormantError: The disk is full, the directory can't be written, and the like. What stood
            at `path` before is left as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise DormantError(
            f"can't write the report to {path}: {error.strerror or error}; "
            "free some space or choose another place with --out"
        ) from error
