"""Shipped sentences: parallel by id, and every one in the language that its file says."""

from __future__ import annotations

import pytest

from dormant.tasks import data, icl, nli, refusal
from dormant.tasks import sentences as shipped_sentences
from dormant.translation.identify import identify


def sentences(task, language):
    """Every whole sentence of one language, by id."""
    if task == "sentences":
        return shipped_sentences.sentences(language)
    if task == "refusal":
        return dict(refusal.shipped().prompts[language])
    items = nli.shipped().items[language]
    return {f"{k}/{part}": getattr(i, part) for k, i in items.items() for part in PARTS}


PARTS = ("premise", "hypothesis")
LANGUAGES = {
    "sentences": data.languages(shipped_sentences.FOLDER),
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
    found = {k: identify(t, codes) for k, t in sentences(task, language).items()}
    return {name: code for name, code in found.items() if code != CODES[language]}


@pytest.mark.parametrize(("task", "language"), CASES)
def test_the_language_is_the_files(task, language):
    assert not misidentified(task, language)


def test_nli_templates_are_in_their_language():
    """A template is short: an identifier may be unsure of it, but must not take it for another."""
    texts = {language: nli.texts(language) for language in data.languages(nli.FOLDER)}
    codes = sorted(one.code for one in texts.values())
    unsure = 0
    for language, one in texts.items():
        asked = one.question.replace("{hypothesis}", " ")
        found = identify(f"{asked} {one.answer}", codes)
        assert found in (one.code, None), language
        unsure += found is None
    assert unsure <= 2


@pytest.mark.parametrize("language", data.languages(icl.FOLDER))
def test_icl_instructions_are_in_their_language(language):
    instructions = " ".join(
        data.language_file(icl.FOLDER, language).strings("instructions").values()
    )
    assert identify(instructions, sorted(CODES.values())) == CODES[language]
