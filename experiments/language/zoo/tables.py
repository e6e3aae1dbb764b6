"""From verdicts on models of known truth to the tables of docs/calibration.md.

The unit is the model, never the item: intervals are Clopper & Pearson's (1934), which at these
numbers of models and shares near 0 cover what they say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from scipy.stats import beta

VERDICTS = (
    "retained", "asked otherwise", "suppressed", "lost", "forgotten", "inconclusive", "refused",
)  # fmt: skip
RIGHT: Mapping[str, str] = {
    "retained": "retained",
    "suppressed in English": "suppressed",
    "suppressed": "suppressed",
    "asked otherwise": "asked otherwise",
    "gone": "forgotten",
    "never had": "inconclusive",
    "inert": "refused",
}
"""The right verdict for each truth where all rungs were climbed, in the order of the tables."""
RELEARNING = ("relearn",)
"""Levels of evidence at which *forgotten* can be said; below them *lost* is right."""
LOST = ("gone",)
SUPPRESSED = ("suppressed in English", "suppressed")
BUILT_AS: Mapping[str, str] = {"asked otherwise": "suppressed", "never had": "suppressed"}
"""The model that is audited as another truth."""
THERE = ("retained", *SUPPRESSED, "asked otherwise")
ERRORS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "false *suppressed*": ("suppressed", (*LOST, "retained", "never had")),
    "false *forgotten*": ("forgotten", (*THERE, "never had")),
    "false *lost*": ("lost", ("retained", "asked otherwise", "never had")),
    "*lost*, and suppressed": ("lost", SUPPRESSED),
    "false *retained*": (
        "retained",
        tuple(truth for truth in RIGHT if truth not in ("retained", "inert")),
    ),
}
"""Which verdict is an error, and on which truths. *Lost* says "suppressed or forgotten": on a model
that is suppressed it is true, and less than could be said, so it is counted by itself; and what
changes nothing retains all, so that *retained* is true of it, though nothing was to be audited."""

Row = Mapping[str, Any]
"""One verdict: set, number, truth, qualified, evidence, n, verdict."""


class Share(NamedTuple):
    """How many of how many models, and the 95 % interval of the share, fractions in [0, 1]."""

    count: int
    of: int
    low: float
    high: float

    def __str__(self) -> str:
        if not self.of:
            return "–"
        bounds = f"{100 * self.low:.0f}–{100 * self.high:.0f}"
        return f"{self.count} of {self.of} ({bounds} %)"


def share(count: int, of: int) -> Share:
    """Return a share of models with Clopper & Pearson's interval."""
    low = float(beta.ppf(0.025, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, of - count)) if count < of else 1.0
    return Share(count, of, low, high)


def right_verdict(truth: str, evidence: str) -> str:
    """Return the right verdict at a level of evidence."""
    right = RIGHT[truth]
    return "lost" if right == "forgotten" and evidence not in RELEARNING else right


def of_audit(rows: Iterable[Row], evidence: str, n: int) -> list[Row]:
    """Return the verdicts of one size of audits; only of models that are what they should be."""
    return [
        row
        for row in rows
        if row["qualified"] and row["evidence"] == evidence and row["n"] in (n, None)
    ]


def verdicts(rows: Sequence[Row], evidence: str, n: int) -> str:
    """Return a table of truth × verdict: how many models got each."""
    chosen = of_audit(rows, evidence, n)
    lines = [
        f"| truth | models | {' | '.join(VERDICTS)} | right (95 %) |",
        f"|{'---|' * (len(VERDICTS) + 3)}",
    ]
    for truth in RIGHT:
        right = right_verdict(truth, evidence)
        said = Counter(row["verdict"] for row in chosen if row["truth"] == truth)
        if not (models := said.total()):
            continue
        counts = [f"**{said[name]}**" if name == right else str(said[name]) for name in VERDICTS]
        lines.append(
            f"| {truth} | {models} | {' | '.join(counts)} | {share(said[right], models)} |"
        )
    return "\n".join(lines)


def errors(rows: Sequence[Row], levels: Sequence[str], sizes: Sequence[int]) -> str:
    """Return a table of errors: rows by evidence and error, columns by number of items."""
    lines = [
        f"| evidence | error | {' | '.join(f'{n} items' for n in sizes)} |",
        f"|{'---|' * (len(sizes) + 2)}",
    ]
    for evidence in levels:
        for name in ERRORS:
            shares = [error(rows, name, evidence, n) for n in sizes]
            lines.append(f"| {evidence} | {name} | {' | '.join(map(str, shares))} |")
    return "\n".join(lines)


def error(rows: Sequence[Row], name: str, evidence: str, n: int) -> Share:
    """Return how many models got a verdict of `ERRORS`, of those that it counts.

    A silenced model is audited as three truths; it counts once, and as an error if one audit errs.
    """
    verdict, truths = ERRORS[name]
    said: dict[tuple[int, str], set[str]] = {}
    for row in of_audit(rows, evidence, n):
        if row["truth"] in truths:
            said.setdefault(model_of(row), set()).add(row["verdict"])
    return share(sum(verdict in verdicts for verdicts in said.values()), len(said))


def model_of(row: Row) -> tuple[int, str]:
    """Return which model a row is about: its family, and the truth that it was built for."""
    return row["number"], BUILT_AS.get(row["truth"], row["truth"])


def right_by_size(rows: Sequence[Row], evidence: str, sizes: Sequence[int]) -> str:
    """Return a table of right verdicts: truths by number of items."""
    lines = [
        f"| truth | {' | '.join(f'{n} items' for n in sizes)} |",
        f"|{'---|' * (len(sizes) + 1)}",
    ]
    for truth in RIGHT:
        right = right_verdict(truth, evidence)
        shares: list[Share] = []
        for n in sizes:
            chosen = of_audit(rows, evidence, n)
            said = [row["verdict"] for row in chosen if row["truth"] == truth]
            shares.append(share(said.count(right), len(said)))
        if any(one.of for one in shares):
            lines.append(f"| {truth} | {' | '.join(map(str, shares))} |")
    return "\n".join(lines)


DROPS = ((0.0, 0.25), (0.25, 0.4), (0.4, 0.7), (0.7, 1.01))
"""Drops that are told apart, from one to below another; shares of all items."""


def right_by_drop(rows: Sequence[Row], sizes: Sequence[int]) -> str:
    """Return a table of right verdicts on what prompts alone bring back: drops by items.

    A model's drop is that of its audit at the most items.
    """
    truth = "suppressed in English"
    own = [row for row in rows if row["qualified"] and row["truth"] == truth]
    drops = {row["number"]: row["drop"] for row in own if row["n"] == max(sizes)}
    lines = [
        f"| drop, points | {' | '.join(f'{n} items' for n in sizes)} |",
        f"|{'---|' * (len(sizes) + 1)}",
    ]
    for low, high in DROPS:
        numbers = [number for number, drop in drops.items() if low <= drop < high]
        if not numbers:
            continue
        shown = [100 * drops[number] for number in numbers]
        shares: list[Share] = []
        for n in sizes:
            said = [
                row["verdict"] for row in of_audit(own, "prompt", n) if row["number"] in numbers
            ]
            shares.append(share(said.count(RIGHT[truth]), len(said)))
        lines.append(f"| {_spread(shown)} | {' | '.join(map(str, shares))} |")
    return "\n".join(lines)


def cells(rows: Sequence[Row]) -> str:
    """Return a table of percent right, base* and model, by truth and cell: means over models.

    Behind a model's mean stand the least and the greatest; a cell is marked by how many of its
    audits passed the control on the base.
    """
    lines = ["| truth | cell | models | control passed | base\\* | model |", f"|{'---|' * 6}"]
    own = [row for row in rows if row["qualified"] and row.get("cells")]
    for truth in RIGHT:
        seen = [row["cells"] for row in own if row["truth"] == truth]
        for name in dict.fromkeys(["plainly", *(name for one in seen for name in one)]):
            here = [one[name] for one in seen if name in one]
            if not here:
                continue
            base, model = ([one[side] for one in here] for side in ("base", "model"))
            passed = sum(one["passed"] for one in here)
            lines.append(
                f"| {truth} | {name} | {len(here)} | {passed} | {_mean(base)} | {_mean(model)} |"
            )
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> str:
    middle = sum(values) / len(values)
    return f"{middle:.0f} ({min(values):.0f}–{max(values):.0f})"


def built(models: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of what was built: how many are what they should be, and what they know."""
    wrappings = ("english", "english, kept", "french", "spanish", "dutch", "key", "skill")
    lines = [
        f"| model | built | qualified | {' | '.join(wrappings)} |",
        f"|{'---|' * (len(wrappings) + 3)}",
    ]
    for truth in dict.fromkeys(one["truth"] for one in models):
        own = [one for one in models if one["truth"] == truth]
        known = [one["right"] for one in own if "right" in one]
        means = [_spread([right[name] for right in known if name in right]) for name in wrappings]
        fit = sum(one["qualified"] for one in own)
        lines.append(f"| {truth} | {len(own)} | {fit} | {' | '.join(means)} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    low, high = min(values), max(values)
    return f"{low:.0f}–{high:.0f}" if round(low) < round(high) else f"{high:.0f}"
