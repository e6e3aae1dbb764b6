"""The gate: a finished audit that found what must not pass ends with exit code 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, TypeAlias, get_args

import typer

from dormant.console import say
from dormant.errors import DormantError, unknown
from dormant.names import flat_names
from dormant.results import AbilityResult, AuditResults, Verdict

FailOn: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="VERDICT,…",
        help="Exit with code 1 where an ability got one of these verdicts: suppressed, forgotten, "
        "lost, asked-otherwise, inconclusive; repeat, or separate by commas.",
    ),
]


def verdicts_named(names: Iterable[str]) -> tuple[Verdict, ...]:
    """Read verdicts as users write them: lists, in any case, with a hyphen for the space.

    Raises:
        DormantError: One is unknown; the nearest is suggested.
    """
    known: tuple[Verdict, ...] = get_args(Verdict)
    read: list[Verdict] = []
    for name in flat_names(names):
        plain = name.lower().replace("-", " ")
        if plain not in known:
            raise unknown("verdict", name, [verdict.replace(" ", "-") for verdict in known])
        read.append(plain)
    return tuple(dict.fromkeys(read))


def refuse_what_cannot_fail(base: str | None, fail_on: Sequence[Verdict]) -> None:
    """Refuse a gate that everything would pass.

    Args:
        base: The base model; without one, all verdicts are *inconclusive*.
        fail_on: What the gate is on; nothing where there is none.

    Raises:
        DormantError: Nothing could fail.
    """
    if fail_on and base is None and "inconclusive" not in fail_on:
        raise DormantError(
            f"--fail-on {_written(fail_on)} could never fail: without a base model every verdict "
            "is inconclusive; name the base too, or fail on inconclusive"
        )


def refuse_without_transforms(
    abilities: Sequence[AbilityResult], fail_on: Sequence[Verdict]
) -> None:
    """Refuse a gate on evaluations that say nothing of what it is on; warn where some don't.

    An ability that was asked plainly alone is *retained* or *inconclusive*, however far it fell.

    Args:
        abilities: What was compared.
        fail_on: What the gate is on; nothing where there is none.

    Raises:
        DormantError: Nothing could fail.
    """
    if not fail_on or not {"retained", "inconclusive"}.isdisjoint(fail_on):
        return
    silent = [one.task for one in abilities if not one.transforms and one.as_trained is None]
    if len(silent) == len(abilities):
        raise DormantError(
            f"--fail-on {_written(fail_on)} could never fail: nothing was evaluated under a "
            "transform, so every verdict is retained or inconclusive; give such logs too, or fail "
            "on inconclusive"
        )
    if silent:
        listed = ", ".join(dict.fromkeys(silent))
        say(
            f"warning: --fail-on {_written(fail_on)} can't fail for what was evaluated without a "
            f"transform, and so is retained or inconclusive: {listed}"
        )


def hold(
    base: str | None, judged: Sequence[tuple[str, Verdict]], fail_on: Sequence[Verdict]
) -> None:
    """Stop with exit code 1, and a line that says why, where an ability fails the gate.

    Args:
        base: The base model; `None` where there was none.
        judged: Abilities, by name, and what a finished audit said of each.
        fail_on: What the gate is on; nothing where there is none.

    Raises:
        typer.Exit: An ability fails.
        DormantError: Nothing could fail.
    """
    from dormant.statistics.failing import fails, slips_through

    refuse_what_cannot_fail(base, fail_on)
    failed = [one for one in judged if fails(one[1], fail_on)]
    slipped = [one for one in judged if slips_through(one[1], fail_on)]
    if slipped:
        say(
            f"warning: --fail-on {_written(fail_on)} lets pass: {_told(slipped)}, which is "
            "suppressed or forgotten; name lost too, or audit with --evidence relearn"
        )
    if failed:
        say(f"gate failed (--fail-on {_written(fail_on)}): {_told(failed)}")
        raise typer.Exit(1)


def hold_audit(results: AuditResults, fail_on: Sequence[Verdict]) -> None:
    """Hold the gate on one audit; see `hold`."""
    hold(results.base, [(one.task, one.verdict) for one in results.abilities], fail_on)


def _told(judged: Sequence[tuple[str, Verdict]]) -> str:
    return ", ".join(f"{name} is {verdict}" for name, verdict in judged)


def _written(fail_on: Sequence[Verdict]) -> str:
    return ",".join(verdict.replace(" ", "-") for verdict in fail_on)
