"""Evidence beyond the prompt: edits of the weights as cells of a higher rung."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dormant.results import AbilityResult, NotTried, Rung
from dormant.statistics import PlainCells, TransformCells, judge_ability
from verdict_simulator import RUNG_TRUTHS, rung_rates

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
    assert (judged(french).verdict, judged(french).rung) == ("lost", "prompt")
    assert (judged(noise, french).verdict, judged(noise, french).rung) == ("lost", "noise")
    # An edit under which the base fails was no test of anything.
    broken = cell("noise", "noise", 10, 3)
    assert (judged(broken, french).verdict, judged(broken, french).rung) == ("lost", "prompt")


@pytest.mark.parametrize("missing", [SERVER, BITS])
def test_what_was_not_tried_is_named(missing):
    found = judged(cell("french", "prompt", 104, 3), not_tried=[missing])
    assert found.verdict == "lost"
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


def test_the_lowest_rung_is_named_and_the_error_is_split():
    french, noise = cell("french", "prompt", 104, 60), cell("4-bit", "noise", 104, 90)
    alone, both = judged(french), judged(french, noise)
    assert (both.verdict, both.rung, both.best_transform) == ("suppressed", "prompt", "french")
    assert both.reason.startswith("Back under french (prompt): accuracy fell by 88 points")
    assert [one.rung for one in both.rungs] == ["prompt", "noise"]
    assert [one.gain.level for one in both.rungs] == [pytest.approx(0.975)] * 2
    assert "both lower 97.5% bounds" in both.reason
    assert alone.gain is not None
    assert both.gain is not None
    assert alone.gain.level == 0.95
    assert both.gain.low < alone.gain.low
    assert both.gain.estimate == alone.gain.estimate
    # All cells' own intervals are as they were.
    assert both.transforms[0] == alone.transforms[0]


def test_the_error_is_split_before_it_is_known_who_climbs():
    # A rung that is tried only where the one below failed must have had its share from the start.
    french, noise = cell("french", "prompt", 104, 60), cell("4-bit", "noise", 104, 90)
    before, after = judged(french, up_to="noise"), judged(french, noise, up_to="noise")
    assert before.rungs == after.rungs[:1]
    assert before.rungs[0].gain.level == pytest.approx(0.975)
    assert judged(french, up_to="prompt") == judged(french)
    assert judged(french, up_to="relearn").rungs[0].gain.level == pytest.approx(1 - 0.05 / 3)


def test_a_rung_without_evidence_costs_nothing_and_is_named():
    french, broken = cell("french", "prompt", 104, 3), cell("4-bit", "noise", 10, 3)
    alone, both = judged(french), judged(french, broken)
    assert both.rungs == alone.rungs
    assert both.reason == f"{alone.reason} No control was passed on the noise rung."
    assert both.rung == "prompt"


def test_where_nothing_passed_its_control_that_is_said_of_all_rungs():
    french, broken = cell("french", "prompt", 10, 3), cell("4-bit", "noise", 10, 3)
    assert "but no transform passed its control" in judged(french).reason
    assert "but nothing that was tried passed its control" in judged(french, broken).reason
    assert "but no transform was tried" in judged().reason


@pytest.mark.parametrize(
    ("name", "rung", "where"),
    [
        ("noise-0.1", "noise", "Back under noise-0.1:"),
        ("4-bit", "noise", "Back under noise (4-bit):"),
        (
            "verbs",
            "relearn",
            "Back after learning nothing (uninformative relearning: verbs):",
        ),
    ],
)
def test_the_reason_names_the_rung(name, rung, where):
    found = judged(cell("french", "prompt", 104, 3), cell(name, rung, 104, 90))
    assert found.reason.startswith(where)
    assert (found.rung, found.best_transform) == (rung, name)


@pytest.mark.parametrize(
    ("rung", "up_to"),
    [
        ("prompt", "up to other prompts"),
        ("noise", "up to noise in the weights"),
        ("relearn", "up to uninformative relearning"),
        ("teach", "up to informative relearning"),
    ],
)
def test_lost_and_forgotten_say_up_to_where(rung, up_to):
    found = judged(cell("french", "prompt", 104, 3), cell("x", rung, 104, 3))
    assert (found.verdict, found.rung) == (
        "lost" if rung in ("prompt", "noise") else "forgotten",
        rung,
    )
    assert found.reason.startswith(f"Not recovered {up_to}: accuracy fell by")


DECIDES = "decided by --evidence relearn"


@pytest.mark.parametrize(
    ("up_to", "not_tried", "said"),
    [
        ("prompt", [], DECIDES),
        ("noise", [], DECIDES),
        # One edit that failed says nothing of trainings; a rung that can't be run at all does.
        ("noise", [BITS], DECIDES),
        ("noise", [SERVER], "can't be told here"),
        ("relearn", [NotTried(rung="relearn", reason="it gives no gradient")], "can't be told"),
        # The trainings were run, or not needed as yet, and none is among what passed.
        ("relearn", [], "can't be told here"),
        (None, [], "Outcomes under other prompts can't tell suppressed from forgotten"),
    ],
)
def test_lost_says_what_would_decide(up_to, not_tried, said):
    found = judged(cell("french", "prompt", 104, 3), up_to=up_to, not_tried=not_tried)
    assert found.verdict == "lost"
    assert said in found.reason
    assert (said == DECIDES) == (DECIDES in found.reason)


def test_a_training_that_the_base_did_not_stand_is_named():
    french, broken = cell("french", "prompt", 104, 3), cell("other-task", "relearn", 10, 3)
    found = judged(french, broken, up_to="relearn")
    assert (found.verdict, found.rung) == ("lost", "prompt")
    assert found.reason.endswith(
        "Suppressed or forgotten can't be told here: no relearning was tried under which the base "
        "model passes its control. No control was passed on the relearn rung."
    )


def test_what_comes_back_on_a_higher_rung_speaks_against_lost():
    french = cell("french", "prompt", 104, 3)
    assert judged(french, cell("4-bit", "noise", 104, 20)).verdict not in ("lost", "forgotten")
    assert judged(french, cell("4-bit", "noise", 104, 3)).verdict == "lost"


def test_what_may_have_been_taught_is_never_called_suppressed():
    french, taught = cell("french", "prompt", 104, 3), cell("taught-4", "teach", 104, 90)
    found = judged(french, taught)
    assert (found.verdict, found.rung) == ("inconclusive", None)
    assert "right answers to other prompts bring it back: after informative" in found.reason
    assert "taught-4" in found.reason
    assert "can't be told apart" in found.reason
    assert found.rungs[-1].gain.low > 0
    # What came back untaught before is not taken back.
    before = judged(cell("french", "prompt", 104, 90), taught)
    assert (before.verdict, before.rung) == ("suppressed", "prompt")
    # Less than a quarter, even where the rest is sure, leaves it forgotten.
    little = judged(french, cell("taught-4", "teach", 104, 12))
    assert little.rungs[-1].gain.low > 0
    assert (little.verdict, little.rung) == ("forgotten", "teach")


def test_teaching_takes_no_share_of_the_error():
    french, taught = cell("french", "prompt", 104, 60), cell("taught-1", "teach", 104, 60)
    alone, both = judged(french), judged(french, taught)
    assert both.rungs[0] == alone.rungs[0]
    assert both.rungs[1].gain.level == pytest.approx(0.95)
    assert judged(french, taught, up_to="relearn").rungs[0].gain.level == pytest.approx(
        1 - 0.05 / 3
    )
    assert judged(french, taught, up_to="teach").rungs[0].gain.level == pytest.approx(1 - 0.05 / 3)


def test_more_items_do_not_make_suppressed_of_what_was_taught():
    undecided = judged(cell("french", "prompt", 104, 3), cell("taught-1", "teach", 104, 40))
    assert undecided.verdict == "inconclusive"
    assert undecided.items_needed is None


def test_the_error_of_two_rungs_is_that_of_one():
    (truth,) = (one for one in RUNG_TRUTHS if one.what == "nothing back, base falls")
    draws = 60
    rates = rung_rates(truth, 60, draws)
    assert rates["half each"] <= stats.binom.isf(0.001, draws, 0.025) / draws
