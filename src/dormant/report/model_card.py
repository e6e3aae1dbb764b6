"""A snippet for a model card: what the Hub reads (``model-index``), and what people read.

The front matter follows https://github.com/huggingface/hub-docs/blob/main/modelcard.md, one result
an ability. Scalars are written as JSON, which YAML 1.2 contains: no library of YAML is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from dormant.report import formatting
from dormant.report.markdown import code, one_line, summary_lines
from dormant.results import AbilityResult, AuditResults, Estimate

HOME = "https://arxiv.org/abs/2309.10105"


def model_card(results: AuditResults) -> str:
    """Write YAML front matter with the ``model-index``, and a section of Markdown.

    Args:
        results: The audit. Models that lie in directories are called by the directory's name.

    Returns:
        A whole card, or what is to be put into one: the front matter's key into the card's front
        matter, the section below it.
    """
    base = None if results.base is None else _called(results.base)
    lines = ["---", "model-index:", f"- name: {_scalar(_called(results.tuned))}"]
    if results.abilities:
        lines.append("  results:")
        for ability in results.abilities:
            lines += _result(results, ability, base)
    else:
        lines.append("  results: []")
    of = "" if base is None else f" of {code(base)}"
    return "\n".join(
        [
            *lines,
            "---",
            "",
            f"## What fine-tuning{of} cost",
            "",
            f"Measured with Dormant {one_line(results.versions.get('dormant', ''))}: abilities of "
            "the base model, asked of both on the same items.",
            "",
            *summary_lines(results),
            "",
        ]
    )


def _result(results: AuditResults, ability: AbilityResult, base: str | None) -> Iterator[str]:
    yield "  - task:"
    yield "      type: text-generation"
    yield f"      name: {_scalar(ability.title or ability.task)}"
    yield "    dataset:"
    yield "      type: dormant"
    yield f"      name: {_scalar(f'Dormant: {ability.task}')}"
    yield f"      config: {_scalar(ability.task)}"
    known = ("seed", "shots", "demonstrations", "plain", "tuned_prompts", "margin")
    asked = {name: value for name in known if (value := results.settings.get(name)) is not None}
    yield from _mapping("      args", {"items": ability.n_items, **asked})
    yield "    metrics:"
    plain = ability.accuracy_intervals
    yield "    - type: accuracy"
    yield f"      name: {_scalar(f'Accuracy on {formatting.plain_prompts(results)}')}"
    yield f"      value: {_number(ability.accuracy.tuned_plain)}"
    if plain.tuned_plain is not None:
        yield from _mapping("      args", _bounds(plain.tuned_plain))
    if ability.drop is not None:
        yield "    - type: accuracy_drop"
        yield f"      name: {_scalar(f'Accuracy of {base} − accuracy of this model')}"
        yield f"      value: {_number(ability.drop.estimate)}"
        verdict = {"verdict": ability.verdict, "rung": ability.rung}
        yield from _mapping("      args", {**_bounds(ability.drop), **verdict})
    yield "    source:"
    yield '      name: "Dormant (conjugate prompting)"'
    yield f"      url: {HOME}"


def _bounds(estimate: Estimate) -> dict[str, object]:
    return {
        "low": round(estimate.low, 4),
        "high": round(estimate.high, 4),
        "level": estimate.level,
        "interval": estimate.method,
    }


def _mapping(key: str, values: Mapping[str, object]) -> Iterator[str]:
    yield f"{key}:"
    indent = " " * (2 + len(key) - len(key.lstrip()))
    for name, value in values.items():
        if value not in (None, ""):
            yield f"{indent}{name}: {_scalar(value)}"


def _number(value: float | None) -> str:
    return "null" if value is None else f"{value:.4f}"


def _scalar(value: object) -> str:
    return json.dumps(one_line(value) if isinstance(value, str) else value, ensure_ascii=False)


def _called(model: str) -> str:
    """Return a model's name without the place on disk where it lies."""
    path = Path(model)
    return path.name or model if path.is_absolute() or model.startswith((".", "~")) else model
