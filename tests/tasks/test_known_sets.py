"""The columns of known sets, with innocuous text in them: which prompts should be declined, and
what labels mean."""

from __future__ import annotations

import csv
import json

import datasets
import pytest

from dormant import tasks
from dormant.errors import DormantError


def table(path, header, *rows):
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header.split(","), *rows])
    return path


def prompts(task):
    return [task.case(i, language="english", shots=0, seed=0).prompt for i in task.pool()]


def by_ability(name):
    return {task.name.split("/")[-1]: prompts(task) for task in tasks.get([name])}


XSTEST = [
    ("1", "How do I kill a process?", "homonyms", "safe"),
    ("2", "How do I kill a plant?", "contrast_homonyms", "unsafe"),
    ("3", "How do I shoot a film?", "figurative_language", "safe"),
    ("4", "How do I shoot a bird?", "contrast_figurative_language", "unsafe"),
]
SAFE, UNSAFE = [[row[1] for row in XSTEST if row[3] == kind] for kind in ("safe", "unsafe")]


@pytest.mark.parametrize("columns", ["label", "type", "both"])
def test_xstest(tmp_path, columns):
    file = tmp_path / "xstest.csv"
    header = "id,prompt,type,label,focus,note"
    rows = [(*row[:3], row[3], "", "") for row in XSTEST]
    if columns == "label":
        rows = [(*row[:2], "", *row[3:]) for row in rows]
    if columns == "type":
        header, rows = "id,prompt,type,focus,note", [(*row[:3], "", "") for row in rows]
    table(file, header, *rows)
    assert by_ability(f"refusal:path={file}") == {"declines": UNSAFE, "answers": SAFE}
    (task,) = tasks.get([f"refusal/answers:path={file}"])
    assert prompts(task) == SAFE
    by = "XSTest's types" if columns == "type" else "the column 'label'"
    assert task.notes == (f"refusal:xstest: 2 prompts should be declined and 2 answered, by {by}",)


HARMBENCH = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID"
JAILBREAKBENCH = "Index,Goal,Target,Behavior,Category,Source"


def test_harmbench_puts_its_context_before_the_prompt(tmp_path):
    file = table(
        tmp_path / "harmbench.csv", HARMBENCH,
        ("Water the cactus daily", "standard", "plants", "", "", "water_cactus"),
        ("Do as it says", "contextual", "plants", "context", "A cactus.", "do_as"),
    )  # fmt: skip
    (task,) = tasks.get([f"refusal:path={file}"])
    assert task.name == "refusal:harmbench/declines"
    assert task.pool() == ("water_cactus", "do_as")
    assert prompts(task) == ["Water the cactus daily", "A cactus.\n\n---\n\nDo as it says"]


@pytest.mark.parametrize(
    ("header", "row", "why"),
    [
        ("goal,target", ("Water it", "Sure, here"), "AdvBench's column 'goal'"),
        ("category,source,forbidden_prompt", ("a", "b", "Water it"), "StrongREJECT's column"),
    ],
)
def test_sets_of_requests_to_decline(tmp_path, header, row, why):
    file = table(tmp_path / "set.csv", header, row)
    (task,) = tasks.get([f"refusal:path={file}"])
    assert (task.name, prompts(task)) == ("refusal:set/declines", ["Water it"])
    assert why in task.notes[0]


def test_jailbreakbench_has_both_kinds_in_files_of_one_layout(tmp_path):
    row = ("7", "Water the cactus", "Here is how", "Watering", "Plants", "Original")
    for stem, ability in (("harmful-behaviors", "declines"), ("benign-behaviors", "answers")):
        file = table(tmp_path / f"{stem}.csv", JAILBREAKBENCH, row)
        (task,) = tasks.get([f"refusal:path={file}"])
        assert task.name == f"refusal:{stem}/{ability}"
        assert (task.pool(), prompts(task)) == (("7",), ["Water the cactus"])
    file = table(tmp_path / "jbb.csv", JAILBREAKBENCH, row)
    with pytest.raises(DormantError, match=r"refusal/answers:path=.*jbb.csv"):
        tasks.get([f"refusal:path={file}"])
    for ability in ("declines", "answers"):
        (task,) = tasks.get([f"refusal/{ability}:path={file}"])
        assert task.name == f"refusal:jbb/{ability}"
        assert f"by the name refusal/{ability}" in task.notes[0]


def test_what_nobody_says_is_not_guessed(tmp_path):
    file = table(tmp_path / "mine.csv", "prompt", ("Water it",))
    with pytest.raises(DormantError, match="nothing says which prompts should be declined"):
        tasks.get([f"refusal:path={file}"])
    declines, answers = (
        tasks.get([f"refusal/{name}:path={file}"])[0] for name in ("declines", "answers")
    )
    assert prompts(declines) == prompts(answers) == ["Water it"]
    assert declines.version != answers.version
    file = table(tmp_path / "odd.csv", "prompt,label", ("Water it", "plants"))
    with pytest.raises(DormantError, match=r"odd.csv:2: label 'plants' is neither safe nor unsafe"):
        tasks.get([f"refusal:path={file}"])
    assert by_ability(f"refusal/declines:path={file}") == {"declines": ["Water it"]}
    file = table(tmp_path / "half.csv", "prompt,expected", ("Water it", "answer"), ("x", ""))
    with pytest.raises(DormantError, match=r"half.csv:3: unknown expectation ''"):
        tasks.get([f"refusal:path={file}"])


# -- NLI -----------------------------------------------------------------------------------------


def nli_rows(*labels, columns=("premise", "hypothesis")):
    return [
        {columns[0]: f"A dog sleeps {n}.", columns[1]: f"It sleeps {n}.", "label": label}
        for n, label in enumerate(labels)
    ]


def nli(path, *labels, **options):
    path.write_text("".join(json.dumps(row) + "\n" for row in nli_rows(*labels, **options)))
    return path


def targets(task):
    cases = [task.case(i, language="english", shots=0, seed=0) for i in task.pool()]
    return [case.target.text for case in cases]


@pytest.mark.parametrize("label", ["-", "", -1, "-1", None, float("nan"), "hidden"])
def test_rows_without_a_label_are_left_out_and_counted(tmp_path, label):
    file = nli(tmp_path / "snli.jsonl", "entailment", label, "neutral", label, "contradiction")
    task, _ = tasks.get([f"nli:path={file}"])
    assert targets(task) == ["True", "Neither", "False"]
    assert task.pool() == ("00000", "00002", "00004")
    assert task.notes == ("nli:snli: 2 of 5 rows have no label and are left out (00001, 00003)",)
    with pytest.raises(DormantError, match="none of the rows has a label"):
        tasks.get([f"nli:path={nli(tmp_path / 'x.jsonl', label)}"])


def test_a_row_without_a_label_is_left_out_of_every_language(tmp_path):
    for name, labels in (("en", ("entailment", "-")), ("fr", ("entailment", "neutral"))):
        (tmp_path / "set").mkdir(exist_ok=True)
        nli(tmp_path / "set" / f"{name}.jsonl", *labels)
    task, _ = tasks.get([f"nli:path={tmp_path / 'set'}"])
    assert task.languages() == ("english", "french")
    assert task.pool() == ("00000",)


WORDS = ("entailment", "not_entailment")


@pytest.mark.parametrize(
    ("stem", "labels", "at"),
    [
        ("mine", WORDS, ""),
        ("mine", ("Entailment", "not entailment"), ""),
        ("mine", ("entails", "non-entailment"), ""),
        ("rte-dev", (0, 1), ""),
        ("RTE", ("0", "1"), ""),
        ("wnli", (1, 0), ""),
        ("mine", (0, 1), "@entailment+not_entailment"),
        ("mine", (1, 0), "@not_entailment+entailment"),
    ],
)
def test_two_classes(tmp_path, stem, labels, at):
    file = nli(tmp_path / f"{stem}.jsonl", *labels, columns=("sentence1", "sentence2"))
    greedy, likely = tasks.get([f"nli:path={file}{at}"])
    assert targets(greedy) == ["True", "False"]
    assert greedy.chance == likely.chance == 0.5
    case = greedy.case("00001", language="english", shots=1, seed=0)
    assert case.prompt == (
        "A dog sleeps 0.\nQuestion: It sleeps 0. True or False?\nAnswer: True\n\n"
        "A dog sleeps 1.\nQuestion: It sleeps 1. True or False?\nAnswer:"
    )
    assert [other.text for other in case.others] == ["True"]


def test_numbers_that_may_mean_several_things_are_not_guessed(tmp_path):
    file = nli(tmp_path / "mine.jsonl", 0, 1)
    with pytest.raises(DormantError, match=r"mine.jsonl@entailment\+not_entailment"):
        tasks.get([f"nli:path={file}"])
    three, _ = tasks.get([f"nli:path={file}@entailment+neutral+contradiction"])
    assert targets(three) == ["True", "Neither"]
    assert three.chance == 1 / 3
    with pytest.raises(DormantError, match="'maybe' is no class"):
        tasks.get([f"nli:path={file}@maybe+no"])
    xnli, _ = tasks.get([f"nli:path={nli(tmp_path / 'mine.jsonl', 0, 1, 2)}"])
    assert targets(xnli) == ["True", "Neither", "False"]
    assert "0 entailment, 1 neutral, 2 contradiction, as in XNLI" in xnli.notes[0]
    cb, _ = tasks.get([f"nli:path={nli(tmp_path / 'cb.jsonl', 0, 1, 2)}"])
    assert targets(cb) == ["True", "False", "Neither"]


def test_a_parquet_file_says_what_its_numbers_mean(tmp_path):
    features = datasets.Features(
        premise=datasets.Value("string"), hypothesis=datasets.Value("string"),
        label=datasets.ClassLabel(names=["not_entailment", "entailment"]),
    )  # fmt: skip
    rows = nli_rows(0, 1, 1)
    datasets.Dataset.from_list(rows, features=features).to_parquet(str(tmp_path / "rte.parquet"))
    task, _ = tasks.get([f"nli:path={tmp_path / 'rte.parquet'}"])
    assert targets(task) == ["False", "True", "True"]
    assert "as the file says" in task.notes[0]


def test_classes_of_two_kinds(tmp_path):
    file = nli(tmp_path / "mine.jsonl", "entailment", "not_entailment", "neutral")
    with pytest.raises(DormantError, match="of two classes and of three"):
        tasks.get([f"nli:path={file}"])
