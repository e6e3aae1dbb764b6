"""The quality gate, against figures of sacrebleu's own and a translator of known faults."""

from __future__ import annotations

import json

import pytest
from sacrebleu import sentence_chrf
from typer.testing import CliRunner

from dormant import transforms, translation
from dormant.errors import DormantError
from dormant.prompts.conjugate import Conjugation
from dormant.prompts.segment import Segment
from dormant.transforms import fidelity as quality


def test_exact_transforms_lose_nothing():
    texts = ["What is 9 plus 16?", "The house."]
    results = quality.measure(transforms.get("leetspeak"), texts, [[(8, 9), (15, 17)], []])
    summary = quality.summarise(results)
    assert (summary.chrf, summary.identical, summary.kept, summary.passed) == (100, 1, 1, 2)
    assert results[0].changed == "Wh47 15 9 plu5 16?"
    assert summary.reasons == {}


def test_a_translator_of_known_faults(fake_translator):
    there = {
        "The house is old.": "La casa es vieja.",
        "The garden.": "El huerto grande.",
        "Water.": "",
        "A cat \ue000.": "Un gato.",
    }
    back = {"La casa es vieja.": "The home is old.", "El huerto grande.": "Big."}
    language = translation.get(
        "spanish", translator=fake_translator(lambda text: {**there, **back}.get(text, ""))
    )
    texts = ["The house is old.", "The garden.", "Water.", "A cat 7."]
    results = quality.measure(language, texts, [[], [], [], [(6, 7)]])
    good, far, empty, lost = results
    assert good.chrf == pytest.approx(sentence_chrf("The home is old.", [texts[0]]).score)
    assert good.error is None
    assert far.error == "round trip under chrF 40"
    assert empty.error == "its translation is empty"
    assert lost.error == "the kept '7' was lost or doubled"
    summary = quality.summarise(results)
    assert (summary.count, summary.passed, summary.kept) == (4, 1, 0.5)
    assert sum(summary.reasons.values()) == 3


def test_an_item_in_several_texts_is_judged_as_a_whole():
    leet = transforms.get("leetspeak")
    trips = quality.round_trips(
        Conjugation(leet), [Segment("Take 15.", protected=((5, 7),)), Segment("Input")]
    )
    found = quality.judge(leet, trips)
    assert (found.text, found.changed) == ("Take 15.\nInput", "†4k3 15.\n|npu7")
    assert (found.chrf, found.kept, found.error, found.language) == (100, 1, None, None)


def test_one_failure_fails_the_item_and_names_the_text():
    pig = transforms.get("pig-latin")
    found = quality.judge(
        pig, quality.round_trips(Conjugation(pig), [Segment("One."), Segment("a · b")])
    )
    assert found.error == "outside the domain (it holds '·')"
    assert found.at_fault == "a · b"
    assert (found.changed, found.restored, found.chrf) == (None, None, 0)


def test_the_language_of_a_whole_item_is_looked_at(fake_translator):
    # Each line alone is too short to be judged; together they are surely French.
    lines = ["Nous avons vu", "ce beau bateau", "qui était là", "chez le voisin", "aujourd'hui"]
    answers = dict(zip("abcde", lines, strict=True))
    engine = fake_translator(lambda text: answers.get(text, "x"))
    spanish = translation.get("spanish", translator=engine)
    found = quality.judge(
        spanish, quality.round_trips(Conjugation(spanish), [Segment(one) for one in "abcde"])
    )
    assert found.language == "fr"
    assert found.error == "its translation is in 'fr', not 'es'"
    assert quality.summarise([found]).languages == {"fr": 1}


def test_nothing_to_measure():
    with pytest.raises(DormantError, match="no text to measure"):
        quality.summarise([])


@pytest.fixture
def run():
    import typer

    from dormant.cli.transform import transform

    app = typer.Typer()
    app.command()(transform)
    return lambda *args, **kwargs: CliRunner().invoke(app, [*args], **kwargs)


def test_command_there_and_back(run):
    assert run("leetspeak", "What is it?").stdout == "Wh47 15 17?\n"
    assert run("leetspeak", "--invert", "Wh47 15 17?").stdout == "What is it?\n"
    assert run("leetspeak", "--keep", "Take 15.").stdout == "†4k3 15.\n"
    assert run("rot13", input="Hello\n").stdout == "Uryyb\n"
    assert run("base64", input="Hello\n").stdout == "SGVsbG8=\n"
    assert run("leetspeak", "--invert", "--keep", "†4k3 15.").stdout == "Take 15.\n"
    assert run("leetspeak", "--invert", "--keep", "†4k3 15, 7h15.").stdout == "Take 15, this.\n"


def test_command_check(run, tmp_path):
    file = tmp_path / "lines.txt"
    file.write_text("One line.\n\nAnother · line.\n")
    shown = run("pig-latin", "--check", str(file))
    assert "passed the gate" in shown.stdout
    assert "1 (50%)" in shown.stdout
    told = json.loads(run("pig-latin", "--check", str(file), "--json").stdout)
    assert told["count"] == 2
    assert told["passed"] == 1
    assert [line["text"] for line in told["lines"]] == ["One line.", "Another · line."]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("rot14", "x"), "did you mean 'rot13'"),
        (("pig-latin", "a · b"), "outside the domain"),
        (("rot13", "--check", "nowhere.txt"), "can't be read"),
        (("rot13", "x", "--check", "nowhere.txt"), "leave out TEXT"),
        (("rot13", "\udcff"), "the text is not UTF-8"),
        (("probe:chat", "x"), "is not for free text"),
    ],
)
def test_command_bad_input(run, args, message):
    result = run(*args)
    assert isinstance(result.exception, DormantError)
    assert message in str(result.exception)


def test_command_input_that_is_no_text(run):
    result = run("rot13", input=b"caf\xe9\n")
    assert "standard input is not UTF-8" in str(result.exception)


def test_command_empty_file(run, tmp_path):
    (tmp_path / "empty.txt").write_text("\n\n")
    result = run("rot13", "--check", str(tmp_path / "empty.txt"))
    assert "no line to check" in str(result.exception)


def test_command_says_which_engine_it_took(run, fake_translator, monkeypatch):
    from dormant.translation import engines

    engine = fake_translator({"The sea.": "El mar."}.__getitem__)
    monkeypatch.setattr(engines, "engine", lambda _: engine)
    told = run("spanish+rot13", "The sea.")
    assert told.stdout == "Ry zne.\n"
    assert told.stderr == "spanish: by spanish@fake-1\n"
    assert run("spanish@fake", "The sea.").stderr == ""
