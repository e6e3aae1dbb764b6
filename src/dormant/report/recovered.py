"""A recovery in a terminal: what came back, what it cost, and which candidates there were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dormant.report import formatting
from dormant.report.terminal import print_page
from dormant.results import Estimate
from dormant.results.recovery import (
    AbilityChange,
    CandidateResult,
    Exceeds,
    RecoveryResults,
    SkillChange,
)

_DASH = formatting.DASH
KEPT: Mapping[Exceeds | None, str] = {
    "no": "kept",
    "yes": "lost",
    "undecided": "undecided: more items would say",
    None: _DASH,
}
"""What is said of a loss, by whether it exceeds its margin."""


def print_recovery(results: RecoveryResults, console: Console, page: Path | None = None) -> None:
    """Print what a recovery found.

    Args:
        results: That.
        page: The HTML page, if there is one: its path is printed last.
        console: Where to print. Eighty columns are enough.
    """
    console.print(Text(results.outcome.capitalize(), style="bold"), end="  ")
    console.print(results.reason, soft_wrap=True, highlight=False)
    if results.abilities:
        console.print()
        console.print(_changes(results))
    if results.candidates:
        console.print()
        console.print(_candidates(results.candidates, results.chosen))
    for name, why in results.not_tried.items():
        console.print(f"not tried: {name}: {why}", style="dim", soft_wrap=True, highlight=False)
    for line in results.warnings:
        console.print(f"warning: {line}", style="yellow", soft_wrap=True, highlight=False)
    print_page(page, console)
    if results.saved is not None:
        console.print(Text.assemble("Saved: ", (results.saved, "underline")), soft_wrap=True)
        if results.base is not None:
            line = f"next: {results.check(results.saved)}"
            console.print(line, soft_wrap=True, highlight=False, markup=False)


def percent(estimate: Estimate | None) -> str:
    """Write a fraction with its interval in per cent."""
    if estimate is None:
        return _DASH
    low, high = (_bound(value) for value in (estimate.low, estimate.high))
    return f"{100 * estimate.estimate:.0f} ({low} to {high})".replace("-", formatting.MINUS)


def skill_value(estimate: Estimate | None, skill: SkillChange) -> str:
    """Write the skill with its interval, in its unit."""
    if estimate is None or skill.measure == "accuracy":
        return percent(estimate)
    text = f"{estimate.estimate:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
    return text.replace("-", formatting.MINUS)


def _bound(value: float) -> str:
    return f"{100 * value:.0f}"


def _changes(results: RecoveryResults) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    for name in ("untouched items", "base", "tuned", "recovered", "came back", "now"):
        table.add_column(name, overflow="fold")
    for one in results.abilities:
        table.add_row(*_ability(one))
    if (skill := results.skill) is not None:
        cells = [skill_value(each, skill) for each in (skill.base, skill.tuned, skill.recovered)]
        table.add_row(f"the skill, {skill.n_items}", *cells, _DASH, KEPT[skill.exceeds])
    return table


def _ability(one: AbilityChange) -> Sequence[str]:
    cells = [percent(each) for each in (one.base, one.tuned, one.recovered, one.returned)]
    now = one.verdict or _DASH
    if one.exceeds == "yes":
        now = "further loss"
    return [f"{one.task}, {one.n_items}", *cells, now]


def _candidates(candidates: Sequence[CandidateResult], chosen: str | None) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("items that choose", "skill lost", "came back", "seconds"):
        table.add_column(name, overflow="fold")
    for one in candidates:
        mark = "→ " if one.key == chosen else "· " if one.on_front else "  "
        lost = f"{one.skill_loss.estimate:.3f} (to {one.skill_loss.high:.3f})"
        table.add_row(
            f"{mark}{one.treatment} {settings(one)}",
            lost.replace("-", formatting.MINUS),
            percent(one.returned or one.gain),
            f"{one.seconds:.0f}",
        )
    return table


def settings(one: CandidateResult) -> str:
    """Write a candidate's settings that tell it from others of its treatment."""
    if "factors" in one.settings:
        return ", ".join(f"{factor:g}" for factor in one.settings["factors"])
    return "; ".join(f"{name} {value}" for name, value in one.settings.items())
