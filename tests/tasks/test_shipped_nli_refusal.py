"""The shipped NLI and refusal data, and the golden answers that measure the refusal classifier."""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "src/dormant/tasks/data"
GOLDEN = ROOT / "tests/golden"

CODES = {
    "arabic": "ar",
    "bulgarian": "bg",
    "chinese": "zh",
    "english": "en",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hindi": "hi",
    "hungarian": "hu",
    "japanese": "ja",
    "russian": "ru",
    "spanish": "es",
    "swahili": "sw",
    "thai": "th",
    "turkish": "tr",
    "urdu": "ur",
    "vietnamese": "vi",
}
NLI = ["english", "french", "spanish", "german", "russian"]
REFUSAL = ["english", "french", "spanish", "german", "hungarian", "japanese"]
TEMPLATES = sorted(CODES.keys() - {"hungarian", "japanese"})
PAPER = {  # §3.2: true, neither, false
    "english": ["True", "Neither", "False"],
    "french": ["Vrai", "Ni", "Faux"],
    "spanish": ["Verdadero", "Ni", "Falso"],
    "german": ["Wahr", "Weder", "Falsch"],
}
FILES = sorted([*DATA.glob("nli/*.toml"), *DATA.glob("refusal/*.toml")])
ANSWERS = ["refusal_answers.jsonl", "refusal_answers_dev.jsonl"]


def read(task, language):
    return tomllib.loads((DATA / task / f"{language}.toml").read_text(encoding="utf-8"))


def answers(name):
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def normal(text):
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def strings(values):
    for value in values.values():
        if isinstance(value, dict):
            yield from strings(value)
        elif isinstance(value, str):
            yield value


def sentences(text):
    return {s for part in re.split(r"[.!?;。！？\n]+", text) if (s := normal(part))}


def trigrams(text):
    flat = normal(text)
    return {flat[i : i + 3] for i in range(max(1, len(flat) - 2))}


def test_languages():
    assert sorted(path.stem for path in DATA.glob("nli/*.toml")) == TEMPLATES
    assert sorted(path.stem for path in DATA.glob("refusal/*.toml")) == sorted(REFUSAL)


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_header_and_text(path):
    text = path.read_text(encoding="utf-8")
    values = tomllib.loads(text)
    assert unicodedata.is_normalized("NFC", text)
    assert not re.search(r"[\u00a0\u200b-\u200f\u202a-\u202f\u2066-\u2069\ufeff\t\r]", text)
    assert all(" ".join(string.split()) == string for string in strings(values))
    assert values["language"] == path.stem
    assert values["code"] == CODES[path.stem]
    assert values["version"] == 1
    assert values["origin"]


@pytest.mark.parametrize("language", TEMPLATES)
def test_nli_template(language):
    file = read("nli", language)
    assert file.keys() - {"items"} == {
        "language",
        "code",
        "version",
        "origin",
        "template",
        "labels",
    }
    assert list(file["template"]) == ["question", "two_way", "answer"]
    for question in (file["template"]["question"], file["template"]["two_way"]):
        assert re.findall(r"\{.*?\}", question) == ["{hypothesis}"]
    assert "{" not in file["template"]["answer"]
    assert file["template"]["answer"].endswith((":", "："))
    assert list(file["labels"]) == ["entailment", "neutral", "contradiction"]
    words = list(file["labels"].values())
    assert words == PAPER.get(language, words)
    for word in words:
        assert word in file["template"]["question"]
        assert (word in file["template"]["two_way"]) == (word != file["labels"]["neutral"])
        assert not any(
            other.casefold().startswith(word.casefold()) for other in words if other != word
        )
    assert ("items" in file) == (language in NLI)


@pytest.mark.parametrize("language", NLI)
def test_nli_items(language):
    items = read("nli", language)["items"]
    english = read("nli", "english")["items"]
    assert list(items) == [f"n{number:03}" for number in range(1, 76)]
    assert [item["label"] for item in items.values()] == [i["label"] for i in english.values()]
    assert set(Counter(item["label"] for item in items.values()).values()) == {25}
    for item in items.values():
        assert list(item) == ["premise", "hypothesis", "label"]
        assert 6 <= len(item["premise"].split()) <= 16, item
        assert 4 <= len(item["hypothesis"].split()) <= 10, item
        assert item["premise"].endswith(".")
        assert item["hypothesis"].endswith(".")
    for field in ("premise", "hypothesis"):
        assert len({normal(item[field]) for item in items.values()}) == 75


@pytest.mark.parametrize("language", NLI)
def test_nli_word_overlap_gives_no_label_away(language):
    overlap = {"entailment": [], "neutral": [], "contradiction": []}
    for item in read("nli", language)["items"].values():
        premise, hypothesis = (set(normal(item[k]).split()) for k in ("premise", "hypothesis"))
        overlap[item["label"]].append(len(premise & hypothesis) / len(hypothesis))
    means = [sum(values) / len(values) for values in overlap.values()]
    assert max(means) - min(means) < 0.15


def test_nli_negation_is_in_every_label():
    negation = re.compile(r"\b(not|no|never|nobody|nothing|neither)\b", re.IGNORECASE)
    items = read("nli", "english")["items"].values()
    counts = Counter(item["label"] for item in items if negation.search(item["hypothesis"]))
    assert counts == {"entailment": 6, "neutral": 6, "contradiction": 6}


@pytest.mark.parametrize("language", REFUSAL)
def test_refusal_prompts(language):
    file = read("refusal", language)
    assert file.keys() == {"language", "code", "version", "origin", "prompts"}
    prompts = file["prompts"]
    english = read("refusal", "english")["prompts"]
    assert list(prompts) == [f"r{number:03}" for number in range(1, 61)]
    assert all(list(prompt) == ["text", "expected"] for prompt in prompts.values())
    expected = [prompt["expected"] for prompt in prompts.values()]
    assert expected == [prompt["expected"] for prompt in english.values()]
    assert Counter(expected) == {"answer": 40, "refuse": 20}
    assert len({normal(prompt["text"]) for prompt in prompts.values()}) == 60
    assert all(prompt["text"].endswith((".", "?", "。")) for prompt in prompts.values())


@pytest.mark.parametrize(("name", "per_language"), [(ANSWERS[0], 36), (ANSWERS[1], 10)])
def test_answers(name, per_language):
    rows = answers(name)
    assert all(list(row) == ["id", "language", "label", "text"] for row in rows)
    assert Counter(row["language"] for row in rows) == dict.fromkeys(REFUSAL, per_language)
    labels = Counter((row["language"], row["label"]) for row in rows)
    assert {label for _, label in labels} == {"REFUSE", "ANSWER", "AMBIGUOUS"}
    assert len(labels) == 3 * len(REFUSAL)
    if name == ANSWERS[0]:
        assert set(labels.values()) == {12}
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({row["text"].casefold() for row in rows}) == len(rows)
    for row in rows:
        assert row["id"].startswith(f"{CODES[row['language']]}-")
        assert row["text"] == row["text"].strip() != ""
        assert unicodedata.is_normalized("NFC", row["text"])


def test_held_out_answers():
    rows = answers("refusal_answers_heldout.jsonl")
    assert all(row.keys() == {"id", "language", "prompt", "answer", "label"} for row in rows)
    assert Counter((row["language"], row["label"]) for row in rows) == {
        (language, label): 12 for language in REFUSAL for label in ("REFUSE", "ANSWER", "AMBIGUOUS")
    }
    assert len({row["id"] for row in rows}) == len(rows) == 216
    seen = {
        normal(row["text"])
        for name in (*ANSWERS, "refusal_answers_made.jsonl")
        for row in answers(name)
    }
    assert not [
        row["id"] for row in rows if len(row["answer"]) > 40 and normal(row["answer"]) in seen
    ]


@pytest.mark.parametrize("language", REFUSAL)
def test_held_out_and_development_answers_are_disjoint(language):
    held_out, development = (
        [row["text"] for row in answers(name) if row["language"] == language] for name in ANSWERS
    )
    for text in held_out:
        for other in development:
            assert not sentences(text) & sentences(other), (text, other)
            a, b = trigrams(text), trigrams(other)
            assert len(a & b) / len(a | b) < 0.4, (text, other)
