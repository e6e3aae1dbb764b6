"""Pages of audits that are under way: they ask their server for more, and show no verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

from dormant.report.page import asset, environment, inlined
from dormant.results import CellSoFar
from dormant.results.so_far import ChildSoFar, RunSoFar

_SILENT = 300.0
"""Seconds without an answer after which a reader is told that the audit may have been stopped."""
_Row: TypeAlias = "tuple[str, CellSoFar | None, CellSoFar | None]"


def render_so_far(run: RunSoFar) -> str:
    """Return the page of an audit that is under way, one HTML document.

    It asks the address that it came from for a newer one every two seconds; a content security
    policy allows that, its style and its script, and nothing else.

    Args:
        run: What its directory holds.
    """
    abilities: dict[str, dict[str, dict[str, CellSoFar]]] = {}
    for cell in run.cells:
        abilities.setdefault(cell.task, {}).setdefault(cell.transform, {})[cell.model] = cell

    def rows(by_name: dict[str, dict[str, CellSoFar]]) -> list[_Row]:
        return [(name, side.get("base"), side.get("tuned")) for name, side in by_name.items()]

    def counted(cell: CellSoFar) -> str:
        if not run.planned:
            return str(cell.done)
        most = "at most " if run.at_most and cell.done < cell.n else ""
        return f"{cell.done} of {most}{cell.n}"

    return _render(
        "so_far.html.jinja",
        {"counted": counted},
        run=run,
        abilities={task: rows(by_name) for task, by_name in abilities.items()},
        cells=len(run.cells),
        done=sum(cell.done == cell.n for cell in run.cells) if run.planned else 0,
        items=sum(cell.n for cell in run.cells),
        items_done=sum(cell.done for cell in run.cells),
        silent=run.seconds_ago is not None and run.seconds_ago > _SILENT,
    )


def render_children(name: str, children: Sequence[ChildSoFar]) -> str:
    """Return the page of several audits, before there is a timeline of them.

    Args:
        name: Of their directory.
        children: Each that was begun.
    """
    return _render(
        "so_far_children.html.jinja",
        {},
        name=name,
        children=children,
        finished=sum(child.finished for child in children),
        links={child.name: f"{quote(child.name)}/" for child in children},
    )


def _render(template: str, filters: dict[str, Any], **values: Any) -> str:
    own = environment().overlay()
    own.filters = {**environment().filters, **filters}
    return own.get_template(template).render(
        **inlined(style=asset("page.css") + asset("so_far.css"), script=asset("so_far.js")),
        **values,
    )
