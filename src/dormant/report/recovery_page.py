"""A recovery's HTML page: one file that works offline and asks nothing of any network."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from dormant.report.files import report_stream
from dormant.report.front import HEIGHT, WIDTH, front_of
from dormant.report.page import asset, environment, inlined
from dormant.report.recovered import KEPT, percent, settings, skill_value
from dormant.results import Estimate
from dormant.results.recovery import RecoveryResults, SkillChange

RECIPE = "retune"
"""The treatment that says how tuning should have been done."""


def write_recovery(results: RecoveryResults, path: Path) -> Path:
    """Write a recovery's page.

    Args:
        results: What it found.
        path: The file, which is replaced once the new one is complete.

    Returns:
        The path.

    Raises:
        DormantError: The file can't be written.
    """
    page = render_recovery(results)
    with report_stream(path) as file:
        file.write(page)
    return path


def render_recovery(results: RecoveryResults) -> str:
    """Return the page as one HTML document, to be saved as UTF-8.

    Style is inline; a content security policy names it by its hash and forbids all else.
    """
    return (
        _environment()
        .get_template("recovery.html.jinja")
        .render(
            results=results,
            outcome=results.outcome.capitalize(),
            front=front_of(results),
            width=WIDTH,
            height=HEIGHT,
            treated=any(one.base_treated is not None for one in results.abilities),
            recipes=[one for one in results.candidates if one.treatment == RECIPE],
            kept=KEPT,
            **inlined(style=asset("page.css") + asset("recovery.css")),
        )
    )


@cache
def _environment() -> Environment:
    ours: Any = environment().overlay()
    ours.filters = {
        **environment().filters,
        "part": percent,
        "skill": skill_value,
        "loss": _loss,
        "settings": settings,
    }
    return ours


def _loss(estimate: Estimate, skill: SkillChange | None) -> str:
    return percent(estimate) if skill is None else skill_value(estimate, skill)
