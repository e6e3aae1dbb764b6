"""Logs of several models fine-tuned from one base: a comparison each, and a timeline."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dormant.errors import DormantError
from dormant.integrations.logs.comparison import called, compare
from dormant.integrations.logs.identity import base_of, models_of, refuse_same_weights
from dormant.integrations.logs.scored_log import Log
from dormant.models.weights import ADAPTERS
from dormant.names import in_file_names
from dormant.results import AuditResults
from dormant.results.timeline import ChildRun, Timeline
from dormant.statistics import MARGIN
from dormant.statistics.timeline import courses, keep

_ADAPTER = re.compile(rf"(?:^|,)(?:{'|'.join(ADAPTERS)})=([^,]+)")
_STEP = re.compile(r"(?:^|/)checkpoint-(\d+)/?$")


@dataclass(frozen=True)
class Compared:
    """What came of logs of several models.

    Attributes:
        timeline: All of them.
        found: Each that could be compared, by its name in the timeline.
        logs: The logs of it and of the base, likewise.
    """

    timeline: Timeline
    found: Mapping[str, AuditResults]
    logs: Mapping[str, Sequence[Log]]


def compare_children(
    logs: Sequence[Log],
    base: str | None = None,
    margin: float = MARGIN,
    allow_identical: bool = False,
) -> Compared:
    """Compare each of several fine-tuned models with their base.

    A model that can't be compared is named in the timeline, with the reason, and the others go on.

    Args:
        logs: Evaluations of a base model and of several others, plain, and under transforms if
            there are any.
        base: The base model's name in the logs; by default the model that others are adapters on,
            or the first log's.
        margin: Drop, as a fraction, that counts as one.
        allow_identical: Go on where two models are the same weights, as far as logs say.

    Returns:
        The comparisons. Where all models are called ``checkpoint-STEP``, by step; else in the order
        of the logs.

    Raises:
        DormantError: No log is of `base`, two models are the same weights, or none can be compared.
    """
    names = models_of(logs)
    first = (base_of(logs) or names[0]) if base is None else called(base, names)
    others = [name for name in names if name != first]
    steps = {name: _step(name, logs) for name in others}
    if all(step is not None for step in steps.values()):
        others.sort(key=lambda name: steps[name] or 0)
    labels = _labels(others, logs)
    found: dict[str, AuditResults] = {}
    problems: dict[str, str] = {}
    of_each: dict[str, Sequence[Log]] = {}
    # Of two that are one, either may be meant: nothing goes on.
    if not allow_identical:
        refuse_same_weights(logs)
    for name in others:
        label = labels[name]
        of_each[label] = [log for log in logs if log.name in (first, name)]
        try:
            found[label] = compare(of_each[label], first, margin, allow_identical)
        except DormantError as error:
            problems[label] = str(error)
    if not found:
        label, why = next(iter(problems.items()))
        raise DormantError(f"no model could be compared with {first}; {label}: {why}")
    children = [
        ChildRun(
            name=labels[name],
            model=name,
            step=steps[name],
            problem=problems.get(labels[name], ""),
        )
        for name in others
    ]
    chosen, reason = _keep(children, found)
    timeline = Timeline(
        base=first,
        settings={"from": [str(log.source) for log in logs], "margin": margin},
        versions={name: text for log in reversed(logs) for name, text in log.versions.items()},
        children=children,
        courses=courses(children, found),
        keep=chosen,
        keep_reason=reason,
    )
    return Compared(timeline, found, of_each)


def _keep(
    children: Sequence[ChildRun], found: Mapping[str, AuditResults]
) -> tuple[str | None, str]:
    """Choose the child to keep, where verdicts can tell a loss."""
    if not any(ability.transforms for one in found.values() for ability in one.abilities):
        return None, (
            "No model was evaluated under a transform: drops are measured, and no verdict says "
            "whether an ability is suppressed or lost."
        )
    chosen, reason = keep(children, found)
    # An audit's option; logs don't say which of them is of the skill.
    return chosen, reason.replace(" (--skill)", "")


def _place(name: str, logs: Sequence[Log]) -> str:
    """Return where a model is, as far as its name goes: its adapter's place, or its own."""
    if match := _ADAPTER.search(name):
        return match[1]
    for log in logs:
        if log.name == name and log.weights and log.weights.adapter_name:
            return log.weights.adapter_name
    return name.split(",")[0]


def _step(name: str, logs: Sequence[Log]) -> int | None:
    match = _STEP.search(_place(name, logs))
    return int(match[1]) if match else None


def _labels(names: Sequence[str], logs: Sequence[Log]) -> dict[str, str]:
    """Give each model a name that a directory may have: the shortest that tells all apart."""
    ways: list[Callable[[str], str]] = [
        lambda name: _place(name, logs).rstrip("/").rpartition("/")[2],
        lambda name: _place(name, logs),
        lambda name: name,
    ]
    for way in ways:
        labels = {name: in_file_names(way(name)) for name in names}
        if all(labels.values()) and len({*labels.values()}) == len(names):
            return labels
    return {name: f"model-{number}" for number, name in enumerate(names, start=1)}
