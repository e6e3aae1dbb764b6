"""Verdicts that fail a gate: which ones a build must not pass with."""

from __future__ import annotations

from collections.abc import Collection

from dormant.results import Verdict

LOSSES: tuple[Verdict, ...] = ("forgotten", "lost", "suppressed", "asked otherwise")
"""All that say that plain prompts lost something: what fails where nothing else is asked for."""

_EITHER: frozenset[Verdict] = frozenset({"suppressed", "forgotten"})


def fails(verdict: Verdict, fail_on: Collection[Verdict]) -> bool:
    """Say whether a verdict fails a gate.

    *Lost* is suppressed or forgotten, and which of them isn't known: it fails where both do.

    Args:
        verdict: The verdict on an ability.
        fail_on: Those that the gate is on.
    """
    return verdict in fail_on or (verdict == "lost" and set(fail_on) >= _EITHER)


def slips_through(verdict: Verdict, fail_on: Collection[Verdict]) -> bool:
    """Say whether a verdict passes a gate that it may belong to: *lost*, where one of both fails.

    Args:
        verdict: The verdict on an ability.
        fail_on: Those that the gate is on.
    """
    return verdict == "lost" and not fails(verdict, fail_on) and not _EITHER.isdisjoint(fail_on)
