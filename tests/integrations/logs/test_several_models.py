"""Logs of one base and several models: a comparison each, a timeline, and what is refused."""

from __future__ import annotations

import csv
import json

import pytest
from test_inspect_logs import written
from test_lm_eval_logs import STAMP, rows_of, write

from dormant.errors import DormantError
from dormant.integrations import logs as reading
from dormant.models.weights import WEIGHTS
from dormant.results.timeline import Timeline


def adapter(folder, right, name, *, n=60, **config):
    """A log of an adapter on my/base, as the harness writes it."""
    arguments = {"pretrained": "my/base"} | ({"peft": name} if name else {})
    return write(folder, rows_of(right, n), arguments, **config)


@pytest.fixture
def three(tmp_path):
    """A child, the base, and another child, in this order."""
    return [
        adapter(tmp_path / "logs" / "a", 20, "out/checkpoint-200"),
        adapter(tmp_path / "logs" / "b", 57, ""),
        adapter(tmp_path / "logs" / "c", 56, "out/checkpoint-20"),
    ]


def test_each_is_compared_with_the_base_as_if_alone(three):
    compared = reading.compare_children(reading.read_logs(three))
    timeline = compared.timeline
    assert timeline.base == "my/base"
    assert [(child.name, child.step) for child in timeline.children] == [
        ("checkpoint-20", 20),
        ("checkpoint-200", 200),
    ]
    assert timeline.keep is None, "without transforms no verdict tells a loss"
    assert timeline.keep_reason.startswith("No model was evaluated under a transform")
    for name, paths in (("checkpoint-200", three[:2]), ("checkpoint-20", three[1:])):
        alone = reading.compare(reading.read_logs(paths))
        assert compared.found[name].abilities == alone.abilities
    (course,) = timeline.courses
    assert [point.drop.estimate for point in course.points] == pytest.approx([1 / 60, 37 / 60])


def test_the_command_prints_a_timeline_and_writes_pages_beside_it(dormant, three, tmp_path):
    said = dormant("compare", tmp_path / "logs")
    assert said.code == 0, said.err
    assert "my/base → 2 fine-tuned models" in said.out
    assert "Which to keep is not said." in said.out
    assert "undecided at 2 of 2; a drop whose lower bound is above 0 first at checkpoint-200" in (
        " ".join(said.out.split())
    )
    out = tmp_path / "pages"
    assert dormant("compare", *three, "--format", "html", "--out", out).code == 0
    page = (out / "timeline.html").read_text(encoding="utf-8")
    for name in ("checkpoint-20", "checkpoint-200"):
        assert f'href="{name}/report.html"' in page
        assert "tiny/acc" in (out / name / "report.html").read_text(encoding="utf-8")
    assert dormant("compare", *three, "--format", "csv", "--out", out).code == 0
    with (out / "timeline.csv").open(newline="") as stream:
        assert [row["child"] for row in csv.DictReader(stream)] == [
            "checkpoint-20",
            "checkpoint-200",
        ]
    assert dormant("compare", *three, "--format", "json", "--out", out).code == 0
    Timeline.model_validate_json((out / "timeline.json").read_bytes())
    said = dormant("compare", *three, "--format", "latex")
    assert said.code == 2
    assert said.err.startswith("error: the logs are of 2 models fine-tuned from my/base, and latex")


def test_one_that_can_not_be_compared_is_named_and_the_others_go_on(dormant, three, tmp_path):
    adapter(tmp_path / "logs" / "d", 3, "out/checkpoint-300", n=12)
    said = dormant("compare", tmp_path / "logs", "--format", "csv", "--out", tmp_path / "t.csv")
    assert said.code == 2
    assert said.err.startswith("error: not compared: checkpoint-300: tiny/acc: item 12 is in only")
    with (tmp_path / "t.csv").open(newline="") as stream:
        rows = {row["child"]: row["problem"] for row in csv.DictReader(stream)}
    assert [*rows] == ["checkpoint-20", "checkpoint-200", "checkpoint-300"]
    assert rows["checkpoint-20"] == ""
    assert "item 12 is in only one of" in rows["checkpoint-300"]


def test_a_gate_that_only_transforms_could_fail_is_refused_without_any(dormant, three, tmp_path):
    fell = ("compare", *three[:2], "--base", "my/base", "--fail-on", "suppressed,lost")
    for words in (fell, ("compare", *three, "--fail-on", "suppressed,lost")):
        said = dormant(*words, "--format", "csv", "--out", tmp_path / "t.csv")
        assert said.code == 2
        assert "--fail-on suppressed,lost could never fail: nothing was evaluated" in said.err
        assert len(said.err.strip().splitlines()) == 1
    said = dormant(*fell, "--fail-on", "inconclusive")
    assert said.code == 1
    assert "tiny/acc is inconclusive" in said.err


def test_a_gate_says_for_what_it_can_not_fail(dormant, tmp_path):
    paths = []
    for name, transform, task in (
        ("", "identity", "tiny"), ("", "rot13", "tiny"), ("", "identity", "plain"),
        ("out/keeps", "identity", "tiny"), ("out/keeps", "rot13", "tiny"),
        ("out/keeps", "identity", "plain"),
    ):  # fmt: skip
        given = {"base": "hf", "pretrained": "my/base", "transform": transform}
        given |= {"peft": name} if name else {}
        right = 20 if task == "plain" and name else 190
        folder = tmp_path / f"{name.rpartition('/')[2]}-{transform}-{task}"
        paths.append(write(folder, rows_of(right, 200), given, model="dormant", task=task))
    said = dormant("compare", *paths, "--fail-on", "suppressed,lost")
    assert said.code == 0
    (warned,) = [line for line in said.err.splitlines() if "--fail-on" in line]
    assert warned.startswith("warning: --fail-on suppressed,lost can't fail for what was evaluated")
    assert warned.endswith(": plain/acc")


def test_what_a_comparison_warns_of_is_said_with_the_timeline(dormant, three, tmp_path):
    file = three[0] / f"samples_tiny_{STAMP}.jsonl"
    file.write_text(file.read_text().replace('"prompt_hash": "', '"prompt_hash": "other'))
    said = dormant("compare", tmp_path / "logs")
    assert "warning: checkpoint-200: tiny/acc: the prompts of 60 of 60 items differ" in said.err


# -- which weights -------------------------------------------------------------------------------


def weights(model, adapter="", name=""):
    return {WEIGHTS: {"model": model, "adapter": adapter, "adapter_name": name}}


def test_the_base_is_known_by_its_weights_whatever_it_is_called(tmp_path):
    paths = [
        write(tmp_path / "a", rows_of(3), {"pretrained": "./one"}, **weights("w", "x", "./one")),
        write(tmp_path / "b", rows_of(18), {"pretrained": "/copy/of/base"}, **weights("w")),
    ]
    results = reading.compare(reading.read_logs(paths))
    assert (results.base, results.tuned) == ("/copy/of/base", "./one")
    paths.append(
        write(tmp_path / "c", rows_of(18), {"pretrained": "./two"}, **weights("w", "y", "./two"))
    )
    timeline = reading.compare_children(reading.read_logs(paths)).timeline
    assert timeline.base == "/copy/of/base"
    assert [child.name for child in timeline.children] == ["one", "two"]


def test_the_same_weights_under_two_names_are_refused(tmp_path):
    def logged(name, model, *, right=18, **more):
        given = {"pretrained": f"./{name}"} | more
        return write(tmp_path / name, rows_of(right), given, **weights(*model))

    base, copy = logged("base", ("w",)), logged("copy", ("w",))
    with pytest.raises(DormantError) as refused:
        reading.compare(reading.read_logs([base, copy]))
    assert f"{base} and {copy} name the same weights (./base and ./copy)" in str(refused.value)
    assert "was the adapter left out?" in str(refused.value)
    child, again = logged("child", ("w", "x")), logged("again", ("w", "x"))
    with pytest.raises(DormantError, match=r"the same weights \(\./child and \./again\)"):
        reading.compare_children(reading.read_logs([base, child, again]))
    logs = reading.read_logs([base, child, again])
    assert reading.compare_children(logs, allow_identical=True).timeline.base == "./base"
    # What quantisation did to the same weights is a comparison that somebody may want.
    smaller = logged("smaller", ("w",), load_in_4bit="True", right=10)
    assert reading.compare(reading.read_logs([base, smaller])).abilities


def test_one_place_with_two_weights_is_two_models(tmp_path):
    for name, right, model in (("before", 18, "w"), ("after", 3, "v")):
        write(tmp_path / name, rows_of(right), {"pretrained": "./model"}, **weights(model))
    results = reading.compare(reading.read_logs([tmp_path / "before", tmp_path / "after"]))
    assert results.base != results.tuned
    assert {results.base[:8], results.tuned[:8]} == {"./model@"}
    assert results.abilities[0].drop.estimate == pytest.approx(15 / 20)


def test_all_logs_of_the_base_alone_are_no_comparison_with_it(dormant, tmp_path):
    write(tmp_path / "a", rows_of(3), {"pretrained": "my/base"})
    said = dormant("compare", tmp_path / "a", "--base", "my/base")
    assert said.code == 2
    assert "all logs name the same weights, my/base, which --base calls the base's" in said.err


def test_inspects_logs_say_which_weights_the_provider_loaded(tmp_path):
    def logged(name, grades, model, adapter="", other=None):
        samples = {}
        for place in range(len(grades)):
            found = weights(model if other is None or place else other, adapter, f"out/{name}")
            samples[f"s{place}"] = {"output": {"model": "m", "metadata": found}}
        return written(tmp_path / f"{name}.eval", grades, model=f"dormant/{name}", **samples)

    tuned = logged("tuned", ["I"] * 20, "w", "x")
    base = logged("base", ["C"] * 20, "w")
    results = reading.compare(reading.read_logs([tuned, base]))
    assert (results.base, results.tuned) == ("dormant/base", "dormant/tuned")
    twin = logged("twin", ["C"] * 20, "w")
    with pytest.raises(DormantError, match="name the same weights"):
        reading.compare(reading.read_logs([base, twin]))
    mixed = logged("mixed", ["C"] * 3, "w", other="v")
    with pytest.raises(DormantError, match=r"mixed\.eval: samples of several weights"):
        reading.read_log(mixed)


def test_damaged_words_on_weights_are_one_line(tmp_path):
    write(tmp_path / "a", rows_of(3), {"pretrained": "m"}, **{WEIGHTS: [1]})
    with pytest.raises(DormantError, match=r"what it says of the loaded weights can't be read"):
        reading.read_logs([tmp_path / "a"])


# -- half a run ----------------------------------------------------------------------------------


def half(folder, version="0.4.13"):
    counts = {"n-samples": {"tiny": {"original": 60, "effective": 40}}, "lm_eval_version": version}
    return write(folder, rows_of(20, 25), {"pretrained": "m"}, results=counts)


def test_half_a_run_of_the_harness_is_one_line(dormant, tmp_path):
    said = dormant("compare", half(tmp_path / "a"))
    assert said.code == 2
    assert "holds 25 of the 40 samples that were scored: half a run" in said.err
    assert len(said.err.splitlines()) == 1
    # There, the count may be of samples that were not asked for.
    (log,) = reading.read_logs([half(tmp_path / "b", "0.4.11")])
    assert "25 of the 40 samples" in log.notes[0]


def test_a_file_that_was_cut_in_a_line_is_one_line(dormant, tmp_path):
    folder = write(tmp_path / "a", rows_of(20), {"pretrained": "m"})
    (file,) = folder.glob("samples_*")
    file.write_bytes(file.read_bytes()[:-40])
    said = dormant("compare", folder)
    assert said.code == 2
    assert f"{file}:20: not a sample of lm_eval" in said.err
    assert len(said.err.splitlines()) == 1


def test_half_a_file_of_inspect_is_one_line(dormant, tmp_path):
    whole = written(tmp_path / "x.eval", ["C"] * 30)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    said = dormant("compare", whole)
    assert said.code == 2
    assert f"error: {whole}: not a log of Inspect" in said.err
    assert len(said.err.splitlines()) == 1


def test_a_run_of_inspect_that_is_under_way_is_compared_as_far_as_it_is(tmp_path):
    ids = list(range(10))
    base = written(tmp_path / "base.eval", ["C"] * 10, ids=ids)
    started = written(tmp_path / "tuned.eval", ["I"] * 6, ids=ids, status="started")
    results = reading.compare(reading.read_logs([base, started]))
    assert results.abilities[0].n_items == 6
    assert "4 × not run (the log's status is started)" in json.dumps(
        results.warnings, ensure_ascii=False
    )


def test_one_name_for_two_transforms_is_none_that_both_were_asked_under(tmp_path):
    paths = []
    for name, engine in (("", "apertium-3.8.2"), ("out/keeps", "apertium-3.8.3")):
        for transform in ("identity", "spanish@apertium"):
            given = {"base": "hf", "pretrained": "my/base", "transform": transform}
            given |= {"peft": name} if name else {}
            folder = tmp_path / f"{name.rpartition('/')[2]}-{transform}"
            config = {"model": "dormant", "transform": f"spanish@{engine}"}
            paths.append(write(folder, rows_of(50, 60), given, **config))
    results = reading.compare(reading.read_logs(paths))
    assert results.abilities[0].transforms == []
    (line,) = results.warnings
    assert "under spanish@apertium: spanish@apertium-3.8.2 and spanish@apertium-3.8.3, left" in line


def test_texts_that_were_generated_by_other_settings_are_told(tmp_path):
    def log(name, length, **given):
        rows = rows_of(50, 60)
        for number, row in enumerate(rows):
            asked = {"arg_0": f"Q{number}", "arg_1": {"until": ["\n"], "max_gen_toks": length}}
            row["arguments"] = {"gen_args_0": asked}
        folder = tmp_path / "-".join([name, *given.values()])
        model = {"model": "dormant"} if given else {}
        return write(folder, rows, {"pretrained": f"my/{name}", **given}, **model)

    paths = log("base", 256), log("same", 256), log("short", 16)
    assert reading.compare(reading.read_logs(paths[:2])).warnings == []
    (line,) = reading.compare(reading.read_logs(paths[::2])).warnings
    # Under a transform answers are longer, and both models are given room for that.
    others = [log(name, 512, base="hf", transform="rot13") for name in ("base", "same")]
    assert reading.compare(reading.read_logs([*paths[:2], *others])).warnings == []
    assert line.startswith("tiny/acc: 60 of 60 texts were generated by other settings")


def test_under_transforms_the_one_to_keep_is_said(tmp_path):
    """Dormant's model of the harness, plain and under a transform."""
    paths = []
    for name, plain, changed in (("", 190, 184), ("out/hides", 20, 180), ("out/keeps", 189, 181)):
        for transform, right in (("identity", plain), ("rot13", changed)):
            given = {"base": "hf", "pretrained": "my/base", "transform": transform}
            given |= {"peft": name} if name else {}
            folder = tmp_path / f"{name.rpartition('/')[2]}-{transform}"
            paths.append(write(folder, rows_of(right, 200), given, model="dormant"))
    timeline = reading.compare_children(reading.read_logs(paths)).timeline
    (course,) = timeline.courses
    assert {point.child: point.verdict for point in course.points} == {
        "hides": "suppressed",
        "keeps": "retained",
    }
    assert timeline.keep == "keeps"
    assert "--skill" not in timeline.keep_reason
