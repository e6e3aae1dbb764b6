"""A recovery's page and picture, and what the terminal says, from made-up results."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from dormant.report.front import HEIGHT, WIDTH, front_of
from dormant.report.recovered import print_recovery
from dormant.report.recovery_page import render_recovery, write_recovery
from dormant.results import Estimate
from dormant.results.recovery import (
    AbilityChange,
    CandidateResult,
    Choosing,
    RecoveryResults,
    SkillChange,
)


def about(value, spread=0.05):
    return Estimate(estimate=value, low=value - spread, high=value + spread)


def candidate(key, skill, back, *, treatment="scale", **more):
    return CandidateResult(
        key=key, treatment=treatment, settings={"factors": [0.5]}, trained=False, skill=skill,
        skill_loss=about(0.9 - skill), kept=True, gain=about(back * 0.8), returned=about(back),
        accuracy={}, seconds=3.0, **more,
    )  # fmt: skip


@pytest.fixture
def results():
    ability = AbilityChange(
        task="icl/copy", named=True, n_items=200, base=about(0.9), tuned=about(0.1),
        recovered=about(0.91), drop=about(0.8), returned=about(1.01), left=about(-0.01),
        further_loss=about(-0.81), exceeds="no", verdict="retained", base_treated=about(0.92),
        recovery=about(0.79),
    )  # fmt: skip
    other = ability.model_copy(
        update={"task": "mine/<b>", "named": False, "exceeds": "yes", "base_treated": None}
    )
    return RecoveryResults(
        base="BASE", tuned="TUNED", saved="out", settings={"n": 200, "seed": 0}, versions={},
        models={"base": "a", "tuned": "b"}, outcome="recovered", reason="Why & how.", chosen="b",
        choosing=Choosing(n_skill=80, n_abilities=100, base_skill=0.5, tuned_skill=0.9,
                          margin=0.02),
        candidates=[
            candidate("a", 0.7, 0.9, on_front=True), candidate("b", 0.9, 0.6, on_front=True),
            candidate("c", 0.6, 0.5), candidate("d", 0.88, 0.4, treatment="retune"),
        ],
        abilities=[ability, other],
        skill=SkillChange(
            task="skill/held", n_items=80, measure="accuracy", base=about(0.5), tuned=about(0.9),
            recovered=about(0.9), loss=about(0.0), margin=0.02, exceeds="undecided",
        ),
        not_tried={"average": "no <i>reason</i>"}, warnings=["beware"], wall_seconds=65.0,
    )  # fmt: skip


def test_the_picture_has_every_model_inside_and_right_side_up(results):
    front = front_of(results)
    assert front is not None
    by_kind = {point.kind: point for point in front.points}
    assert len(front.points) == 2 + len(results.candidates)
    assert front.points[-1] is by_kind["chosen"]
    for point in front.points:
        assert front.wall <= point.left <= point.right <= WIDTH
        assert 0 <= point.high <= point.y <= point.low <= front.floor
    assert by_kind["base"].x < front.margin < by_kind["tuned"].x
    assert by_kind["base"].y < by_kind["chosen"].y < by_kind["tuned"].y < HEIGHT
    assert by_kind["chosen"].number == "2"
    assert front.line.count(",") == 2
    assert [tick.at for tick in front.across] == sorted(tick.at for tick in front.across)
    assert front_of(results.model_copy(update={"candidates": []})) is None


def test_without_a_base_gains_are_drawn_and_no_base(results):
    choosing = results.choosing.model_copy(update={"base_skill": None})
    alone = results.model_copy(update={"base": None, "choosing": choosing})
    front = front_of(alone)
    assert front is not None
    assert not [point for point in front.points if point.kind == "base"]
    page = render_recovery(alone)
    assert "gain, points" in page
    assert "Of the loss came back" not in page


class _Ids(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.links, self.tags = [], [], []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.tags.append(tag)
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if "href" in named else []


def test_the_page_says_all_and_lets_nothing_in(results, tmp_path):
    page = write_recovery(results, tmp_path / "deep/page.html").read_text(encoding="utf-8")
    seen = _Ids()
    seen.feed(page)
    assert len(seen.ids) == len({*seen.ids})
    assert {link.lstrip("#") for link in seen.links} <= {*seen.ids}
    assert "script" not in seen.tags
    assert "<b>" not in page.replace("mine/&lt;b&gt;", "")
    assert "<i>reason" not in page
    for text in ("Why &amp; how.", "101 (96 to 106)", "retained", "above the margin", "beware",
                 "never trained", "The next time", "undecided: more items would say",
                 "Beyond what it teaches", "Not tried: average"):  # fmt: skip
        assert text in page
    assert len(re.findall(r"<circle", page)) == 6
    nothing = results.model_copy(update={
        "outcome": "nothing to do", "abilities": [], "candidates": [], "skill": None,
        "choosing": None, "chosen": None, "saved": None, "not_tried": {},
    })  # fmt: skip
    bare = render_recovery(nothing)
    assert "Nothing to do. Why &amp; how." in bare
    assert "The front" not in bare


def test_the_terminal_says_what_to_do_next(results, tmp_path):
    console = Console(width=80, record=True, file=io.StringIO())
    print_recovery(results, console, tmp_path / "page.html")
    text = console.export_text()
    assert "Recovered  Why & how." in text
    assert "next: dormant audit BASE out --task icl/copy -n 200 --seed 0" in text
    assert results.check("my runs/out").startswith("dormant audit BASE 'my runs/out' --task")
    assert "101 (96 to" in text
    assert "not tried: average" in text
    assert max(map(len, text.split("\n\n")[1].splitlines())) <= 80
