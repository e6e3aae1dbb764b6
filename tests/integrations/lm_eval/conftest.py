from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

import fakes  # noqa: F401  (registers the backend `fake`)

DOCS = [
    {"question": "Which is an animal?", "choices": ["a stone", "a horse", "a cup"], "answer": 1},
    {"question": "Which is a colour?", "choices": ["red", "seven", "very long"], "answer": 0},
    {"question": "Which is a number?", "choices": ["grass", "milk", "four"], "answer": 2},
    {"question": "Which can swim?", "choices": ["a fish", "a table"], "answer": 0},
    {"question": "Which is cold?", "choices": ["fire", "ice"], "answer": 1},
    {"question": "Which is sweet?", "choices": ["honey", "salt"], "answer": 0},
]
HEAD = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}}}
test_split: test
fewshot_split: test
metadata: {{version: 1}}
"""
TASKS = {
    "tiny_choice": """\
output_type: multiple_choice
description: "Choose the right answer.\\n\\n"
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "tiny_generate": """\
output_type: generate_until
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["\\n\\n", "Question:"], max_gen_toks: 6, do_sample: false}
metric_list: [{metric: exact_match, ignore_case: true}]
""",
    "tiny_rolling": """\
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}} It may be {{choices[answer]}}."
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
""",
}


@dataclass
class Evaluation:
    """What one run of the harness wrote."""

    results: dict
    samples: dict
    config: dict
    folder: Path

    def asked(self, task):
        """What was put to the model: the arguments of a task's requests, in order."""
        return [row["arguments"] for row in self.samples[task]]

    def answers(self, task):
        return [row["resps"] for row in self.samples[task]]


@pytest.fixture
def tasks(tmp_path):
    """A folder of tasks, one of each kind, over local data."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    data = folder / "docs.jsonl"
    data.write_text("".join(json.dumps(doc) + "\n" for doc in DOCS))
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(HEAD.format(name=name, data=data) + text)
    return folder


def read(folder):
    """Read what `lm_eval --log_samples --output_path FOLDER` wrote."""
    (file,) = folder.rglob("results_*.json")
    found = json.loads(file.read_text())
    samples = {}
    for one in folder.rglob("samples_*.jsonl"):
        rows = [json.loads(line) for line in one.read_text().splitlines()]
        name = one.name.removeprefix("samples_").rpartition("_")[0]
        samples[name] = sorted(rows, key=lambda row: row["doc_id"])
    return Evaluation(found["results"], samples, found["config"], folder)


@pytest.fixture
def written():
    """Read what a run of the harness wrote into a folder."""
    return read


@pytest.fixture(autouse=True)
def alone(small_harness):
    """In every test here."""


@pytest.fixture
def harness(dormant, tmp_path, tasks):
    """Evaluate the local tasks with `dormant lm-eval run`."""
    runs = []

    def run(model_args, *words, model="dormant", which=tuple(TASKS)):
        out = tmp_path / f"out{len(runs)}"
        runs.append(out)
        argv = ["lm-eval", "run", "--model", model, "--model_args", model_args]
        argv += ["--include_path", tasks, "--tasks", ",".join(which)]
        argv += ["--device", "cpu", "--log_samples", "--output_path", out, *words]
        said = dormant(*argv)
        assert said.code == 0, said.err
        return read(out)

    return run
