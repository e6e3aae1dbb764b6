"""Translation around the engine: checks, cache, choice of engine."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys

import pytest

from dormant import transforms, translation
from dormant.errors import DormantError
from dormant.prompts.text_transform import outcomes
from dormant.translation import checks, engines
from dormant.translation.cache import Cache

LONG = "The baker opened his shop before sunrise and sold bread to the whole village."
SPANISH = "El panadero abrió su tienda antes del amanecer y vendió pan a todo el pueblo."
FRENCH = "Le boulanger a ouvert sa boutique avant le lever du soleil et a vendu du pain."


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (LONG, "untranslated"),
        (LONG.replace("sold", "has sold"), "still in 'en'"),
        (FRENCH, "in 'fr', not 'es'"),
        ("El panadero abrió.", "cut off"),
        (SPANISH * 5, "runs on"),
    ],
)
def test_what_is_visibly_no_translation_is_an_error_of_its_item(fake_translator, made, complaint):
    engine = fake_translator(lambda text: made if text == LONG else "Bien hecho.")
    transform = translation.get("spanish", translator=engine)
    bad, good = outcomes(transform.apply_batch, [LONG, "Well done."])
    assert complaint in str(bad)
    assert good == "Bien hecho."
    with pytest.raises(DormantError, match="fake"):
        transform.apply(LONG)


def test_a_good_translation_passes():
    assert checks.problem(LONG, SPANISH, "en", "es") is None


@pytest.mark.parametrize("text", ["Hotel", "Peru", "OK", "Madrid, Peru"])
def test_short_text_may_stay_as_it_is(text):
    assert checks.problem(text, text, "en", "es") is None


def test_failures_are_not_cached_and_results_are(fake_translator):
    answers = {LONG: "", "Well done.": "Bien hecho."}
    engine = fake_translator(lambda text: answers[text])
    transform = translation.get("spanish", translator=engine)
    outcomes(transform.apply_batch, [LONG, "Well done."])
    answers[LONG] = SPANISH
    assert outcomes(transform.apply_batch, [LONG, "Well done."]) == [SPANISH, "Bien hecho."]
    assert engine.asked == [[LONG, "Well done."], [LONG]]


def test_another_version_of_an_engine_does_not_read_the_old_ones_cache(fake_translator):
    translation.get("spanish", translator=fake_translator(lambda _: "Uno.")).apply("One.")
    newer = fake_translator(lambda _: "Un.", release="2")
    assert translation.get("spanish", translator=newer).apply("One.") == "Un."


def test_repeated_sentences_are_translated_once(fake_translator):
    engine = fake_translator(lambda _: "Una casa.")
    transform = translation.get("spanish", translator=engine)
    assert transform.apply("A house.\nA house.") == "Una casa.\nUna casa."
    assert engine.asked == [["A house."]]


def test_no_cache_if_the_user_wants_none(fake_translator, monkeypatch):
    monkeypatch.setenv("DORMANT_CACHE", "")
    engine = fake_translator(lambda _: "Una casa.")
    transform = translation.get("spanish", translator=engine)
    transform.apply("A house.")
    transform.apply("A house.")
    assert len(engine.asked) == 2


def write_many(path, start):
    cache = Cache(path)
    for n in range(start, start + 50):
        cache.put("e-1", "en", "es", {f"text {n}": f"texto {n}"})


def test_two_writers_lose_nothing(tmp_path):
    path = tmp_path / "cache.sqlite3"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(path, start)) for start in (0, 25)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    wanted = [f"text {n}" for n in range(75)]
    assert Cache(path).get("e-1", "en", "es", wanted) == {
        t: t.replace("text", "texto") for t in wanted
    }


def test_a_killed_writer_leaves_what_it_had_finished(tmp_path):
    path = tmp_path / "cache.sqlite3"
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from dormant.translation.cache import Cache\n"
        "cache = Cache(Path(sys.argv[1])); cache.put('e', 'en', 'es', {'one': 'uno'})\n"
        "with cache._open() as connection:\n"
        "    connection.execute(\"INSERT INTO translations VALUES ('e','en','es','two','dos')\")\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    cache = Cache(path)
    assert cache.get("e", "en", "es", ["one", "two"]) == {"one": "uno"}
    cache.put("e", "en", "es", {"two": "dos"})
    assert cache.get("e", "en", "es", ["two"]) == {"two": "dos"}


def test_more_texts_than_one_statement_takes(tmp_path):
    cache = Cache(tmp_path / "cache.sqlite3")
    many = {f"text {n}": str(n) for n in range(1200)}
    cache.put("e", "en", "es", many)
    assert cache.get("e", "en", "es", list(many)) == many


def test_a_broken_cache_is_one_clear_line(tmp_path):
    path = tmp_path / "cache.sqlite3"
    path.write_bytes(b"no database at all, " * 100)
    with pytest.raises(DormantError, match=r"cache.sqlite3 can't be used .* delete it"):
        Cache(path).get("e", "en", "es", ["one"])
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(path).execute("SELECT 1 FROM translations")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("spansh", "did you mean 'spanish'"),
        ("spansh@apertium", "unknown language 'spansh': did you mean 'spanish'"),
        ("spanish@apertum", "unknown translator 'apertum': did you mean 'apertium'"),
        ("english@apertium", "in english already"),
        ("zulu", "no translator for zulu is installed"),
        ("spanish@argos:/nowhere/at/all", "no such directory"),
        ("spanish@openai", "LANGUAGE@openai:MODEL"),
        ("spanish@hf:/nowhere/at/all", "can't be loaded"),
    ],
)
def test_bad_names(name, message, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DormantError, match=message):
        transforms.get(name)


def test_the_best_engine_is_the_first_that_can_do_both_directions(fake_translator, monkeypatch):
    one_way, both_ways = fake_translator(str), fake_translator(lambda _: "Una casa.")
    one_way.pairs = lambda: [("en", "es")]
    fakes = {"argos": one_way, "apertium": both_ways}
    monkeypatch.setattr(engines, "engine", fakes.__getitem__)
    assert transforms.get("spanish").apply("A house.") == "Una casa."
    assert transforms.get("spanish").signature == "spanish@fake-1"


def test_two_translations_in_a_row_go_by_the_language_between(fake_translator, monkeypatch):
    asked = []

    def engine(_):
        made = fake_translator(lambda text: text[::-1])
        made.pairs = lambda: []
        translate = made.translate
        made.translate = lambda texts, *pair: asked.append(pair) or translate(texts, *pair)
        return made

    monkeypatch.setattr(engines, "engine", engine)
    both = transforms.get("spanish@fake+leetspeak+french@fake")
    both.apply("abc")
    both.invert("abc")
    assert asked == [("en", "es"), ("es", "fr"), ("fr", "es"), ("es", "en")]
    assert (both.source, both.language) == ("es", "fr")


def test_what_is_installed_can_be_listed(fake_translator, monkeypatch):
    engine = fake_translator(str)
    engine.pairs = lambda: [("en", "es"), ("es", "en"), ("en", "fr")]
    monkeypatch.setattr(engines, "engine", lambda _: engine)
    assert translation.installed() == {"argos": ["spanish"], "apertium": ["spanish"]}
