"""NLI: the paper's prompt, its two scorings, and a user's own copy of XNLI."""

from __future__ import annotations

import json
import math

import datasets
import pytest
from lm_eval.api.model import LM

from dormant import tasks
from dormant.audit.sample import ItemSample
from dormant.audit.score import score_cases
from dormant.audit.transformed import transformed_cases
from dormant.errors import DormantError
from dormant.tasks import nli
from dormant.tasks.nli import xnli

GREEDY, LIKELY = nli.TASKS
WORDS = {  # paper §3.2: true, neither, false
    "english": {"entailment": "True", "neutral": "Neither", "contradiction": "False"},
    "french": {"entailment": "Vrai", "neutral": "Ni", "contradiction": "Faux"},
    "spanish": {"entailment": "Verdadero", "neutral": "Ni", "contradiction": "Falso"},
    "german": {"entailment": "Wahr", "neutral": "Weder", "contradiction": "Falsch"},
}


class Table(LM):
    """Gives each (prompt, answer) the log-probability of a table, or −9."""

    def __init__(self, table):
        super().__init__()
        self.table = table
        self.asked = []

    def loglikelihood(self, requests):
        self.asked += [request.args for request in requests]
        return [(self.table.get(request.args, -9.0), False) for request in requests]

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError

    def generate_until(self, requests):
        raise NotImplementedError


def test_the_prompt_is_the_papers():
    case = GREEDY.case("n001", language="english", shots=0, seed=0)
    item = nli.shipped().items["english"]["n001"]
    assert case.prompt == (
        f"{item.premise}\nQuestion: {item.hypothesis} True, False or Neither?\nAnswer:"
    )
    assert case.answers == ("True", "Neither", "False")
    assert not case.content_free


@pytest.mark.parametrize("language", WORDS)
def test_label_words_are_the_papers(language):
    for key, item in nli.shipped().items[language].items():
        case = GREEDY.case(key, language=language, shots=0, seed=0)
        assert case.target.text == WORDS[language][item.label]
        assert set(case.answers) == set(WORDS[language].values())


def test_languages_without_items_have_templates_only():
    assert set(GREEDY.languages()) == {"english", "french", "spanish", "german", "russian"}
    assert GREEDY.languages()[0] == "english"
    for language in ("chinese", "urdu", "vietnamese", "thai"):
        assert nli.texts(language).labels.keys() == set(nli.LABELS)
        assert not nli.texts(language).items


def test_no_space_before_the_answer_in_chinese(tmp_path):
    file = tmp_path / "zh.jsonl"
    row = {"premise": "甲", "hypothesis": "乙", "label": "neutral"}
    file.write_text(json.dumps(row) + "\n")
    (task,) = tasks.get([f"nli/greedy:path={file}"])
    case = task.case("00000", language="chinese", shots=0, seed=0)
    assert case.prompt.endswith("回答：")
    assert case.answer_prefix == ""
    assert case.target.text == "都不是"


def test_shots_are_blocks_with_answers_and_the_same_items_in_every_language():
    english, french = (
        GREEDY.case("n001", language=language, shots=2, seed=5)
        for language in ("english", "french")
    )
    assert english.prompt.count("\n\n") == french.prompt.count("\n\n") == 2
    items = nli.shipped().items
    shown = [key for key, item in items["english"].items() if f"{item.premise}\n" in english.prompt]
    assert len(shown) == 3
    assert all(f"{items['french'][key].premise}\n" in french.prompt for key in shown)


def test_a_transform_renders_labels_in_the_question_as_in_the_answer():
    for name in ("leetspeak", "pig-latin", "french+leetspeak"):
        made = transformed_cases(LIKELY, ItemSample(("n001", "n002"), 0, 0), name)
        for case in made.cases.values():
            assert all(answer in case.prompt.splitlines()[1] for answer in case.answers)
            assert "N/A" in case.content_free_prompt


def test_likely_is_calibrated_by_the_content_free_prompt_per_character():
    cases = [LIKELY.case(key, language="english", shots=0, seed=0) for key in ("n001", "n004")]
    empty = cases[0].content_free_prompt
    assert empty == "N/A\nQuestion: N/A True, False or Neither?\nAnswer:"
    # "False" is the likelier answer to both prompts, but it is to the empty prompt too. With the
    # empty prompt's taken off: True −1 / 4 letters; Neither −2.1 / 7; False −1.5 / 5 for the
    # first, False −1.2 / 5 for the second: −0.25 > −0.3 but −0.25 < −0.24.
    table = {(empty, " True"): -3.0, (empty, " Neither"): -3.0, (empty, " False"): -0.5}
    for case, wrong in zip(cases, (-2.0, -1.7), strict=True):
        table |= {(case.prompt, " True"): -4.0, (case.prompt, " Neither"): -5.1}
        table[case.prompt, " False"] = wrong
    lm = Table(table)
    first, second = score_cases(lm, LIKELY, cases, "raw")
    assert (first.correct, second.correct) == (True, False)
    assert first.content_free_logprobs == (-3.0, -3.0, -0.5)
    assert first.target_logprob == -4.0
    assert first.other_logprobs == (-5.1, -2.0)
    assert first.log_odds == pytest.approx(-4.0 - math.log(math.exp(-5.1) + math.exp(-2.0)))
    assert [prompt for prompt, _ in lm.asked].count(empty) == 3  # once for both cases


ROWS = [
    ("A dog sleeps.", "An animal sleeps.", "entailment"),
    ("A dog sleeps.", "The dog is old.", "neutral"),
    ('"No," said she.', "She agreed.", "contradiction"),
]


def write_parquet(path, rows):
    datasets.Dataset.from_list(rows).to_parquet(str(path))


def english_rows(numbered=True):
    return [
        {
            "premise": premise,
            "hypothesis": hypothesis,
            "label": nli.LABELS.index(label) if numbered else label,
        }
        for premise, hypothesis, label in ROWS
    ]


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "tsv"])
def test_a_local_copy_in_every_format(tmp_path, kind):
    file = tmp_path / f"xnli.{kind}"
    if kind == "parquet":
        write_parquet(file, english_rows())
    elif kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in english_rows()))
    else:  # the columns of XNLI's own TSV files
        lines = ["language\tgold_label\tsentence1\tsentence2\tpairID"]
        for language in ("en", "de"):
            lines += [
                f"{language}\t{row[2]}\t{row[0]}\t{row[1]}\t{i}" for i, row in enumerate(ROWS)
            ]
        file.write_text("\n".join(lines) + "\n")
    found = tasks.get([f"nli:path={file}"])
    assert [task.name for task in found] == ["nli:xnli/greedy", "nli:xnli/likely"]
    task = found[0]
    assert task.languages() == (("english", "german") if kind == "tsv" else ("english",))
    assert len(task.pool()) == 3
    for language in task.languages():
        cases = [task.case(item, language=language, shots=0, seed=0) for item in task.pool()]
        assert [case.prompt.split("\n")[0] for case in cases] == [row[0] for row in ROWS]
        assert [case.target.text for case in cases] == [WORDS[language][row[2]] for row in ROWS]


def test_a_directory_as_the_hub_lays_it_out(tmp_path):
    for code in ("en", "sw"):
        (tmp_path / "xnli" / code).mkdir(parents=True)
        write_parquet(
            tmp_path / "xnli" / code / "validation-00000-of-00001.parquet", english_rows()
        )
        write_parquet(tmp_path / "xnli" / code / "train-00000-of-00001.parquet", english_rows()[:1])
    source = xnli.from_path(tmp_path / "xnli")
    assert {name: len(items) for name, items in source.items.items()} == {
        "english": 3,
        "swahili": 3,
    }


def test_all_languages_in_one_row(tmp_path):
    file = tmp_path / "all.jsonl"
    row = {
        "premise": {"en": "A dog.", "fr": "Un chien."},
        "hypothesis": {"language": ["fr", "en"], "translation": ["Un animal.", "An animal."]},
        "label": 0,
    }
    file.write_text(json.dumps(row) + "\n")
    items = xnli.from_path(file).items
    assert items["french"]["00000"] == nli.Item("Un chien.", "Un animal.", "entailment")
    assert items["english"]["00000"] == nli.Item("A dog.", "An animal.", "entailment")


def test_the_version_follows_the_content(tmp_path):
    file = tmp_path / "x.jsonl"
    versions = set()
    for rows in (english_rows(), english_rows()[:2] * 2 + english_rows()[2:]):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        versions.add(xnli.from_path(file).version)
    assert len(versions) == 2


BAD = {
    "no such column": ('{"premise": "a", "label": 0}', "no column for the hypothesis"),
    "unknown label": (
        '{"premise": "a", "hypothesis": "b", "label": 3}',
        "x.jsonl:1: label 3 is none of entailment, neutral, contradiction",
    ),
    "label is true": ('{"premise": "a", "hypothesis": "b", "label": true}', "label True is none"),
    "empty premise": (
        '{"premise": " ", "hypothesis": "b", "label": 0}',
        "x.jsonl:1: 'premise' must be a non-empty text",
    ),
    "duplicate id": (
        '{"id": 7, "premise": "a", "hypothesis": "b", "label": 0}\n' * 2,
        "x.jsonl:2: item '7' occurs twice in english",
    ),
    "unknown language": (
        '{"language": "xx", "premise": "a", "hypothesis": "b", "label": 0}',
        "x.jsonl:1: unknown language 'xx'",
    ),
    "other items": (
        '{"language": "en", "id": 1, "premise": "a", "hypothesis": "b", "label": 0}\n'
        '{"language": "fr", "id": 2, "premise": "a", "hypothesis": "b", "label": 0}',
        "item '1' is there in english but not in french (1 such): the languages can't be paired",
    ),
    "other labels": (
        '{"language": "en", "id": 1, "premise": "a", "hypothesis": "b", "label": 0}\n'
        '{"language": "fr", "id": 1, "premise": "a", "hypothesis": "b", "label": 2}',
        "item '1' is 'entailment' in english but 'contradiction' in french",
    ),
    "a row without id": (
        '{"id": 1, "premise": "a", "hypothesis": "b", "label": 0}\n'
        '{"premise": "a", "hypothesis": "b", "label": 0}',
        "x.jsonl:2: 'id' is missing or empty",
    ),
    "a row without label": (
        '{"premise": "a", "hypothesis": "b", "label": 0}\n{"premise": "a", "hypothesis": "b"}',
        "x.jsonl:2: label None is none of",
    ),
    "a row without language": (
        '{"language": "en", "premise": "a", "hypothesis": "b", "label": 0}\n'
        '{"language": "", "premise": "a", "hypothesis": "b", "label": 0}',
        "x.jsonl:2: 'language' is missing or empty",
    ),
    "languages without text": (
        '{"premise": {"en": null}, "hypothesis": {"language": ["en"], "translation": ["b"]}, '
        '"label": 0}',
        "x.jsonl:1: premise and hypothesis do not hold the same languages",
    ),
    "damaged": ('{"premise": "a"', "x.jsonl:1: not valid JSON"),
    "a list": ("[1]", "x.jsonl:1: a line must be an object"),
    "empty": ("\n", "the file holds no rows"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_tables(tmp_path, fault):
    text, message = BAD[fault]
    file = tmp_path / "x.jsonl"
    file.write_text(text)
    with pytest.raises(DormantError) as error:
        tasks.get([f"nli:path={file}"])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nli:path=missing.tsv", "missing.tsv: no such file"),
        ("nli:path=x.xlsx", "must end in .csv, .tsv, .jsonl, .parquet"),
        ("nli:file=x.tsv", "write nli:path=… or nli:hub=…"),
        ("nli/quick:path={file}", "unknown ability 'nli/quick'"),
        ("nli:path={folder}", "no file or folder named after a language"),
        ("nli:path={damaged}", "not a Parquet file"),
        ("nli:path={latin}", "not UTF-8"),
    ],
)
def test_bad_names(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.jsonl").write_text(json.dumps(english_rows()[0]))
    (tmp_path / "x.parquet").write_text("no parquet")
    (tmp_path / "x.tsv").write_bytes("prémisse".encode("latin-1"))
    name = name.format(
        file=tmp_path / "x.jsonl",
        folder=tmp_path / "empty",
        damaged=tmp_path / "x.parquet",
        latin=tmp_path / "x.tsv",
    )
    with pytest.raises(DormantError) as error:
        tasks.get([name])
    assert message in str(error.value)


def test_offline_says_how_to_pass_a_local_copy(monkeypatch):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(DormantError) as error:
        tasks.get(["nli:hub=nobody/no-such-data-set"])
    assert "can't be fetched" in str(error.value)
    assert "--task nli:path=FILE_OR_DIRECTORY" in str(error.value)
    assert "\n" not in str(error.value)
