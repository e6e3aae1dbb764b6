"""Tasks of lm-evaluation-harness: a local YAML task over local data, no hub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lm_eval.api.model import LM
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

from dormant import tasks
from dormant.audit.sample import ItemSample
from dormant.audit.score import score_cases
from dormant.audit.transformed import plain_cases, transformed_cases
from dormant.errors import DormantError
from dormant.tasks.task import GenerativeTask

ROOT = Path(__file__).resolve().parents[2]
DOCS = [
    {"question": "Which is an animal?", "choices": ["stone", "horse", "cup"], "answer": 1},
    {
        "question": "Which is a colour?",
        "choices": ["red", "seven", "a very long answer"],
        "answer": 0,
    },
    {"question": "Which is a number?", "choices": ["grass", "milk", "four"], "answer": 2},
    {"question": "Which can swim?", "choices": ["fish", "table"], "answer": 0},
]
CHOICE = """\
task: tiny_choice
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list:
  - metric: acc
  - metric: acc_norm
metadata: {{version: 2}}
"""
GENERATE = """\
task: tiny_generate_fr
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}}}
test_split: test
output_type: generate_until
doc_to_text: "Q: {{{{question}}}}\\nA:"
doc_to_target: "{{{{choices[answer]}}}}"
generation_kwargs: {{until: ["\\n", "Q:"], max_gen_toks: 7}}
filter_list:
  - name: first-word
    filter:
      - function: regex
        regex_pattern: "(\\\\w+)"
      - function: take_first
metric_list:
  - metric: exact_match
    ignore_case: true
"""


class Scripted(LM):
    """Log-probabilities by a rule, and completions from a list."""

    def __init__(self, completions=()):
        super().__init__()
        self.completions = list(completions)
        self.seen = []

    def loglikelihood(self, requests):
        self.seen += [request.args for request in requests]
        return [(-1.0 - sum(map(ord, "".join(r.args))) % 17, False) for r in requests]

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError

    def generate_until(self, requests):
        self.seen += [request.args for request in requests]
        return [self.completions[i % len(self.completions)] for i, _ in enumerate(requests)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def write(tmp_path):
    def write(template, docs=DOCS):
        data = tmp_path / "data.jsonl"
        data.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
        file = tmp_path / "task.yaml"
        file.write_text(template.format(data=data))
        return file

    return write


def test_multiple_choice(write):
    (task,) = tasks.get([f"lm-eval:{write(CHOICE)}"])
    assert task.name == "lm-eval/tiny_choice"
    assert task.measure == "most-likely-whole"
    assert task.languages() == ("english",)
    assert len(task.pool()) == 4
    assert task.chance == pytest.approx((3 / 3 + 1 / 2) / 4)
    assert task.default_shots == 0
    case = task.case("00000", language="english", shots=0, seed=0)
    assert case.prompt == "Question: Which is an animal?\nAnswer:"
    assert case.answers == ("horse", "stone", "cup")
    assert task.version.startswith("2")


CHANGES = {
    "prompt": ("Answer:", "So:"),
    "choices": ("doc_to_choice: choices", "doc_to_choice: '{{{{choices[::-1]}}}}'"),
    "target": ("doc_to_target: answer", "doc_to_target: '{{{{answer}}}}'"),
    "description": ("metric_list:", "description: Choose.\nmetric_list:"),
    "delimiter": ("metric_list:", "fewshot_delimiter: '###'\nmetric_list:"),
    "few-shot": ("metric_list:", "fewshot_config: {{sampler: first_n}}\nmetric_list:"),
    "shots": ("metric_list:", "num_fewshot: 1\nmetric_list:"),
    "metric": ("  - metric: acc\n", "  - metric: acc\n    ignore_case: true\n"),
    "first metric": ("acc\n  - metric: acc_norm", "acc_norm\n  - metric: acc"),
    "version": ("version: 2", "version: 3"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_configuration_is_a_changed_task(write, change):
    before, after = CHANGES[change]
    assert before in CHOICE
    (task,) = tasks.get([f"lm-eval:{write(CHOICE)}"])
    (same,) = tasks.get([f"lm-eval:{write(CHOICE)}"])
    (other,) = tasks.get([f"lm-eval:{write(CHOICE.replace(before, after))}"])
    assert task.version == same.version != other.version


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("take_first", "majority_vote"),
        ("max_gen_toks: 7", "max_gen_toks: 8"),
        ("ignore_case: true", "ignore_case: false"),
    ],
)
def test_how_answers_are_generated_and_judged_is_part_of_the_version(write, before, after):
    assert before in GENERATE
    (task,) = tasks.get([f"lm-eval:{write(GENERATE)}"])
    (other,) = tasks.get([f"lm-eval:{write(GENERATE.replace(before, after))}"])
    assert task.version != other.version


def test_a_function_of_the_tasks_own_is_part_of_the_version(write):
    text = CHOICE.replace(
        'doc_to_text: "Question: {{{{question}}}}\\nAnswer:"', "doc_to_text: !function utils.ask"
    )
    assert text != CHOICE
    file = write(text)
    versions = []
    for word in ("Question", "Question", "Frage"):
        (file.parent / "utils.py").write_text(
            f"WORD = {word!r}\n\n\ndef ask(doc):\n    return WORD + doc['question']\n"
        )
        (task,) = tasks.get([f"lm-eval:{file}"])
        versions.append(task.version)
    assert versions[0] == versions[1] != versions[2]


def test_moved_data_are_the_same_task(write, tmp_path):
    (task,) = tasks.get([f"lm-eval:{write(CHOICE)}"])
    moved = tmp_path / "elsewhere.jsonl"
    moved.write_bytes((tmp_path / "data.jsonl").read_bytes())
    file = tmp_path / "task.yaml"
    file.write_text(CHOICE.format(data=moved))
    (same,) = tasks.get([f"lm-eval:{file}"])
    assert same.version == task.version


@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_the_harness_and_the_audit_agree(write, metric):
    file = write(CHOICE)
    theirs = simple_evaluate(
        Scripted(),
        tasks=["tiny_choice"],
        task_manager=TaskManager(include_path=file.parent, include_defaults=False),
        bootstrap_iters=0,
    )
    (task,) = tasks.get([f"lm-eval:{file}@{metric}"])
    lm = Scripted()
    made = plain_cases(task, ItemSample(task.pool(), 0, 0))
    outcomes = score_cases(lm, task, list(made.cases.values()), "raw")
    samples = theirs["samples"]["tiny_choice"]
    assert [o.correct for o in outcomes] == [bool(sample[metric]) for sample in samples]
    asked = {tuple(a) for sample in samples for a in sample["arguments"]}
    assert set(lm.seen) == asked


def test_transforms_leave_the_layout_alone(write):
    (task,) = tasks.get([f"lm-eval:{write(CHOICE)}"])
    made = transformed_cases(task, ItemSample(("00000",), 0, 0), "rot13")
    (case,) = made.cases.values()
    assert case.prompt == "Dhrfgvba: Juvpu vf na navzny?\nNafjre:"
    assert case.answers == ("ubefr", "fgbar", "phc")


def test_demonstrations_are_the_items_own(write):
    file = write(CHOICE + "fewshot_split: test\n")
    (task,) = tasks.get([f"lm-eval:{file}"])
    first = task.case("00001", language="english", shots=2, seed=3).prompt
    task.case("00002", language="english", shots=2, seed=3)
    assert task.case("00001", language="english", shots=2, seed=3).prompt == first
    assert first.count("Answer: ") == 2
    assert first.endswith("Question: Which is a colour?\nAnswer:")
    others = {task.case("00001", language="english", shots=2, seed=s).prompt for s in range(6)}
    assert len(others) > 1


def test_generation_uses_the_tasks_filters_and_metric(write):
    (task,) = tasks.get([f"lm-eval:{write(GENERATE)}"])
    assert isinstance(task, GenerativeTask)
    assert task.languages() == ("french",)
    assert (task.max_new_tokens, task.until) == (7, ("\n", "Q:"))
    lm = Scripted([" Horse, of course", " blue", " four", ""])
    made = plain_cases(task, ItemSample(task.pool(), 0, 0))
    outcomes = score_cases(lm, task, list(made.cases.values()), "raw")
    assert [o.label for o in outcomes] == ["RIGHT", "WRONG", "RIGHT", "EMPTY"]
    assert [o.correct for o in outcomes] == [True, False, True, False]
    assert lm.seen[0] == (
        "Q: Which is an animal?\nA:",
        {"until": ["\n", "Q:"], "max_gen_toks": 7, "do_sample": False},
    )


def test_generated_answers_are_transformed_back(write):
    (task,) = tasks.get([f"lm-eval:{write(GENERATE)}"])
    made = transformed_cases(task, ItemSample(("00000",), 0, 0), "rot13")
    (outcome,) = score_cases(Scripted([" ubefr"]), task, list(made.cases.values()), "raw")
    assert outcome.correct


def test_an_answer_ends_where_the_plain_one_would(write):
    (task,) = tasks.get([f"lm-eval:{write(GENERATE)}"])
    made = transformed_cases(task, ItemSample(("00000",), 0, 0), "rot13")
    lm = Scripted([" D: ubefr D: fgbar"])
    (outcome,) = score_cases(lm, task, list(made.cases.values()), "raw")
    # "Q:" is "D:" to this model, and its own "Q:" is none.
    assert lm.seen[0][1]["until"] == ["\n"]
    assert outcome.label == "EMPTY"
    lm = Scripted([" ubefr D: fgbar"])
    (outcome,) = score_cases(lm, task, list(made.cases.values()), "raw")
    assert outcome.correct


def test_the_example_finds_its_data_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (task,) = tasks.get([f"lm-eval:{ROOT / 'examples/lm_eval/everyday.yaml'}"])
    assert Path.cwd() == tmp_path
    assert len(task.pool()) == 40
    assert task.chance == pytest.approx(1 / 3)
    cases = [task.case(item, language="english", shots=0, seed=0) for item in task.pool()]
    assert cases[0].answers == ("an umbrella", "a book", "a window")
    assert all(len(set(case.answers)) == 3 for case in cases)


BAD = {
    "no such file": ("lm-eval:none.yaml", "none.yaml: can't be read"),
    "unknown metric": ("lm-eval:{file}@f1", "unknown metric of lm-eval task 'tiny_choice' 'f1'"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_names(write, fault):
    name, message = BAD[fault]
    with pytest.raises(DormantError) as error:
        tasks.get([name.format(file=write(CHOICE))])
    assert message in str(error.value)


def test_a_task_without_right_answers(write):
    text = CHOICE.replace("multiple_choice", "loglikelihood_rolling").replace(
        "  - metric: acc\n  - metric: acc_norm", "  - metric: word_perplexity"
    )
    text = text.replace("doc_to_choice: choices\n", "").replace("answer\n", "question\n", 1)
    with pytest.raises(DormantError, match="has no right answer to count"):
        tasks.get([f"lm-eval:{write(text)}"])


def test_a_label_outside_the_choices(write):
    (task,) = tasks.get([f"lm-eval:{write(CHOICE, [*DOCS, {**DOCS[0], 'answer': 5}])}"])
    with pytest.raises(DormantError, match="item 00004: the target 5 is none of its choices"):
        task.case("00004", language="english", shots=0, seed=0)


@pytest.mark.slow  # the harness reads every task that it has
def test_an_unknown_name():
    with pytest.raises(DormantError, match="'arc_eazy': did you mean 'arc_easy'"):
        tasks.get(["lm-eval:arc_eazy"])


def test_data_that_can_not_be_fetched(write, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    text = CHOICE.replace("dataset_path: json", "dataset_path: nobody/nothing")
    file = write(text.replace("dataset_kwargs:\n  data_files: {{test: {data}}}\n", ""))
    with pytest.raises(DormantError, match="to run offline, pass a task's own YAML file"):
        tasks.get([f"lm-eval:{file}"])
