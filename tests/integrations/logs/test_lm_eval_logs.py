"""Logs of lm_eval as people have them: adapters, directions, lost samples, older formats."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from dormant.errors import DormantError
from dormant.integrations import logs as reading

STAMP = "2026-01-02T03-04-05.678901"
EARLIER = "2026-01-01T00-00-00.000001"


def sample(number, **metrics):
    return {
        "doc_id": number,
        "doc": {"q": number, "é": "ü"},
        "target": str(number),
        "arguments": {"gen_args_0": {"arg_0": f"Q{number}", "arg_1": " a"}},
        "resps": [], "filtered_resps": [],
        "filter": "none",
        "metrics": list(metrics),
        "doc_hash": hashlib.sha256(
            json.dumps({"q": number, "é": "ü"}, indent=2, ensure_ascii=False).encode()
        ).hexdigest(),
        "prompt_hash": hashlib.sha256(f"Q{number}".encode()).hexdigest(),
        **metrics,
    }  # fmt: skip


def rows_of(right, n=20, metric="acc"):
    return [sample(i, **{metric: float(i < right)}) for i in range(n)]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(folder, rows, arguments=None, *, stamp=STAMP, task="tiny", results=None, **config):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"samples_{task}_{stamp}.jsonl").write_text(lines(rows))
    if arguments is not None or results:
        given = {"config": {"model": "hf", "model_args": arguments, **config}} | (results or {})
        (folder / f"results_{stamp}.json").write_text(json.dumps(given))
    return folder


def compare(*paths, base=None, allow_identical=False, **directions):
    logs = reading.read_logs(list(paths), reading.Directions(**directions))
    return reading.compare(logs, base=base, allow_identical=allow_identical)


def drop(results):
    (ability,) = results.abilities
    return ability.drop.estimate


# -- which model ---------------------------------------------------------------------------------

DECIDING = {
    "peft": "my/adapter", "delta": "my/delta", "lora_local_path": "out/lora",
    "revision": "step1000", "subfolder": "step-2", "gguf_file": "q4.gguf", "dtype": "bfloat16",
    "load_in_4bit": "True", "autogptq": "x.safetensors", "tokenizer": "other",
    "something_new": "1",
}  # fmt: skip


@pytest.mark.parametrize("key", DECIDING)
@pytest.mark.parametrize("typed", [False, True])
def test_every_argument_that_decides_the_model_tells_runs_apart(tmp_path, key, typed):
    plain = {"pretrained": "my/base"}
    other = plain | {key: DECIDING[key]}

    def given(arguments):
        return ",".join(f"{k}={v}" for k, v in arguments.items()) if typed else arguments

    # Both in one folder, as lm_eval writes them: it calls both by the model's name.
    folder = write(tmp_path / "logs" / "my__base", rows_of(18), given(plain), stamp=EARLIER)
    write(folder, rows_of(3), given(other))
    results = compare(tmp_path / "logs")
    assert (results.base, results.tuned) == ("my/base", f"my/base,{key}={DECIDING[key]}")
    assert drop(results) == pytest.approx(15 / 20)
    assert not results.warnings


@pytest.mark.parametrize("key", ["peft", "delta", "lora_local_path"])
def test_the_model_below_an_adapter_is_the_base_wherever_it_lies(tmp_path, key):
    write(tmp_path / "a", rows_of(3), {"pretrained": "my/base", key: "my/a"})
    write(tmp_path / "b", rows_of(18), {"pretrained": "my/base"})
    for paths in ([tmp_path], [tmp_path / "a", tmp_path / "b"]):
        results = compare(*paths)
        assert (results.base, results.tuned) == ("my/base", f"my/base,{key}=my/a")
        assert drop(results) == pytest.approx(15 / 20)
    turned = compare(tmp_path, base=f"my/base,{key}=my/a")
    assert drop(turned) == pytest.approx(-15 / 20)


@pytest.mark.parametrize(
    "setting", [{"device": "cuda:1"}, {"parallelize": "True"}, {"dtype": "auto"}, {"peft": None},
                {"load_in_8bit": "False"}, {"revision": "main"}, {"trust_remote_code": True}],
)  # fmt: skip
def test_where_and_how_fast_it_ran_is_no_other_model(tmp_path, setting):
    write(tmp_path, rows_of(18), {"pretrained": "m"}, stamp=EARLIER)
    write(tmp_path, rows_of(3), {"pretrained": "m"} | setting)
    results = compare(tmp_path)
    assert results.base is None
    assert results.abilities[0].accuracy.tuned_plain == 3 / 20
    assert "several runs of tiny by m: the newest was read" in results.warnings[0]


def test_backends_and_revisions_by_hash_are_other_models(tmp_path):
    for name, given in (("v", {"model": "vllm"}), ("sha", {"model_sha": "1234567890"})):
        folder = tmp_path / name
        write(folder, rows_of(18), {"pretrained": "m"}, stamp=EARLIER, model_sha="abcdefghij")
        write(folder, rows_of(3), {"pretrained": "m"}, **({"model_sha": "abcdefghij"} | given))
    assert compare(tmp_path / "v").tuned == "vllm:m"
    results = compare(tmp_path / "sha")
    assert (results.base, results.tuned) == ("m@abcdefg", "m@1234567")


def test_two_logs_that_name_one_model_are_refused_or_told_of(tmp_path):
    for name, right in (("before", 18), ("after", 3)):
        write(tmp_path / name, rows_of(right), {"pretrained": "./model"})
    with pytest.raises(DormantError, match=r"name the same weights \(\./model\)") as refused:
        compare(tmp_path / "before", tmp_path / "after")
    assert "\n" not in str(refused.value)
    results = compare(tmp_path / "before", tmp_path / "after", allow_identical=True)
    assert drop(results) == pytest.approx(15 / 20)
    assert "both logs say that they are of ./model" in results.warnings[0]


def test_without_results_a_folder_is_a_model(tmp_path):
    write(tmp_path / "base", rows_of(18))
    write(tmp_path / "tuned", rows_of(3))
    results = compare(tmp_path)
    assert (results.base, results.tuned) == ("base", "tuned")
    write(tmp_path / "x", rows_of(1))
    with pytest.raises(DormantError, match=r"of 3 models \(base; tuned; x\)"):
        compare(tmp_path)


# -- which way is better -------------------------------------------------------------------------

LOWER = {"higher_is_better": {"tiny": {"refusal_rate": False}}}
CONFIGURED = {
    "configs": {"tiny": {"metric_list": [{"metric": "refusal_rate", "higher_is_better": False}]}}
}


@pytest.mark.parametrize("said", [LOWER, CONFIGURED])
def test_less_is_better_where_the_log_says_so(tmp_path, said):
    for name, refused in (("base", 17), ("tuned", 1)):
        write(tmp_path / name, rows_of(refused, metric="refusal_rate"), {"pretrained": name},
              results=said)  # fmt: skip
    results = compare(tmp_path / "base", tmp_path / "tuned")
    (ability,) = results.abilities
    assert ability.accuracy.base_plain == pytest.approx(3 / 20)
    assert ability.accuracy.tuned_plain == pytest.approx(19 / 20)
    assert ability.drop.estimate == pytest.approx(-16 / 20)
    assert "fell" not in ability.reason
    assert ability.title == "1 − refusal_rate: less of it is better"
    assert "its accuracies here are 1 − refusal_rate" in results.warnings[0]


def test_a_direction_that_nobody_says_is_not_guessed(tmp_path):
    paths = [
        write(tmp_path / name, rows_of(right, metric="toxicity"), {"pretrained": name})
        for name, right in (("base", 17), ("tuned", 1))
    ]
    with pytest.raises(DormantError, match="no task and metric") as error:
        compare(*paths)
    assert "say --higher-is-better toxicity or --lower-is-better toxicity" in str(error.value)
    assert drop(compare(*paths, lower=["toxicity"])) == pytest.approx(-16 / 20)
    assert drop(compare(*paths, higher=["tiny/toxicity"])) == pytest.approx(16 / 20)
    with pytest.raises(DormantError, match=r"'toxcity': did you mean 'toxicity'"):
        compare(*paths, lower=["toxcity"])
    with pytest.raises(DormantError, match="give one of them"):
        compare(*paths, lower=["toxicity"], higher=["toxicity"])


# -- what is lost, and what is partly right ------------------------------------------------------


@pytest.mark.parametrize("value", [None, float("nan"), "nan"])
def test_an_unscored_sample_is_a_lost_item_and_named(tmp_path, value):
    base = write(tmp_path / "base", rows_of(18))
    rows = rows_of(3)
    rows[7]["acc"] = value
    results = compare(base, write(tmp_path / "tuned", rows))
    (ability,) = results.abilities
    assert ability.n_items == 19
    assert ability.accuracy.tuned_plain == 3 / 19
    assert "1 items of" in results.warnings[0]
    assert "1 × not scored" in results.warnings[0]
    assert "(7)" in results.warnings[0]


def test_partial_credit_counts_as_lm_eval_counts_it(tmp_path):
    base = write(tmp_path / "base", rows_of(18))
    rows = rows_of(3)
    rows[7]["acc"], rows[8]["acc"] = 0.5, "True"  # NumPy's truth values are written as text
    results = compare(base, write(tmp_path / "tuned", rows))
    (ability,) = results.abilities
    assert ability.accuracy.tuned_plain == pytest.approx(4.5 / 20)
    assert ability.drop.low < 13.5 / 20 < ability.drop.high
    assert results.warnings == ["tiny/acc: 1 item (7) with partial credit, which counts as it is"]
    shown = {o.item: o for o in reading.outcomes(reading.read_logs([base, tmp_path / "tuned"]))
             if o.model == "tuned"}  # fmt: skip
    assert (shown["7"].correct, shown["7"].label) == (False, "0.5")


def test_nothing_scored_is_told(tmp_path):
    base = write(tmp_path / "base", rows_of(18))
    rows = [row | {"acc": None} for row in rows_of(3)]
    with pytest.raises(DormantError, match="tiny/acc: no item was scored, left out"):
        compare(base, write(tmp_path / "tuned", rows))


# -- formats -------------------------------------------------------------------------------------


def older(row, *, lists=True, hashes=False):
    """The same sample as lm_eval wrote it before 0.4.6, or before 0.4.3."""
    row = {key: value for key, value in row.items() if key not in ("filter", "metrics")}
    if not hashes:
        row = {key: value for key, value in row.items() if not key.endswith("_hash")}
    return row | ({"arguments": [[f"Q{row['doc_id']}", " a"]]} if lists else {})


def test_samples_before_0_4_6_pair_with_those_of_today(tmp_path):
    new = write(tmp_path / "new", rows_of(18))
    old = write(tmp_path / "old", [older(r, lists=False, hashes=True) for r in rows_of(3)])
    results = compare(new, old)
    assert [a.task for a in results.abilities] == ["tiny/acc"]
    assert drop(results) == pytest.approx(15 / 20)
    assert not results.warnings


def test_the_files_of_0_4_0_are_one_list_each(tmp_path):
    new = write(tmp_path / "new", rows_of(18), {"pretrained": "org/a"})
    old = tmp_path / "old"
    old.mkdir()
    config = {"model": "hf", "model_args": "pretrained=org/b,revision=r"}
    (old / "results.json").write_text(
        json.dumps({"results": {}, "config": config, "configs": {"tiny": {}}}, indent=2)
    )
    rows = json.dumps([older(row) for row in rows_of(3)], indent=2)
    (old / "pretrained__org__b,revision__r_tiny.jsonl").write_text(rows)
    results = compare(new, old)
    assert (results.base, results.tuned) == ("org/a", "org/b,revision=r")
    assert drop(results) == pytest.approx(15 / 20)
    # `results.json` was overwritten by every run: it says nothing of another model's samples.
    (old / "pretrained__org__c_tiny.jsonl").write_text(rows)
    logs = reading.read_logs([old])
    assert [log.name for log in logs] == ["org/b,revision=r", "pretrained__org__c_tiny"]


def test_filters_of_older_samples_are_named_by_the_results(tmp_path):
    rows = [older(sample(i, exact_match=float(i < right))) for right in (4, 15) for i in range(20)]
    filters = {"filter_list": [{"name": "strict-match"}, {"name": "flexible-extract"}]}
    folder = write(
        tmp_path / "log", rows, {"pretrained": "m"}, results={"configs": {"tiny": filters}}
    )
    log = reading.read_log(folder)
    right = {name: sum(s.value for s in found.values()) for name, found in log.abilities.items()}
    assert right == {
        "tiny/exact_match,strict-match": 4,
        "tiny/exact_match,flexible-extract": 15,
    }
    with pytest.raises(DormantError, match=r"item 0 occurs twice for tiny/exact_match \(before"):
        reading.read_log(write(tmp_path / "bare", rows))


def test_output_path_may_name_a_file(tmp_path):
    for name, right in (("base", 18), ("tuned", 3)):
        folder = write(tmp_path / name, rows_of(right), {"pretrained": f"org/{name}"})
        (folder / f"results_{STAMP}.json").rename(folder / f"mine_{STAMP}.json")
    results = compare(tmp_path / "base", tmp_path / "tuned")
    assert (results.base, results.tuned) == ("org/base", "org/tuned")
    by_results = compare(*sorted(tmp_path.rglob("mine_*.json")))
    assert by_results.abilities == results.abilities


def test_samples_and_results_may_lie_apart(tmp_path):
    folder = write(tmp_path / "run" / "samples", rows_of(3), {"pretrained": "org/m"})
    (folder / f"results_{STAMP}.json").rename(tmp_path / "run" / f"results_{STAMP}.json")
    assert reading.read_log(folder).name == "org/m"
    (tmp_path / "run" / "other").mkdir()
    (tmp_path / "run" / f"results_{STAMP}.json").rename(
        tmp_path / "run" / "other" / f"results_{STAMP}.json"
    )
    assert reading.read_log(tmp_path / "run").name == "org/m"


def test_renamed_files_are_known_by_what_they_hold(tmp_path):
    for name, right in (("base", 18), ("tuned", 3)):
        (tmp_path / f"{name}.jsonl").write_text(lines(rows_of(right)))
        (tmp_path / name).mkdir()
        (tmp_path / name / "arc.jsonl").write_text(lines(rows_of(right)))
        (tmp_path / name / "unrelated.jsonl").write_text('{"a": 1}\n')
    results = compare(tmp_path / "base.jsonl", tmp_path / "tuned.jsonl")
    assert (results.base, results.tuned) == ("base", "tuned")
    assert drop(results) == pytest.approx(15 / 20)
    results = compare(tmp_path / "base", tmp_path / "tuned")
    assert [ability.task for ability in results.abilities] == ["arc/acc"]


def test_what_simple_evaluate_returns_is_a_log(tmp_path):
    for name, right in (("base", 18), ("tuned", 3)):
        rows = [row | {"arguments": [["Q", "a"]]} for row in rows_of(right)]
        whole = {"results": {}, "config": {"model": "HFLM", "model_args": None}}
        whole |= {"higher_is_better": {"tiny": {"acc": True}}, "samples": {"tiny": rows}}
        (tmp_path / f"{name}.json").write_text(json.dumps(whole))
    results = compare(tmp_path / "base.json", tmp_path / "tuned.json")
    assert (results.base, results.tuned) == ("base", "tuned")
    assert drop(results) == pytest.approx(15 / 20)


BAD = {
    "cut.json": ('[{"doc_id": 0', "not valid JSON"),
    "no.jsonl": ('{"prompt": "a"}\n', "holds no samples of lm_eval"),
    "rows.json": ('[{"doc_id": 0, "acc": 1}, 2]', "sample 2 of samples: not a sample"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_damaged_or_something_else(tmp_path, name):
    text, message = BAD[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(DormantError, match=message) as error:
        reading.read_logs([tmp_path / name])
    assert "\n" not in str(error.value)


def test_the_commands_options(tmp_path, monkeypatch, capsys):
    from dormant import cli

    paths = [
        str(write(tmp_path / name, rows_of(right, metric="toxicity"), {"pretrained": name}))
        for name, right in (("base", 17), ("tuned", 1))
    ]
    words = ["dormant", "compare", *paths, "--lower-is-better", "toxicity", "--format", "json"]
    monkeypatch.setattr("sys.argv", [*words, "--out", str(tmp_path / "r.json")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code in (0, None)
    made = json.loads(Path(tmp_path / "r.json").read_text())
    assert made["abilities"][0]["drop"]["estimate"] == pytest.approx(-16 / 20)
