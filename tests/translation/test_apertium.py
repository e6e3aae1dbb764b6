"""The real Apertium: pairs, marks, hostile text, a process that dies."""

from __future__ import annotations

import os
import signal
import tomllib
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dormant import transforms
from dormant.errors import DormantError
from dormant.prompts.text_transform import outcomes
from dormant.transforms.fidelity import measure, summarise
from dormant.translation.apertium import Apertium

pytestmark = pytest.mark.usefixtures("installed_apertium")
LANGUAGES = {"spanish": "es", "catalan": "ca", "galician": "gl"}


@pytest.fixture(params=LANGUAGES)
def language(request):
    return transforms.get(f"{request.param}@apertium")


def sentences(count):
    data = files("dormant.tasks") / "data/icl_vs_if/english.toml"
    return list(tomllib.loads(data.read_text(encoding="utf-8"))["sentences"].values())[:count]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("spanish", "El perro come."),
        ("catalan", "El gos menja."),
        ("galician", "O can come."),
    ],
)
def test_translates_and_back(name, expected):
    language = transforms.get(f"{name}@apertium")
    assert language.apply("The dog eats.") == expected
    assert language.invert(expected) == "The dog eats."
    assert language.signature.startswith(f"{name}@apertium-3.")
    assert language.language == LANGUAGES[name]


def test_most_of_our_sentences_survive_the_round_trip(language):
    summary = summarise(measure(language, sentences(40)))
    assert summary.chrf > 55
    assert summary.passed >= 25
    assert sum(summary.reasons.values()) == 40 - summary.passed


@pytest.mark.parametrize(
    "text",
    [
        "a [b] {c} ^d$ @ / <e> \\",
        "*stars* ~ # & &amp;",
        "😀 e\u0301 x",
        "\t tabs \t",
        "3 ≤ 5",
        "1.[]",
    ],
)
def test_signs_of_the_stream_format_come_through(text, installed_apertium):
    for sign in "[]{}^$@/<>\\*~#&😀≤":
        if sign in text:
            (one,) = outcomes(lambda t: installed_apertium.translate(t, "en", "es"), [text + " ok"])
            if isinstance(one, str):
                assert one.count(sign) == text.count(sign), one


@pytest.mark.parametrize("text", ["", "  \n ", "16", "\n\n"])
def test_text_without_words_stays(language, text):
    assert language.apply(text) == text


def test_layout_stays(language):
    lines = language.apply("  The garden.\n\nThe house.  \n").split("\n")
    assert [bool(line.strip()) for line in lines] == [True, False, True, False]
    assert lines[0].startswith("  ")
    assert lines[2].endswith("  ")


def test_kept_spans_stand_untouched(language):
    text = "Print the name field 16 times."
    changed = transforms.apply_protected(language, text, [(10, 14), (21, 23)])
    assert "name" in changed
    assert "16" in changed


def test_unknown_words_are_an_error_not_a_blank(language):
    with pytest.raises(DormantError, match="in no dictionary of the pair, in 'Xyzzy qwrtz plugh"):
        language.apply("Xyzzy qwrtz plugh vlorp.")


def test_marks_of_words_that_are_lacking_are_taken_off(installed_apertium):
    def translate(text, target):
        return installed_apertium.translate([text], "en", target)[0]

    raw = translate("Its roof is made of red tiles.", "gl")
    assert "tile" in raw
    assert "@" not in raw
    assert "*" not in translate("The old xyzzy is big.", "es")
    assert "x@b *c #d" in translate("The word x@b *c #d is old.", "es")


def test_one_bad_text_does_not_spoil_its_batch(language):
    texts = ["The house is old.", "nul \0 byte", "xyzzy qwrtz plugh", "The garden is big."]
    results = outcomes(language.apply_batch, texts)
    assert [isinstance(one, str) for one in results] == [True, False, False, True]
    assert "NUL" in str(results[1])


def test_a_megabyte(language):
    text = " ".join(f"The old house has {n % 500} rooms." for n in range(40_000))
    assert len(text) > 1_000_000
    done = language.apply(text)
    assert done.count(" 77 ") == 80
    assert done.count(".") == 40_000


def test_a_process_that_is_killed_is_started_again():
    engine = Apertium()
    assert engine.translate(["The house."], "en", "es") == ["La casa."]
    (pipe,) = engine._pipes.values()
    os.killpg(pipe._process.pid, signal.SIGKILL)
    assert engine.translate(["The garden."], "en", "es") == ["El jardín."]
    engine.close()


def test_an_interruption_does_not_shift_the_answers(monkeypatch):
    engine = Apertium()
    with monkeypatch.context() as patched:
        patched.setattr(engine, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            engine.translate(["The house.", "The dog."], "en", "es")
    assert engine.translate(["The garden."], "en", "es") == ["El jardín."]
    engine.close()


ONCE = """#!/usr/bin/env python3
import sys
text = b""
while not text.endswith(bytes(1)):
    text += sys.stdin.buffer.read(1)
sys.stdout.buffer.write(text)
"""


def test_a_process_that_dies_twice_is_an_error_and_finished_work_is_kept(tmp_path):
    # A pipeline of one stage, which answers one text and ends.
    program = tmp_path / "once"
    program.write_text(ONCE)
    program.chmod(0o755)
    (tmp_path / "eng-spa.mode").write_text(f"{program}\n")
    engine = Apertium(tmp_path)
    results = outcomes(lambda t: engine.translate(t, "en", "es"), ["one", "two", "three", "four"])
    assert results[:2] == ["one", "two"]
    assert all("ended, or fell silent, twice" in str(one) for one in results[2:])
    engine.close()


def test_a_pair_that_is_not_installed():
    with pytest.raises(DormantError, match=r"no pair en-hu; install .* apt install apertium"):
        transforms.get("hungarian@apertium")


def test_composition_of_translation_and_cipher():
    both = transforms.get("spanish+leetspeak")
    assert both.apply("The house is old.") == "L4 c454 35 v13j4."
    assert both.invert("L4 c454 35 v13j4.") == "The house is old."
    assert "+leetspeak-1" in both.signature
    assert transforms.apply_protected(both, "The 15 houses.", [(4, 6)]) == "L45 15 c4545."


HOUSE = {"en": "The house.", "es": "La casa."}
PIECES = st.one_of(
    st.sampled_from(["the house ", "The garden ", "is ", "old.", "I ", "don't ", "U.S. ", "3.5 "]),
    st.sampled_from(
        "\\[]{}^$/<>*~#@+&;\t\r\x01\x1b\x85\u2028\u200d\u202e\ufeff\ufffeשم한\u0301🇩🇪\ue000\uf8ff"
    ),
    st.text(max_size=4),
)


@pytest.mark.parametrize(("text", "expected"), [("J", "J"), ("Mr", "Señor"), ("St", "St")])
def test_an_abbreviation_at_the_end_leaves_no_mark(installed_apertium, text, expected):
    assert installed_apertium.translate([text], "en", "es") == [expected]


@settings(max_examples=120, deadline=None)
@given(text=st.lists(PIECES, max_size=15).map("".join))
@pytest.mark.parametrize(("source", "target"), [("en", "es"), ("es", "en")])
def test_no_text_upsets_the_stream(installed_apertium, source, target, text):
    batch = [text.replace("\0", ""), HOUSE[source]]
    nasty, after = outcomes(lambda t: installed_apertium.translate(t, source, target), batch)
    assert after == HOUSE[target]
    if isinstance(nasty, str):
        for sign in "\\[]{}^$/<>\ue000\uf8ff":
            assert nasty.count(sign) == text.count(sign), nasty


@pytest.mark.parametrize(
    ("text", "source", "target", "expected"),
    [
        ("cow", "en", "es", "vaca"),
        ("Cow", "en", "es", "Vaca"),
        ("the old house", "en", "gl", "a casa vella"),
        ("vaca", "es", "en", "cow"),
        ("leo un libro", "es", "en", "I read"),
        ("We walked home.", "en", "es", "Anduvimos"),
    ],
)
def test_a_translation_begins_as_its_text_does(installed_apertium, text, source, target, expected):
    (made,) = installed_apertium.translate([text], source, target)
    assert made.startswith(expected)
