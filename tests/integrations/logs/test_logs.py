"""Paired comparison of logs that lm_eval and Inspect wrote."""

from __future__ import annotations

import csv
import json
import string
import subprocess
import sys

import pytest
from statsmodels.stats.contingency_tables import mcnemar

from dormant.errors import DormantError
from dormant.integrations import logs as posthoc

STAMP = "2026-01-02T03-04-05.678901"


def sample(number, filter_name="none", **metrics):
    return {
        "doc_id": number,
        "doc": {"q": number},
        "target": str(number),
        "arguments": {"gen_args_0": {"arg_0": f"Q{number}", "arg_1": " a"}},
        "filter": filter_name,
        "metrics": list(metrics),
        "doc_hash": f"d{number}",
        "prompt_hash": f"p{number}",
        **metrics,
    }


def write(folder, rows, task="tiny", stamp=STAMP):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"samples_{task}_{stamp}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def logs(tmp_path):
    base = write(tmp_path / "base", [sample(i, acc=float(i < 9)) for i in range(12)])
    tuned = write(tmp_path / "tuned", [sample(i, acc=float(i < 3)) for i in reversed(range(12))])
    return base, tuned


def compare(base, tuned):
    return posthoc.compare(posthoc.read_logs([base, tuned]))


def test_items_are_paired_by_id_not_by_order(logs):
    results = compare(*logs)
    (ability,) = results.abilities
    assert ability.task == "tiny/acc"
    assert ability.n_items == 12
    assert (ability.accuracy.base_plain, ability.accuracy.tuned_plain) == (9 / 12, 3 / 12)
    assert ability.drop is not None
    assert ability.drop.estimate == 0.5
    assert ability.drop_p_value == pytest.approx(mcnemar([[3, 6], [0, 3]], exact=True).pvalue)
    assert not results.warnings
    assert results.model_validate_json(results.to_json()) == results


def test_filters_are_abilities_and_other_metrics_are_named(tmp_path):
    rows = [sample(i, acc=1, bleu=0.25) for i in range(3)]
    rows += [sample(i, "strict", acc=i % 2) for i in range(3)]
    folder = write(tmp_path / "log", rows)
    log = posthoc.read_log(folder)
    assert {name: len(found) for name, found in log.abilities.items()} == {
        "tiny/acc": 3,
        "tiny/acc,strict": 3,
    }
    assert log.notes == ["tiny/bleu: not a count of successes, left out"]


def test_the_newest_of_several_runs_is_read(tmp_path):
    write(tmp_path / "log", [sample(0, acc=0)], stamp="2026-01-01T00-00-00.0")
    write(tmp_path / "log", [sample(0, acc=1)], stamp="2026-01-03T00-00-00.0")
    log = posthoc.read_log(tmp_path / "log")
    assert log.abilities["tiny/acc"]["0"].correct
    assert "several runs of tiny by log: the newest was read" in log.notes[0]


def test_differing_prompts_and_tasks_are_told(logs):
    base, tuned = logs
    write(tuned, [sample(i, acc=1) | {"prompt_hash": "other"} for i in range(12)])
    write(base, [sample(0, acc=1)], task="more")
    first, second = compare(base, tuned).warnings
    assert first.startswith(f"more/acc: in {base} only")
    assert "the prompts of 12 of 12 items differ" in second


@pytest.mark.parametrize("typed", [False, True])
def test_dormants_model_of_the_harness_makes_four_cells(tmp_path, typed):
    def run(name, transform, right):
        folder = write(
            tmp_path / f"{name}-{transform}", [sample(i, acc=i < right) for i in range(12)]
        )
        arguments = {"base": "hf", "pretrained": f"org/{name}", "transform": transform}
        text = ",".join(f"{key}={value}" for key, value in arguments.items())
        config = {"model": "dormant", "model_args": text if typed else arguments}
        (folder / f"results_{STAMP}.json").write_text(json.dumps({"config": config}))
        return folder

    folders = [
        run("base", "identity", 10), run("base", "rot13", 9),
        run("tuned", "identity", 2), run("tuned", "rot13", 8),
    ]  # fmt: skip
    results = posthoc.compare(posthoc.read_logs(folders))
    assert (results.base, results.tuned) == ("org/base", "org/tuned")
    (one,) = results.abilities[0].transforms
    assert one.name == "rot13"
    assert one.gain.estimate == pytest.approx(6 / 12)
    assert one.recovery.estimate == pytest.approx(8 / 12 - 1 / 12)
    assert not results.warnings


def test_the_item_view_has_both_sides(logs):
    found = list(posthoc.outcomes(posthoc.read_logs(logs)))
    assert len(found) == 24
    assert {outcome.model for outcome in found} == {"base", "tuned"}
    assert found[0].prompt == "Q0"
    assert found[0].target_logprob is None


BAD = {
    "fewer items": ([sample(i, acc=1) for i in range(11)], "tiny/acc: item 11 is in only one of"),
    "other data": (
        [sample(i, acc=1) | {"doc_hash": "x"} for i in range(12)],
        "item 0 is not the same in",
    ),
    "twice": ([sample(0, acc=1), sample(0, acc=1)], ":2: item 0 occurs twice for tiny/acc"),
    "no such metric": ([sample(0, f1=1)], "no task and metric of which all have plain samples"),
    "metric missing": ([sample(0) | {"metrics": ["acc"]}], ":1: not a sample of lm_eval (KeyError"),
    "a list": ([[1]], ":1: not a sample of lm_eval"),
    "empty": ([], "(none)"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_logs(logs, tmp_path, fault):
    rows, message = BAD[fault]
    with pytest.raises(DormantError) as error:
        compare(logs[0], write(tmp_path / "bad", rows))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_paths_that_are_no_logs(tmp_path):
    (tmp_path / "x.txt").write_text("")
    (tmp_path / "x.eval").write_text("no zip")
    (tmp_path / "empty").mkdir()
    for name, message in {
        "missing": "no such log",
        "x.txt": "not a log",
        "empty": "no samples_….jsonl there",
        ".": "not a log of Inspect",
        "x.eval": "not a log of Inspect",
        "y.eval": "no such log",
    }.items():
        with pytest.raises(DormantError, match=message):
            posthoc.read_log(tmp_path / name)


def inspect_log(path, grades, target="4"):
    from inspect_ai.dataset import Sample
    from inspect_ai.log import (
        EvalConfig,
        EvalDataset,
        EvalLog,
        EvalSample,
        EvalSpec,
        write_eval_log,
    )
    from inspect_ai.scorer import Score

    samples = [
        EvalSample(
            id=number // 2,
            epoch=number % 2 + 1,
            input=f"{number // 2}?",
            target=target,
            scores={"match": Score(value=grade), "length": Score(value=0.4)},
        )
        for number, grade in enumerate(grades)
    ]
    assert Sample  # the package is there
    spec = EvalSpec(
        created="2026-01-02T03:04:05+00:00",
        task="sums",
        dataset=EvalDataset(samples=len(samples) // 2),
        model=f"mock/{path.stem}",
        config=EvalConfig(epochs=2),
    )
    write_eval_log(EvalLog(status="success", eval=spec, samples=samples), str(path))
    return path


def test_inspect_logs(tmp_path):
    base = inspect_log(tmp_path / "base.eval", ["C", "C", "C", "I", "C", "C"])
    tuned = inspect_log(tmp_path / "tuned.eval", ["I", "N", "C", "I", 1, 0])
    results = compare(base, tuned)
    (ability,) = results.abilities
    assert (results.base, results.tuned) == ("mock/base", "mock/tuned")
    assert ability.task == "sums/match"
    assert ability.drop is not None
    # Epochs share a source item: three items drop by 1, 0 and 1/2.
    assert ability.drop.estimate == pytest.approx(0.5)
    assert "sums/length: not a count of successes, left out" in results.warnings
    with pytest.raises(DormantError, match="not the same in"):
        compare(base, inspect_log(tmp_path / "other.eval", ["C"] * 6, target="5"))


def tiny_model(path, seed):
    """A random Llama over single characters."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {c: i for i, c in enumerate(["<unk>", "<eos>", *string.printable])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", unk_token="<unk>")
    fast.save_pretrained(path)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(path)


TASK = """\
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
"""


@pytest.mark.slow  # lm_eval reads every task that it has, twice
def test_lm_evals_own_accuracies_to_the_last_digit(tmp_path):
    data = tmp_path / "data.jsonl"
    rows = [
        {"question": f"What is {i}?", "choices": [str(i), str(i + 3), "x" * (i % 5 + 1)]}
        | {"answer": i % 3}
        for i in range(23)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "tiny.yaml").write_text(TASK.format(data=data))
    running = []
    for seed, name in enumerate(("base", "tuned")):
        tiny_model(tmp_path / name, seed)
        command = [
            sys.executable, "-m", "lm_eval", "--model", "hf", "--device", "cpu",
            "--model_args", f"pretrained={tmp_path / name},dtype=float32",
            "--tasks", "tiny_choice", "--include_path", str(tmp_path / "tasks"),
            "--log_samples", "--output_path", str(tmp_path / f"out-{name}"),
        ]  # fmt: skip
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
    for process in running:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()[-2000:]

    results = compare(tmp_path / "out-base", tmp_path / "out-tuned")
    named = [f"{tmp_path / name},dtype=float32" for name in ("base", "tuned")]
    assert [results.base, results.tuned] == named
    assert [ability.task for ability in results.abilities] == [
        "tiny_choice/acc",
        "tiny_choice/acc_norm",
    ]
    assert not results.warnings
    for name in ("base", "tuned"):
        (file,) = (tmp_path / f"out-{name}").rglob("results_*.json")
        theirs = json.loads(file.read_text())["results"]["tiny_choice"]
        for ability in results.abilities:
            ours = getattr(ability.accuracy, f"{name}_plain")
            assert ours == theirs[f"{ability.task.split('/')[1]},none"]


def test_the_command_line(logs, tmp_path, monkeypatch, capsys):
    from dormant import cli

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["dormant", *map(str, words)])
        try:
            cli.main()
        except SystemExit as stop:
            return stop.code, capsys.readouterr()
        return 0, capsys.readouterr()

    code, said = run("compare", *logs)
    assert code in (0, None)
    assert "tiny/acc" in said.out
    code, _ = run("compare", *logs, "--format", "csv", "--out", tmp_path / "t.csv")
    assert code in (0, None)
    with (tmp_path / "t.csv").open(newline="") as stream:
        assert list(csv.DictReader(stream))
    code, said = run("compare", *logs, "--format", "html", "--out", tmp_path / "t.html")
    assert code in (0, None)
    assert "tiny/acc" in (tmp_path / "t.html").read_text(encoding="utf-8")
    code, said = run("report", *logs)
    assert code == 2
    assert said.err.startswith("error: name one run directory; dormant compare takes evaluations")


def test_report_from_still_works_with_a_warning(logs, monkeypatch, capsys):
    from dormant import cli

    words = ["dormant", "report", "--from", *map(str, logs), "--format", "terminal"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code in (0, None)
    said = capsys.readouterr()
    assert "tiny/acc" in said.out
    assert said.err.strip() == "warning: dormant report --from is now dormant compare"
