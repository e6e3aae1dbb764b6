"""What a notebook shows of an audit: the verdicts as a table."""

from __future__ import annotations

from dormant.report import formatting, pairing
from dormant.report.page import environment
from dormant.results import AuditResults


def render_table(results: AuditResults) -> str:
    """Return the verdicts as an HTML fragment, with no script and nothing from elsewhere.

    Args:
        results: What the audit found; every text in it is escaped.
    """
    return (
        environment()
        .get_template("notebook.html.jinja")
        .render(
            results=results,
            abilities=formatting.by_severity(results),
            level=formatting.level(results),
            effect=pairing.effect(results),
        )
    )
