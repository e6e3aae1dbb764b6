"""Pairs of words in all their layers: parallel, unambiguous, right as far as a rule can tell."""

from __future__ import annotations

import re
import unicodedata

import pytest

from dormant.tasks import data, icl

LANGUAGES = data.languages(icl.FOLDER)
ABILITIES = ("antonym", "plural", "capital")


def layers(language, ability):
    """The tables of an ability, one a layer."""
    folders = [icl.FOLDER, icl.FOLDER / "more", icl.FOLDER / "alone"]
    files = [data.read(f / f"{language}.toml") for f in folders if language in data.languages(f)]
    return [file.pairs(ability) for file in files if ability in file.values]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("ability", ABILITIES)
def test_layers_are_parallel_and_no_item_stands_in_two(ability, language):
    english, here = layers("english", ability), layers(language, ability)
    assert [list(table) for table in here[:2]] == [list(table) for table in english[:2]]
    assert language == "english" or len(here) <= 2
    keys = [key for table in here for key in table]
    assert len(set(keys)) == len(keys)
    assert list(icl.texts(language).pairs[ability]) == keys


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("ability", ABILITIES)
def test_every_input_is_asked_once_and_does_not_give_its_answer(ability, language):
    pairs = icl.texts(language).pairs[ability].values()
    inputs = [given.casefold() for given, _ in pairs]
    assert len(set(inputs)) == len(inputs)
    for given, answer in pairs:
        assert given.casefold() != answer.casefold()
        assert re.fullmatch(r"[^\W\d_]+(['’.-]? ?[^\W\d_]+)*\.?", given), given
        assert re.fullmatch(r"[^\W\d_]+(['’.-]? ?[^\W\d_]+)*\.?", answer), answer
        if ability != "capital":
            assert (given, answer) == (given.lower(), answer.lower())


IRREGULAR = {
    "child": "children", "grandchild": "grandchildren", "foot": "feet", "tooth": "teeth",
    "ox": "oxen", "knife": "knives", "leaf": "leaves", "wolf": "wolves", "loaf": "loaves",
    "elf": "elves", "life": "lives", "wife": "wives", "housewife": "housewives",
    "midwife": "midwives", "quiz": "quizzes", "oasis": "oases", "crisis": "crises",
    "stomach": "stomachs",
}  # fmt: skip


def english_plural(word):
    """The plural by rule, of nouns with one only."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith("man"):
        return f"{word[:-3]}men"
    if re.search(r"(s|x|z|ch|sh)$", word):
        return f"{word}es"
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return f"{word}s"


def french_plural(word):
    if word == "œil":
        return "yeux"
    if re.search(r"(eau|eu)$", word) or word in ("genou", "hibou", "chou", "bijou"):
        return f"{word}x"
    return f"{word[:-2]}aux" if word.endswith("al") else f"{word}s"


def spanish_plural(word):
    if word in ("examen", "imagen"):
        return {"examen": "exámenes", "imagen": "imágenes"}[word]
    if word.endswith("z"):
        return f"{word[:-1]}ces"
    if re.search(r"[aeiouéáó]$", word):
        return f"{word}s"
    # The stress, one syllable further from the end, needs no accent.
    for accented, bare in ("áa", "ée", "íi", "óo", "úu"):
        word = re.sub(f"{accented}([ns])$", rf"{bare}\1", word)
    return f"{word}es"


RULES = {"english": english_plural, "french": french_plural, "spanish": spanish_plural}


@pytest.mark.parametrize("language", RULES)
def test_plurals_are_those_of_the_rules(language):
    for given, answer in icl.texts(language).pairs["plural"].values():
        assert answer == RULES[language](given)


TWO_PLURALS = {
    "scarf", "hoof", "dwarf", "wharf", "cactus", "octopus", "volcano", "mango", "mosquito",
    "tornado", "buffalo", "zero", "cargo", "motto", "halo", "index", "appendix", "formula",
    "antenna", "aquarium", "stadium", "medium", "fish", "sheep", "deer", "shrimp", "trout",
    "person", "penny", "die", "staff", "cloth", "fruit", "hair", "ski",
}  # fmt: skip
"""Nouns of which two plurals are written, or none."""


def test_no_noun_has_two_plurals_or_none():
    assert not TWO_PLURALS & {given for given, _ in icl.texts("english").pairs["plural"].values()}


def bare(letter):
    return unicodedata.normalize("NFD", letter)[0]


@pytest.mark.parametrize(("language", "ending"), [("dutch", "(en|ën|s|eren)"), ("hungarian", "k")])
def test_other_plurals_end_like_plurals(language, ending):
    for given, answer in icl.texts(language).pairs["plural"].values():
        assert re.search(rf"{ending}$", answer), answer
        assert bare(answer[0]) == bare(given[0]), answer
        assert len(answer) > len(given) - 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_newer_country_gives_its_capital_away(language):
    for table in layers(language, "capital")[1:]:
        for country, capital in table.values():
            assert capital.casefold() not in country.casefold()
            assert country.casefold() not in capital.casefold()


SEVERAL_ANSWERS = {"bolivia", "south africa", "netherlands", "sri lanka", "israel", "palestine"}


def test_no_country_has_several_capitals():
    countries = {given.casefold() for given, _ in icl.texts("english").pairs["capital"].values()}
    assert not SEVERAL_ANSWERS & countries


def test_prefixed_opposites_are_their_word_with_a_prefix():
    """A slip of the pen in a long list: un + another word."""
    for table in layers("english", "antonym")[1:]:
        for given, answer in table.values():
            if re.match(r"(un|in|im|il|ir|dis|mis)", answer) and answer.endswith(given[1:]):
                prefixed = re.fullmatch(rf"(un|in|im|il|ir|dis|mis){given}", answer)
                assert prefixed or answer == "immigrate", answer


def test_two_words_are_not_each_others_opposite_in_one_direction_only():
    """If cold is the opposite of hot, hot is that of cold, whichever is asked."""
    pairs = dict(icl.texts("english").pairs["antonym"].values())
    first = dict(layers("english", "antonym")[0].values())
    odd = {word for word, other in pairs.items() if pairs.get(other, word) != word}
    # Words of two kinds ("empty" is done, and is), and what the first edition has twice.
    assert odd <= {"fill", "widen", "vanish", "ask", "fewer", *first}
