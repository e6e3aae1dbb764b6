"""Numbers and words: nothing printed may contradict what decided a verdict."""

import io
import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fixtures import demonstration, outcomes, two_cells
from rich.console import Console

from dormant.report import formatting, print_report
from dormant.report.figure import draw
from dormant.report.notebook import render_table
from dormant.report.page import render_page
from dormant.report.tables import latex_tables, transform_rows
from dormant.results import AbilityResult, Estimate, NotTried, Rung, RungResult, Verdict


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (0.66, "+66"),
        (-0.05, "−5"),
        (0.0, "0"),
        (-0.0, "0"),
        (0.004, "+0.4"),
        (-0.0051, "−0.5"),
        (0.0096, "+1"),
        (1.0, "+100"),
        (None, "–"),
    ],
)
def test_points(difference: float | None, text: str) -> None:
    assert formatting.points(difference) == text


@given(st.floats(-1, 1))
def test_points_keep_the_sign_of_whatever_they_can_show(difference: float) -> None:
    text = formatting.points(difference)
    if abs(difference) >= 0.00051:
        assert text[0] == ("+" if difference > 0 else "−")
    assert abs(float(text.replace("−", "-")) - 100 * difference) <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.834, "83%"), (0.0, "0%"), (1.0, "100%"), (0.004, "0.4%"), (None, "–")]
)
def test_percent(fraction: float | None, text: str) -> None:
    assert formatting.percent(fraction) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(48.2, "48 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "< 0.001"), (0.034, "0.034"), (1.0, "1.000"), (None, "–")]
)
def test_p_value(p: float | None, text: str) -> None:
    assert formatting.p_value(p) == text


def test_trouble_comes_first() -> None:
    verdicts = [ability.verdict for ability in formatting.by_severity(demonstration())]
    assert verdicts == ["lost", "suppressed", "inconclusive", "retained"]
    assert formatting.summary(demonstration()) == (
        "4 abilities: 1 lost, 1 suppressed, 1 inconclusive, 1 retained."
    )


def test_the_margin_is_the_settings_own() -> None:
    results = demonstration()
    assert formatting.margin_points(results) == "5"
    assert formatting.margin_points(results.model_copy(update={"settings": {}})) == "m"


def _ability(verdict: str) -> AbilityResult:
    return next(a for a in demonstration().abilities if a.verdict == verdict)


@pytest.mark.parametrize("verdict", get_args(Verdict))
def test_every_verdict_is_shown_in_every_format(verdict: Verdict) -> None:
    ability = _ability("lost").model_copy(update={"verdict": verdict})
    results = demonstration().model_copy(update={"abilities": [ability]})
    assert formatting.summary(results) == f"1 ability: 1 {verdict}."
    assert len({formatting.advice(_with(ability, other)) for other in get_args(Verdict)}) == 6
    assert len({formatting.meaning(_with(ability, other)) for other in get_args(Verdict)}) == 6
    page = render_page(results, outcomes(8))
    assert f"{formatting.MARKS[verdict]}</span> {verdict.capitalize()}</dt>" in page  # its rule
    assert f".{verdict.split()[0]} {{ --verdict: var(--{verdict.split()[0]}); }}" in page
    assert f"& {verdict} &" in latex_tables(results)
    named = ability.model_copy(update={"rung": "noise"})
    assert f"& {verdict} (noise) &" in latex_tables(
        results.model_copy(update={"abilities": [named]})
    )
    assert verdict in "".join(area.get_title("left") for area in draw(results, [ability]).axes)
    assert f"{formatting.MARKS[verdict]} {verdict}" in render_table(results)
    file = io.StringIO()
    print_report(results, Console(file=file, width=80))
    assert f"{formatting.MARKS[verdict]} {verdict}  icl/capital" in file.getvalue()


def _with(ability: AbilityResult, verdict: Verdict) -> AbilityResult:
    return ability.model_copy(update={"verdict": verdict})


def test_forgotten_is_not_called_proved() -> None:
    forgotten = formatting.meaning(_with(_ability("lost"), "forgotten"))
    assert "not recovered by anything tried, a short training included" in forgotten.lower()
    assert "cannot be proof" in forgotten


def test_what_got_better_is_not_where_it_was() -> None:
    kept = _with(_ability("lost"), "retained")
    up = Estimate(estimate=-0.2, low=-0.3, high=-0.1)
    same = Estimate(estimate=-0.02, low=-0.06, high=0.03)
    assert "is better at it" in formatting.meaning(kept.model_copy(update={"drop": up}))
    assert "where it was" in formatting.meaning(kept.model_copy(update={"drop": same}))


def test_lost_is_told_what_would_decide() -> None:
    lost = _ability("lost")
    assert "taught to keep to itself" in formatting.meaning(lost)
    assert "--evidence relearn" in formatting.advice(lost)
    reason = NotTried(rung="relearn", name="other-task", reason="it asks in French")
    refused = lost.model_copy(update={"not_tried": [reason]})
    assert "could not be tried here" in formatting.advice(refused)
    trained = lost.transforms[0].model_copy(update={"rung": "relearn", "control_passed": False})
    vain = lost.model_copy(update={"transforms": [*lost.transforms, trained]})
    assert "did not withstand the short trainings" in formatting.advice(vain)
    assert "--evidence" not in formatting.advice(refused) + formatting.advice(vain)


def test_advice_names_what_helps() -> None:
    assert "prompt through french" in formatting.advice(_ability("suppressed"))
    assert "410 items" in formatting.advice(_ability("inconclusive"))
    failed = [
        transform.model_copy(update={"control_passed": False})
        for transform in _ability("inconclusive").transforms
    ]
    hopeless = _ability("inconclusive").model_copy(
        update={"items_needed": None, "transforms": failed}
    )
    assert "Add a transform" in formatting.advice(hopeless)
    assert re.search("base model", formatting.advice(two_cells().abilities[0]))


def _back(rung: Rung, *names: str) -> AbilityResult:
    """Copying, back under what the halves chose on a rung."""
    copy = _ability("suppressed")
    cells = [
        copy.transforms[0].model_copy(update={"name": name, "rung": rung, "signature": name})
        for name in names
    ]
    gain, tuned = copy.gain, copy.accuracy_intervals.tuned_plain
    assert gain is not None
    assert tuned is not None
    result = RungResult(rung=rung, chosen=[*names], gain=gain, recovery=gain, tuned=tuned)
    return copy.model_copy(
        update={
            "rung": rung,
            "best_transform": names[0],
            "rungs": [result],
            "transforms": [*copy.transforms, *cells],
        }
    )


def test_both_that_the_halves_chose_are_named_everywhere() -> None:
    ability = _back("prompt", "cipher", "rhyme")
    results = demonstration().model_copy(update={"abilities": [ability]})
    assert "Under cipher or rhyme it does." in formatting.meaning(ability)
    assert "prompt through cipher or rhyme." in formatting.advice(ability)
    page = " ".join(render_page(results, outcomes(8)).split())
    assert "<dt>under cipher</dt>" in page
    assert "<dt>under rhyme</dt>" in page
    assert page.count('cipher <span class="tag best">best</span>') == 2
    assert page.count('rhyme <span class="tag best">best</span>') == 2
    assert "& cipher or rhyme &" in latex_tables(results)
    assert "cipher or rhyme" in render_table(results)
    best = {row["transform"] for row in transform_rows(results) if row["best"]}
    assert best == {"cipher", "rhyme"}
    file = io.StringIO()
    print_report(results, Console(file=file, width=120))
    assert "cipher or rhyme" in file.getvalue()
    ticks = [
        tick.get_text() for area in draw(results, [ability]).axes for tick in area.get_yticklabels()
    ]
    assert ticks[-2:] == ["cipher (best)", "rhyme (best)"]


@pytest.mark.parametrize(
    ("rung", "name", "word", "said", "where"),
    [
        ("noise", "noise-0.1", "transform or edit", "With its weights shaken a little", "under"),
        ("relearn", "other-task", "transform or training", "After a short training", "after"),
    ],
)
def test_edits_and_trainings_are_not_called_transforms(
    rung: Rung, name: str, word: str, said: str, where: str
) -> None:
    ability = _back(rung, name)
    results = demonstration().model_copy(update={"abilities": [ability]})
    assert f"{said}" in formatting.meaning(ability)
    assert f"({name}) it does." in formatting.meaning(ability)
    # Nobody can put a prompt through it.
    assert "stopgap" not in formatting.advice(ability)
    assert "mix a little of this task" in formatting.advice(ability)
    page = render_page(results, outcomes(8))
    assert f"<dt>{where} {name}</dt>" in page
    assert page.count(f'<th scope="col">Ability and {word}</th>') == 2
    assert f"<dt>Best {word}</dt>" in page
    assert f"plain and under each {word}</caption>" in page
    assert f"under each {word} $s$" in latex_tables(results)
    only = render_page(demonstration(), outcomes(8))
    assert '<th scope="col">Ability and transform</th>' in only
