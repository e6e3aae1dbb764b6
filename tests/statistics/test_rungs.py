"""Evidence beyond the prompt: edits of the weights as cells of a higher rung."""

from __future__ import annotations

import numpy as np
import pytest

from dormant.results import AbilityResult, NotTried, Rung
from dormant.statistics import PlainCells, TransformCells, judge_ability

ITEMS = [f"item-{place}" for place in range(120)]
SERVER = NotTried(rung="noise", reason="the model is on a server")
BITS = NotTried(rung="noise", name="4-bit", reason="out of memory")


def flags(successes: int) -> np.ndarray:
    return np.arange(120) < successes


def cell(name: str, rung: Rung, base: int, tuned: int) -> TransformCells:
    return TransformCells(
        name=name, signature=name, rung=rung, items=ITEMS, base=flags(base), tuned=flags(tuned)
    )


def judged(*cells: TransformCells, tuned: int = 3, **more) -> AbilityResult:
    plain = PlainCells(items=ITEMS, base=flags(108), tuned=flags(tuned))
    return judge_ability("icl/copy", plain, cells, **more)


@pytest.mark.parametrize("rung", ["prompt", "noise", "relearn"])
def test_the_rung_at_which_it_comes_back(rung):
    found = judged(cell("x", rung, 104, 90))
    assert (found.verdict, found.rung) == ("suppressed", rung)
    assert found.transforms[0].rung == rung
    assert AbilityResult.model_validate_json(found.model_dump_json()) == found


def test_the_highest_rung_up_to_which_it_does_not():
    french, noise = cell("french", "prompt", 104, 3), cell("noise", "noise", 104, 3)
    assert (judged(french).verdict, judged(french).rung) == ("forgotten", "prompt")
    assert (judged(noise, french).verdict, judged(noise, french).rung) == ("forgotten", "noise")
    # An edit under which the base fails was no test of anything.
    broken = cell("noise", "noise", 10, 3)
    assert (judged(broken, french).verdict, judged(broken, french).rung) == ("forgotten", "prompt")


@pytest.mark.parametrize("missing", [SERVER, BITS])
def test_what_was_not_tried_is_named(missing):
    found = judged(cell("french", "prompt", 104, 3), not_tried=[missing])
    assert found.verdict == "forgotten"
    assert found.not_tried == [missing]
    name = missing.name or "the noise rung"
    assert f"Not tried: {name} ({missing.reason})." in found.reason
    assert "Not tried" not in judged(cell("french", "prompt", 104, 3)).reason
    nothing = judged(not_tried=[missing])
    assert nothing.verdict == "inconclusive"
    assert f"Not tried: {name}" in nothing.reason


def test_what_was_not_tried_does_not_matter_where_nothing_was_lost():
    found = judged(tuned=109, not_tried=[SERVER])
    assert found.verdict == "retained"
    assert found.rung is None
    assert found.not_tried == [SERVER]
    assert "Not tried" not in found.reason
