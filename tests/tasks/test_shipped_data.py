"""The shipped sentences and word pairs: parallel, clean, and usable as prompts."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "src/dormant/tasks/data"
LANGUAGES = ("english", "french", "spanish", "dutch", "hungarian")
PAIRS = {"antonym": 60, "plural": 80, "capital": 80}
FILES = sorted(str(file.relative_to(DATA)) for file in DATA.rglob("*.toml"))


def load(task: str, language: str) -> dict:
    return tomllib.loads((DATA / task / f"{language}.toml").read_text(encoding="utf-8"))


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


@pytest.mark.parametrize("file", FILES)
def test_text_is_clean(file):
    for text in strings(tomllib.loads((DATA / file).read_text(encoding="utf-8"))):
        assert text == text.strip()
        assert text == unicodedata.normalize("NFC", text)
        assert "  " not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences(language):
    english, here = (
        load("icl_vs_if", "english")["sentences"],
        load("icl_vs_if", language)["sentences"],
    )
    assert list(here) == list(english)
    assert len(here) >= 120
    assert len(set(here.values())) == len(here)
    for text in here.values():
        assert text.split()[0].isalpha(), text
        assert text.endswith("."), text
        assert not re.search(r"[0-9:\"()]", text), text
    first = [text.split()[0] for text in here.values()]
    assert max(first.count(word) for word in set(first)) <= 0.42 * len(first)


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_sentences_are_translated(language):
    english, here = (
        load("icl_vs_if", "english")["sentences"],
        load("icl_vs_if", language)["sentences"],
    )
    assert not set(english.values()) & set(here.values())


@pytest.mark.parametrize("ability", PAIRS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_pairs(ability, language):
    english, here = load("icl", "english")[ability], load("icl", language)[ability]
    assert list(here) == list(english)
    assert len(here) >= PAIRS[ability]
    inputs = [given for given, _ in here.values()]
    assert len(set(inputs)) == len(inputs)
    for given, answer in here.values():
        assert given != answer
        if ability != "capital":
            assert " " not in given + answer
