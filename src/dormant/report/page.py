"""The HTML report: one file that works offline and asks nothing of any network."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from functools import cache, partial
from hashlib import sha256
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from dormant.report import cells, closeness, formatting, pairing, training
from dormant.report.flips import flips_of
from dormant.report.sample import DEFAULT_BYTES, ItemSample, sample_items
from dormant.results import AS_TRAINED, AuditResults, ItemOutcome

_PACKAGE, _TEMPLATES = "dormant.report", "templates"


def render_page(
    results: AuditResults, items: Iterable[ItemOutcome], *, item_bytes: int = DEFAULT_BYTES
) -> str:
    """Return the report as one HTML document.

    Style, script and data are inline; a content security policy names the script and the style
    by their hashes and forbids everything else, so that nothing in a prompt can act.

    Args:
        results: What the audit found.
        items: The scored prompts, in any order; read once. A sample of them is embedded, and the
            page says how many of how many.
        item_bytes: Room for that sample, in bytes of text.

    Returns:
        The document's text, to be saved as UTF-8.
    """
    tasks = [ability.task for ability in results.abilities]
    if results.skill is not None and results.skill.task not in tasks:
        tasks.append(results.skill.task)
    sample = sample_items(items, tasks, item_bytes)
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            results=results,
            abilities=formatting.by_severity(results),
            failed=[
                (ability, transform)
                for ability in formatting.by_severity(results)
                for transform in ability.transforms
                if formatting.control(transform) == "failed"
            ],
            margin=formatting.margin_points(results),
            level=formatting.level(results),
            kinds=cells.kinds(results),
            has_log_odds=any(
                transform.log_odds_gain is not None
                for ability in results.abilities
                for transform in ability.transforms
            ),
            effect=pairing.effect(results),
            pair_rows=pairing.rows(results),
            pair_tokens=_tokens(results),
            alike=pairing.alike(results),
            **inlined(style=asset("page.css"), script=asset("page.js")),
            sample=sample,
            flips=flips_of(results, sample),
            closeness=[(closeness.title(one), closeness.panels(one)) for one in results.closeness],
            closeness_size=(closeness.WIDTH, closeness.HEIGHT),
            data=_embedded(results, sample),
        )
    )


def _tokens(results: AuditResults) -> list[tuple[str, list[tuple[int, str]]]]:
    facts = results.comparability
    sides = [] if facts is None else [("base", facts.base), ("fine-tuned", facts.tuned)]
    return [(name, tokens) for name, side in sides if (tokens := pairing.tokens(side))]


def _embedded(results: AuditResults, sample: ItemSample) -> Markup:
    """The data of the item view as JSON in which no markup can begin or end."""
    known = {ability.task for ability in results.abilities}
    data = {
        "hasBase": results.base is not None,
        "abilities": [
            {
                "task": ability.task,
                "best": ability.best_transform,
                "transforms": [
                    *([AS_TRAINED] if ability.as_trained is not None else []),
                    *(transform.name for transform in ability.transforms),
                ],
            }
            for ability in results.abilities
        ]
        + [
            {"task": task, "best": None, "transforms": []}
            for task in sample.shown
            if task not in known
        ],
        "items": sample.items,
    }
    compact = partial(json.dumps, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return htmlsafe_json_dumps(data, dumps=compact)


@cache
def asset(name: str) -> str:
    """Return a file of the templates'."""
    return resources.files(_PACKAGE).joinpath(_TEMPLATES, name).read_text("utf-8")


def inlined(**sources: str) -> dict[str, str]:
    """Return what a template writes of a style or script, and its hash for the page's policy."""
    values: dict[str, str] = {}
    for name, text in sources.items():
        digest = base64.b64encode(sha256(text.encode()).digest()).decode()
        values |= {name: Markup(text), f"{name}_hash": f"sha256-{digest}"}
    return values


@cache
def environment() -> Environment:
    """The templates, in which numbers are written as in every other format."""
    environment = Environment(
        loader=PackageLoader(_PACKAGE, _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = environment.filters
    filters |= {
        "advice": formatting.advice,
        "flips_line": training.flips_line,
        "hijack_line": training.hijack_line,
        "skill_figures": training.skill_figures,
        "skill_mark": training.SKILL_MARKS.__getitem__,
        "best": cells.best,
        "chosen": cells.chosen,
        "where": cells.where,
        "control": formatting.control,
        "duration": formatting.duration,
        "grouped": formatting.grouped,
        "looked": formatting.looked,
        "mark": formatting.MARKS.__getitem__,
        "meaning": formatting.meaning,
        "nats": formatting.nats,
        "nats_interval": formatting.nats_interval,
        "p_value": formatting.p_value,
        "percent": formatting.percent,
        "percent_interval": formatting.percent_interval,
        "points": formatting.points,
        "points_interval": formatting.points_interval,
        "position": _position,
        "setting": _setting,
        "summary": formatting.summary,
    }
    return environment


def _position(fraction: float) -> str:
    """Where a fraction stands on an axis from 0 to 1, as an SVG length."""
    return f"{100 * min(max(fraction, 0.0), 1.0):.2f}%"


def _setting(value: Any) -> str:
    """A setting as people write it: text as it is, a dash for none, all else as JSON."""
    if value in (None, "", [], (), {}):
        return formatting.DASH
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False, default=str)
