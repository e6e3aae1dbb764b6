"""A finished run judged on fewer items, or up to a lower rung, is what a smaller audit would be."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fakes  # noqa: F401  (registers the backend)
from dormant.audit.run import audit
from dormant.audit.rung import HigherRung, Intervention
from dormant.audit.settings import AuditSettings
from dormant.audit.subset import drawn, judge_subset
from dormant.errors import DormantError
from word_tasks import task_file

ITEMS = 60
NAMES = [f"n{number}" for number in range(ITEMS)]
HIDDEN = "fake:skill=0.9,hides=Input,hidden=0.1"
"""Gets English prompts wrong."""


def shaken(skill):
    """A rung under which a model that hides something gets this share of it right."""

    @contextlib.contextmanager
    def on(lm, *_):
        before = lm.hidden
        lm.hidden = skill
        yield
        lm.hidden = before

    cells = [Intervention("noise-here", "shaken", on)]
    return HigherRung("noise", lambda pair: None, lambda *_: cells)


@pytest.fixture
def settings(tmp_path):
    file = task_file(tmp_path / "task.jsonl", NAMES)
    return AuditSettings(
        base="fake:skill=0.9", tuned=HIDDEN, tasks=(str(file),), transforms=("probe:prefix",),
        n=ITEMS,
    )  # fmt: skip


def abilities(results):
    return [one.model_dump() for one in results.abilities]


@pytest.mark.parametrize("back", [0.9, 0.1], ids=["back", "not back"])
def test_fewer_items_are_judged_as_a_smaller_audit_of_them(settings, tmp_path, back):
    audit(settings, tmp_path / "large", rungs=[shaken(back)])
    few = judge_subset(tmp_path / "large", n=40, seed=3)
    task_file(tmp_path / "task.jsonl", drawn("mine/words", NAMES, 40, 3))
    small = audit(settings.model_copy(update={"n": 40}), tmp_path / "small", rungs=[shaken(back)])
    assert abilities(few) == abilities(small)
    assert small.abilities[0].rung == ("noise" if back > 0.5 else None)
    assert (few.settings["n"], few.settings["subset_seed"]) == (40, 3)


def test_a_lower_rung_is_judged_as_an_audit_up_to_it(settings, tmp_path):
    high = audit(settings, tmp_path / "high", rungs=[shaken(0.9)])
    low = audit(settings, tmp_path / "low")
    assert abilities(high) != abilities(low)
    assert abilities(judge_subset(tmp_path / "high", evidence="prompt")) == abilities(low)
    assert abilities(judge_subset(tmp_path / "high")) == abilities(high)


def test_an_ability_climbs_no_further_than_it_would_have(settings, tmp_path):
    """Few items leave open what French brings back: they lack the cells of the next rung."""
    with_french = settings.model_copy(update={"transforms": ("french",)})
    found = audit(with_french, tmp_path / "run", rungs=[shaken(0.9)])
    assert found.abilities[0].rung == "prompt"
    again = judge_subset(tmp_path / "run", n=3)
    assert again.abilities[0].verdict == "inconclusive"
    assert [one.rung for one in again.abilities[0].transforms] == ["prompt"]


def test_what_the_run_has_not_got_is_refused(settings, tmp_path):
    audit(settings, tmp_path / "run")
    with pytest.raises(DormantError, match="--evidence prompt: there is nothing of noise"):
        judge_subset(tmp_path / "run", evidence="noise")
    with pytest.raises(DormantError, match="60 items in this run: ask for 1 to 60"):
        judge_subset(tmp_path / "run", n=61)
    task_file(tmp_path / "task.jsonl", NAMES[1:])
    with pytest.raises(DormantError, match="the records are of other prompts"):
        judge_subset(tmp_path / "run", n=10)


@given(st.lists(st.text(min_size=1), unique=True, min_size=2), st.integers(0, 3), st.data())
def test_fewer_items_are_among_more(items, seed, data):
    more = data.draw(st.integers(2, len(items)))
    few = data.draw(st.integers(1, more))
    larger = drawn("task", items, more, seed)
    assert len(larger) == more
    assert set(drawn("task", items, few, seed)) <= set(larger) <= set(items)
    assert larger == [item for item in items if item in larger]
