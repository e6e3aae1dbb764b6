"""Numbers and words: nothing printed may contradict what decided a verdict."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fixtures import demonstration, two_cells

from dormant.report import formatting
from dormant.results import AbilityResult


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
    assert verdicts == ["forgotten", "suppressed", "inconclusive", "retained"]
    assert formatting.summary(demonstration()) == (
        "4 abilities: 1 forgotten, 1 suppressed, 1 inconclusive, 1 retained."
    )


def test_the_margin_is_the_settings_own() -> None:
    results = demonstration()
    assert formatting.margin_points(results) == "5"
    assert formatting.margin_points(results.model_copy(update={"settings": {}})) == "m"


def _ability(verdict: str) -> AbilityResult:
    return next(a for a in demonstration().abilities if a.verdict == verdict)


def test_advice_names_what_helps() -> None:
    assert "prompt through french" in formatting.advice(_ability("suppressed"))
    assert (
        "not recovered by any transform tried" in formatting.meaning(_ability("forgotten")).lower()
    )
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
