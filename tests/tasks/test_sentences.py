"""Generated sentences: as many as are promised, parallel, and none like another at its start."""

from __future__ import annotations

import tomllib

import pytest

from dormant.tasks import data
from dormant.tasks.sentences import COUNT, FOLDER, sentences, written

LANGUAGES = data.languages(FOLDER)


def test_there_are_a_thousand_and_the_written_ones_stand_first():
    first = written("english")
    every = sentences("english")
    assert len(every) == COUNT == 1000
    assert list(every.items())[: len(first)] == list(first.items())
    assert list(every)[-1] == "s1000"


def test_a_generated_sentence_is_the_same_everywhere_and_for_ever():
    """Runs are compared item by item, so an id may never stand for another sentence."""
    assert [sentences(language)["s1000"] for language in LANGUAGES] == LAST


LAST = [
    "Sara watered the flowers in the dark.",
    "Sara besproeide de bloemen in het donker.",
    "Sara arrosait les fleurs dans l'obscurité.",
    "Sara megöntözte a virágokat a sötétben.",
    "Sara regó las flores en la oscuridad.",
]


@pytest.mark.parametrize("language", LANGUAGES)
def test_files_have_the_same_parts(language):
    english, here = (
        tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
        for name in ("english", language)
    )
    for kind, parts in english.items():
        if isinstance(parts, dict):
            assert list(here[kind]) == list(parts), kind
            if kind not in ("templates", "plural_verbs"):
                texts = [str(text) for text in here[kind].values()]
                assert len(set(texts)) == len(texts), kind
    assert set(here["plural_verbs"]) == set(here["actions"])
    assert {number for _, number in here["groups"].values()} <= {"singular", "plural"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_generated_sentence_begins_like_another(language):
    """`icl/copy` scores the first three words, so they have to tell the sentence."""
    texts = sentences(language)
    starts = {key: tuple(text.casefold().split()[:3]) for key, text in texts.items()}
    generated = {starts[key] for key in texts if key not in written(language)}
    assert len(generated) == len(texts) - len(written(language))
    assert not generated & {starts[key] for key in written(language)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_generated_sentences_are_like_the_written_ones(language):
    for key, text in sentences(language).items():
        if key not in written(language):
            words = text.split()
            assert 4 <= len(words) <= 14, text
            assert text[0].isupper(), text
            assert text.count(".") == 1, text
            assert words[-1][:-1].isalpha() or "-" in words[-1] or "'" in words[-1], text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("which", "share"), [(0, 0.42), (-1, 0.1)])
def test_first_and_last_words_can_not_be_guessed(language, which, share):
    words = [text.split()[which] for text in sentences(language).values()]
    assert max(words.count(word) for word in set(words)) <= share * len(words)
