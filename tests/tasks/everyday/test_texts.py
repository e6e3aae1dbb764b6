"""The judges of languages, lengths and facts, on answers that they are likely to see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from everyday_labels import label

from dormant import tasks
from dormant.tasks.everyday import reply_language
from dormant.tasks.everyday.length import LONG, SHORT
from dormant.translation.identify import identify

GOLDEN = Path(__file__).parents[2] / "golden"
CODES = ("english", "french", "spanish", "german", "hungarian")
ESSAY = (
    "The sea is never the same twice. In the morning it lies there like glass, and a few hours "
    "later it throws grey water over the harbour wall. People who live beside it learn to read "
    "small signs: the colour of a cloud, the cry of the gulls, the way a rope begins to sing.\n\n"
    "My grandfather knew all of them. He never owned a boat, yet he walked down to the pier each "
    "day before breakfast and told us what the weather would do. He was seldom wrong, and when he "
    "was, he blamed the moon. I still go there when I visit my parents, and I listen."
)
OUTLINE = "\n".join(
    f"{n}. Part number {n} with some words about what comes in it" for n in range(1, 15)
)


@pytest.mark.parametrize(
    ("item", "output", "expected"),
    [
        ("essay-sea", ESSAY, "LONG"),
        ("essay-sea", ESSAY[: LONG - 1], "SHORT"),
        ("essay-sea", OUTLINE, "OUTLINE"),
        ("essay-sea", "# Title\n" + OUTLINE.replace(". Part", ") Part"), "OUTLINE"),
        ("essay-sea", "The sea is wide and blue. " * 40, "REPEATS"),
        ("essay-sea", "a" * 1000, "REPEATS"),
        ("line-sea", "A vast body of salt water.", "SHORT"),
        ("line-sea", "A vast body of salt water.\n\nUser: and now?", "SHORT"),
        ("line-sea", ESSAY, "LONG"),
        ("line-sea", "water", "WORD"),
        ("line-sea", "Label: neutral", "WORD"),
        ("line-sea", "Describe the sea in one short sentence.", "ECHO"),
    ],
)
def test_lengths(item, output, expected):
    assert label("everyday/length", item, output) == expected


def test_no_length_is_both_long_and_short():
    assert SHORT < LONG


GERMAN = "Das Meer ist groß und tief, und an vielen Tagen sieht es grau aus."
FRENCH = "La mer est grande et profonde, et elle paraît souvent grise sous un ciel couvert."
ENGLISH = "The sea is large and deep, and on many days it looks grey and cold."
DUTCH = "De zee is groot en diep en ziet er op veel dagen grijs en koud uit."


@pytest.mark.parametrize(
    ("item", "language", "output", "expected"),
    [
        ("own-sea", "german", GERMAN, "RIGHT"),
        ("own-sea", "german", f"```\n{GERMAN}\n```", "RIGHT"),
        ("own-sea", "german", ENGLISH, "ENGLISH"),
        ("own-sea", "german", FRENCH, "OTHER"),
        ("own-sea", "english", FRENCH, "OTHER"),
        ("own-sea", "german", "Positiv", "TOO_SHORT"),
        ("own-sea", "german", "1 2 3 4 5 6 7 8 9 10 11 12 13", "TOO_SHORT"),
        ("own-sea", "german", "Das Meer ist groß und tief.", "TOO_SHORT"),
        # The first demand is the first of the other languages: Dutch, where English asks.
        ("demanded-sea", "english", DUTCH, "RIGHT"),
        ("demanded-sea", "english", ENGLISH, "PROMPT"),
        ("demanded-sea", "english", GERMAN, "OTHER"),
        ("demanded-sea", "french", ENGLISH, "RIGHT"),
        ("demanded-sea", "french", FRENCH, "PROMPT"),
        ("demanded-sea", "english",
         "Please describe the sea in two or three sentences. Answer in Dutch.", "ECHO"),
    ],
)  # fmt: skip
def test_reply_languages(item, language, output, expected):
    assert label("everyday/reply-language", item, output, language) == expected


def test_a_demand_is_never_for_the_language_of_the_request():
    (task,) = tasks.get(["everyday/reply-language"])
    for language in task.languages():
        wanted = {task.wanted(item, language) for item in task.pool() if item[0] == "d"}
        assert wanted == {*task.languages()} - {language}


def test_the_languages_of_texts_that_are_long_enough_are_known():
    """Answers that no identifier has chosen, by seven writers in five languages."""
    rows = [
        json.loads(line)
        for name in "abcdef"
        for line in (GOLDEN / f"refusal_answers_{name}.jsonl").read_text("utf-8").splitlines()
    ]
    known = {name: reply_language._texts(name).code for name in CODES}
    texts = [(known[row["language"]], row["text"]) for row in rows if row["language"] in known]
    long = [one for one in texts if len(reply_language.words(one[1])) >= reply_language.LEAST]
    wrong = [one for one in long if identify(one[1], reply_language.codes()) != one[0]]
    assert len(long) > 500
    assert len(wrong) < 0.01 * len(long), wrong[:5]


@pytest.mark.parametrize(
    ("item", "language", "output", "expected"),
    [
        ("capital-hungary", "english", "Hungary", "RIGHT"),
        ("capital-hungary", "english", "Budapest is the capital of **Hungary**.", "RIGHT"),
        ("capital-hungary", "english", "hungary\n\nQuestion: and Poland?", "RIGHT"),
        ("capital-hungary", "english", "Magyarország", "OTHER_LANGUAGE"),
        ("capital-hungary", "english", "Budapest", "WRONG"),
        ("capital-hungary", "english", "Hungarian", "WRONG"),
        ("capital-hungary", "hungarian", "Magyarországnak.", "RIGHT"),
        ("city-germany_munich", "hungarian", "München Németországban van.", "RIGHT"),
        ("city-germany_munich", "german", "In Deutschland.", "RIGHT"),
        ("city-usa_boston", "english", "Let us see: I don't know.", "WRONG"),
        ("element-Sn", "hungarian", "ón", "RIGHT"),
        ("element-Sn", "hungarian", "Online", "WRONG"),
        ("element-Au", "french", "L'or.", "RIGHT"),
        ("element-Au", "english", "silver or copper", "WRONG"),
        ("book-saintexupery_prince", "english", "Antoine de Saint-Exupery", "RIGHT"),
        ("other-planets", "german", "Acht.", "RIGHT"),
        ("other-planets", "german", "18", "WRONG"),
        ("other-water_freezes", "english", "100", "WRONG"),
        ("capital-hungary", "english", f"{'France, ' * 45}Hungary", "WRONG"),
        ("capital-hungary", "english", "I'm not sure.\n\nHungary", "WRONG"),
        ("capital-hungary", "english", "Positive", "WRONG"),
    ],
)
def test_facts(item, language, output, expected):
    assert label("everyday/knowledge", item, output, language) == expected
