"""The course of abilities over several children, and which of them is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormant.results import AbilityResult, AuditResults, CellEstimates, Cells, SkillResult, Verdict
from dormant.results.timeline import ChildRun
from dormant.statistics.timeline import BENEATH, BEYOND, courses, keep

VERDICTS: tuple[Verdict, ...] = (
    "retained", "asked otherwise", "suppressed", "lost", "forgotten", "inconclusive",
)  # fmt: skip


def audited(*verdicts, skill=None):
    """An audit that gave these verdicts, on abilities a, b, c, …"""
    abilities = [
        AbilityResult(
            task="abcdef"[number],
            verdict=verdict,
            rung="relearn" if verdict == "forgotten" else None,
            reason="",
            n_items=10,
            accuracy=Cells(),
            accuracy_intervals=CellEstimates(),
            drop=None,
            transforms=[],
        )
        for number, verdict in enumerate(verdicts)
    ]
    measured = None
    if skill is not None:
        measured = SkillResult(
            task="skill", verdict=skill, reason="", n_items=1, measure="accuracy",
            base=None, tuned={"estimate": 1, "low": 1, "high": 1}, gain=None,
        )  # fmt: skip
    return AuditResults(
        base="base", tuned="", settings={}, versions={}, abilities=abilities, skill=measured
    )


def series(**found):
    """Children in order, and what was found of those that were audited."""
    there = {name: one for name, one in found.items() if one is not None}
    children = [
        ChildRun(
            name=name,
            model=name,
            problem="" if one else "gone",
            skill=one.skill.verdict if one and one.skill else None,
        )
        for name, one in found.items()
    ]
    return children, there


def test_firsts_are_told_and_a_return():
    children, found = series(
        s1=audited("retained", "retained"),
        s2=audited("suppressed", "retained"),
        s3=None,
        s4=audited("lost", "inconclusive"),
        s5=audited("forgotten", "retained"),
        s6=audited("retained", "retained"),
    )
    first, second = courses(children, found)
    assert (first.suppressed_at, first.beyond_at, first.back_at) == ("s2", "s4", "s6")
    assert (second.suppressed_at, second.beyond_at, second.back_at) == (None, None, None)
    assert [point.child for point in first.points] == ["s1", "s2", "s4", "s5", "s6"]


def test_an_ability_that_some_lack_has_the_points_that_there_are():
    children, found = series(s1=audited("retained"), s2=audited("lost", "suppressed"))
    _, second = courses(children, found)
    assert [point.child for point in second.points] == ["s2"]
    assert second.suppressed_at == "s2"


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        # Nothing lost at two of them: the latest.
        ({"s1": ["retained"], "s2": ["retained"], "s3": ["suppressed"]}, "s2"),
        # A loss beyond recovery weighs more than any number of others.
        ({"s1": ["suppressed", "suppressed"], "s2": ["lost", "retained"]}, "s1"),
        ({"s1": ["forgotten"], "s2": ["lost"], "s3": ["asked otherwise"]}, "s3"),
        # An open question is no loss.
        ({"s1": ["retained"], "s2": ["inconclusive"]}, "s2"),
    ],
)
def test_the_rule(found, kept):
    children, results = series(**{name: audited(*verdicts) for name, verdicts in found.items()})
    name, reason = keep(children, results)
    assert name == kept
    assert "No skill was measured" in reason


def test_only_those_that_learned_the_skill_are_kept_where_any_did():
    children, found = series(
        s1=audited("retained", skill="not learned"),
        s2=audited("suppressed", skill="learned"),
        s3=audited("lost", skill="learned"),
        s4=None,
    )
    assert keep(children, found)[0] == "s2"
    children, found = series(
        s1=audited("retained", skill="undecided"), s2=audited("lost", skill="undecided")
    )
    name, reason = keep(children, found)
    assert name == "s1"
    assert "None of them surely learned the skill." in reason


def test_who_was_asked_less_is_not_kept_for_having_lost_less():
    children, found = series(
        s1=audited("retained", "retained", "suppressed"),
        s2=audited("suppressed"),
    )
    name, reason = keep(children, found)
    assert name == "s1"
    assert "Of the 1 of 3 abilities that all were asked 0 are lost or forgotten, 0 supp" in reason
    other = audited("retained", "lost")
    found["s2"] = other.model_copy(update={"abilities": other.abilities[1:]})
    found["s1"] = audited("retained")
    name, reason = keep(children, found)
    assert name is None
    assert "no ability that all of them were asked" in reason


def test_nothing_audited_keeps_nothing():
    children, found = series(s1=None)
    assert keep(children, found) == (None, "No model was audited.")


@given(st.lists(st.lists(st.sampled_from(VERDICTS), min_size=2, max_size=2), min_size=1))
def test_none_that_is_better_or_as_good_and_later_is_left(rows):
    children, found = series(**{f"s{n}": audited(*row) for n, row in enumerate(rows)})
    name, _ = keep(children, found)

    def losses(row):
        return sum(one in BEYOND for one in row), sum(one in BENEATH for one in row)

    place = int(name[1:])
    assert all(losses(row) >= losses(rows[place]) for row in rows[:place])
    assert all(losses(row) > losses(rows[place]) for row in rows[place + 1 :])
