"""Shipped sentences: parallel by id, and every one in the language that its file says."""

from __future__ import annotations

import pytest

from dormant.language import identify
from dormant.language.tasks import data, icl_vs_if, nli, refusal


def sentences(task, language):
    """Every whole sentence of one language, by id."""
    if task == "icl_vs_if":
        return dict(icl_vs_if.texts(language).sentences)
    if task == "refusal":
        return dict(refusal.shipped().prompts[language])
    items = nli.shipped().items[language]
    return {f"{k}/{part}": getattr(i, part) for k, i in items.items() for part in PARTS}


PARTS = ("premise", "hypothesis")
LANGUAGES = {
    "icl_vs_if": data.languages(icl_vs_if.FOLDER),
    "nli": tuple(nli.shipped().items),
    "refusal": tuple(refusal.shipped().prompts),
}
CODES = {
    "english": "en", "french": "fr", "spanish": "es", "german": "de", "russian": "ru",
    "dutch": "nl", "hungarian": "hu", "japanese": "ja",
}  # fmt: skip
CASES = [(task, language) for task, names in LANGUAGES.items() for language in names]


@pytest.mark.parametrize(("task", "language"), CASES)
def test_parallel_by_id(task, language):
    assert sentences(task, language).keys() == sentences(task, "english").keys()


@pytest.mark.parametrize(("task", "language"), CASES)
def test_no_sentence_is_left_untranslated(task, language):
    english = sentences(task, "english")
    for name, text in sentences(task, language).items():
        if language != "english":
            assert text != english[name], name


def misidentified(task, language):
    codes = sorted(CODES.values())
    found = {k: identify.identify(t, codes) for k, t in sentences(task, language).items()}
    return {name: code for name, code in found.items() if code != CODES[language]}


@pytest.mark.parametrize(("task", "language"), CASES)
def test_the_language_is_the_files(task, language):
    assert not misidentified(task, language)
