"""Turning the update of fine-tuning down: as far as the skill allows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dormant.recovery.treatment import Candidates, Change, Given
from dormant.recovery.treatments.bisection import least_kept, refuse_unfit


def scale(
    given: Given,
    *,
    at: Annotated[float, Field(ge=0)] | None = None,
    steps: int = 4,
    thirds: bool = True,
) -> Candidates:
    """Scale the update by the least λ that keeps the skill, first whole, then by thirds of depth.

    λ is found by bisection, since the skill falls with it (docs/recover.md). Then each third of
    the layers is tried at half of that, and stays there where the skill is still kept.

    Args:
        given: Says whether there is an update to scale.
        at: This λ, and no search.
        steps: Halvings of [0, 1].
        thirds: Whether to go on by thirds of depth.
    """
    if at is not None:
        refuse_unfit(given)
        yield _of(at)
        return
    kept = yield from least_kept(given, _of, steps)
    if not thirds:
        return
    parts = [kept] * 3
    # The last layers are nearest to what is said.
    for place in reversed(range(3)):
        tried = [factor / 2 if place == at else factor for at, factor in enumerate(parts)]
        measured = yield _of(*tried)
        parts = tried if measured.kept else parts


def _of(*factors: float) -> Change:
    return Change(factors, settings={"factors": list(factors)})
