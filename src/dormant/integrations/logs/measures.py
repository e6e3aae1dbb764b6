"""From a metric's values to successes: which way is better, what counts, and what is lost."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from dormant.errors import DormantError, unknown

_HIGHER = (
    *("acc", "acc_norm", "acc_mutual_info", "acc_bytes", "acc_all", "accuracy", "exact_match"),
    *("em", "pass@1", "mc1", "mc2", "f1", "mcc", "likelihood", "bleu", "chrf", "chrf++"),
)
_LOWER = (
    *("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "ter"),
)
"""Metrics whose names say it: lm-evaluation-harness's own, and common ones of its tasks."""
_WRITTEN = re.compile(r"True|False|nan|-?\d+\.\d+(e-?\d+)?")
"""A truth value or a floating-point number as Python writes it; "1" may be an answer."""
_SHOWN = 3


@dataclass(frozen=True)
class Directions:
    """What a user says of metrics whose logs don't.

    Attributes:
        higher: Metrics of which more is better, as "METRIC" or "TASK/METRIC".
        lower: Metrics of which less is better.
        met: What logs were asked for so far, in either form.
    """

    higher: Collection[str] = ()
    lower: Collection[str] = ()
    met: set[str] = field(default_factory=set[str], compare=False)

    def of(self, task: str, metric: str, logged: bool | None = None) -> bool | None:
        """Return whether more of a metric is better; `None` where nobody says.

        Args:
            task: The task.
            metric: The metric.
            logged: What the log itself says.
        """
        names = {metric, f"{task}/{metric}"}
        self.met.update(names)
        if names & {*self.higher} or names & {*self.lower}:
            return bool(names & {*self.higher})
        if logged is not None:
            return logged
        return True if metric in _HIGHER else False if metric in _LOWER else None

    def refuse_unmet(self) -> None:
        """Refuse what would go unheard, once all logs are read.

        Raises:
            DormantError: No log has a metric that was named, or one was named both ways.
        """
        for option, names in (("--higher", self.higher), ("--lower", self.lower)):
            for name in names:
                if name not in self.met:
                    raise unknown(f"metric of {option}-is-better", name, self.met)
        if both := sorted({*self.higher} & {*self.lower}):
            raise DormantError(
                f"--higher-is-better {both[0]} and --lower-is-better {both[0]}: give one of them"
            )


@dataclass
class Measured:
    """One metric of one task, item by item.

    Attributes:
        values: The values that are numbers.
        lost: The reason, for every item without one.
        odd: Whether there are values of another kind.
        counts: Whether single tries were right or wrong; `None` where the values are single tries.
    """

    values: dict[str, float] = field(default_factory=dict[str, float])
    lost: dict[str, str] = field(default_factory=dict[str, str])
    odd: bool = False
    counts: bool | None = None

    def add(self, item: str, value: object, why: str = "") -> None:
        """Take an item's value as a log has it.

        Args:
            item: The item.
            value: A number, a truth value or the text of one; anything else is odd.
            why: What the log says of a value that is missing.
        """
        number = _number(value)
        if value is None or (number is not None and math.isnan(number)):
            self.lost[item] = why or f"not scored ({'null' if value is None else 'NaN'})"
        elif number is None:
            self.odd = True
        else:
            self.values[item] = number

    def fault(self) -> str:
        """Say why this is no count of successes; empty if it is one.

        It is one where all values lie between 0 and 1, and half of the tries at least at the ends.
        """
        if not self.values and not self.odd:
            return "no item was scored"
        values = self.values.values()
        whole = sum(value in (0, 1) for value in values)
        counts = 2 * whole >= len(values) if self.counts is None else self.counts
        if self.odd or not counts or not all(0 <= value <= 1 for value in values):
            return "not a count of successes"
        return ""

    def partial(self) -> list[str]:
        """Return the items that are neither right nor wrong."""
        return [item for item, value in self.values.items() if value not in (0, 1)]


def successes(
    name: str, metric: str, measured: Measured, higher: bool | None
) -> tuple[dict[str, float] | None, list[str]]:
    """Turn a metric into how far each item was a success.

    Args:
        name: The ability, for the notes.
        metric: The metric, likewise.
        measured: Its values.
        higher: Whether more is better; `None` where that isn't known.

    Returns:
        By item, in [0, 1]; `None` where the metric is left out. And what a reader should know.
    """
    if fault := measured.fault():
        return None, [f"{name}: {fault}, left out"]
    if higher is None:
        return None, [
            f"{name}: the log doesn't say whether more is better, left out: say "
            f"--higher-is-better {metric} or --lower-is-better {metric}"
        ]
    notes: list[str] = []
    if partial := measured.partial():
        notes.append(f"{name}: {counted(partial)} with partial credit, which counts as it is")
    if higher:
        return measured.values, notes
    notes.append(f"{name}: less is better, so its accuracies here are 1 − {metric}")
    return {item: 1 - value for item, value in measured.values.items()}, notes


def lower_title(metric: str) -> str:
    """Return an ability's title where less is better."""
    return f"1 − {metric}: less of it is better"


def counted(items: Collection[str]) -> str:
    """Count items and name the first: "5 items (3, 7, 8, …)"."""
    return f"{len(items)} item{'s' if len(items) != 1 else ''} ({first_few(items)})"


def first_few(items: Iterable[str]) -> str:
    """Name the first of some items."""
    listed = list(items)
    return ", ".join(listed[:_SHOWN]) + (", …" if len(listed) > _SHOWN else "")


def reasons(lost: Mapping[str, str]) -> str:
    """Say why items are lost, the commonest reason first, each with the first of its items."""
    by_reason: dict[str, list[str]] = {}
    for item, reason in lost.items():
        by_reason.setdefault(reason, []).append(item)
    ordered = sorted(by_reason.items(), key=lambda pair: -len(pair[1]))
    return "; ".join(
        f"{len(items)} × {reason} ({first_few(items)})" for reason, items in ordered[:_SHOWN]
    )


def _number(value: object) -> float | None:
    if isinstance(value, (bool, int, float)):
        return float(value)
    # lm-evaluation-harness writes what JSON doesn't know, like NumPy's truth values, as text.
    if isinstance(value, str) and _WRITTEN.fullmatch(value):
        return float(value) if value not in ("True", "False") else float(value == "True")
    return None
