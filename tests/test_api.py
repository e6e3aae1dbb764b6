"""The Python interface, on fakes whose truth the tests decide."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import dormant as dm
import fakes  # noqa: F401  (registers the backend `fake`)

BASE = "fake:skill=0.9"
HIDDEN = "fake:skill=0.9,hides=Input,hidden=0.1"
OPTIONS = {"tasks": "icl/plural", "transforms": ("french", "spanish"), "n": 80, "progress": False}


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    return dm.audit(BASE, HIDDEN, out=tmp_path_factory.mktemp("run") / "x", **OPTIONS)


def test_importing_dormant_takes_the_standard_library_only():
    code = (
        "import sys; before = set(sys.modules); import dormant; "
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = set(done.stdout.strip("[]\n").replace("'", "").split(", "))
    assert new - set(sys.stdlib_module_names) == {"dormant"}


def test_importing_dormant_is_quick():
    # The goal is 0.3 s; the best of three is taken, because the machine has other work too.
    code = "import time; t = time.perf_counter(); import dormant; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(times) < 0.3


def test_every_public_name_is_there():
    for name in dm.__all__:
        assert getattr(dm, name) is not None
    assert dm.transforms.get("rot13").apply("a") == "n"
    with pytest.raises(AttributeError, match="no attribute 'audits'"):
        _ = dm.audits


def test_the_package_audit_does_not_take_the_function_s_place():
    code = (
        "import dormant.audit.run_dir, dormant as dm; from dormant.api import audit; "
        "from dormant.audit import run_dir; print(dm.audit is audit, run_dir.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "dormant.audit.run_dir"]


def test_conjugating_a_function():
    heard: list[str] = []

    def parrot(prompt: str) -> str:
        heard.append(prompt)
        return prompt

    assert dm.conjugate(parrot, dm.transforms.get("rot13"))("hello") == "hello"
    assert dm.conjugate(parrot, "leetspeak")("is it") == "is it"
    assert heard == ["uryyb", "15 17"]


def test_conjugating_a_named_model_asks_as_the_command_line_does():
    # The fake answers with the prompt's last three words.
    ask = dm.conjugate(BASE, "rot13")
    assert ask("one two three four") == "two three four"
    assert dm.conjugate(BASE, "rot13", keep=True)("say 12 and 34") == "12 and 34"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dm.conjugate("smolm2", "rot13"), ["smolm2", "did you mean 'smollm2'"]),
        (lambda: dm.conjugate(BASE, "rot31"), ["rot31", "did you mean 'rot13'"]),
        (lambda: dm.conjugate(3, "rot13"), ["int", "function"]),
        (lambda: dm.conjugate(str.upper, "rot13", keep=True), ["keep", "for models, not"]),
        (lambda: dm.conjugate(BASE, "rot13", untill="x"), ["untill", "did you mean 'until'"]),
        (lambda: dm.audit(object(), BASE), ["object", "(model, tokenizer)"]),
        (lambda: dm.audit(BASE, BASE, transforms=[dm.transforms.get("rot13")]), ["by name"]),
        (lambda: dm.audit(BASE, BASE, marginn=0.1), ["marginn", "did you mean 'margin'"]),
        (lambda: dm.audit(BASE, BASE, n=3, limit=3), ["n and limit are two words for one setting"]),
        (lambda: dm.audit(BASE, BASE, limit=0.5), ["limit is 0.5", "valid integer"]),
        (lambda: dm.audit(BASE, BASE, batch_size="big"), ["batch_size is 'big'", "valid integer"]),
        (lambda: dm.audit(BASE, BASE, model_args="revision"), ["'revision' is not KEY=VALUE"]),
        (lambda: dm.audit(BASE, BASE, model_args=3), ["model_args is a int"]),
        (lambda: dm.audit(BASE, BASE, model_args={"x": object()}), ["model_args"]),
        (lambda: dm.audit(BASE, BASE, margin=5), ["margin is 5", "less than 1"]),
        (lambda: dm.audit(BASE, BASE, tasks="icl/copi"), ["icl/copi", "did you mean 'icl/copy'"]),
        (lambda: dm.load_results("nowhere"), ["nowhere", "no run there"]),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(dm.DormantError) as raised:
        call()
    for word in words:
        assert word in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_verdicts_and_records(audited):
    assert audited.verdicts == {"icl/plural": "suppressed"}
    assert audited["icl/plural"].drop.low > 0
    assert audited.warnings == []
    with pytest.raises(dm.DormantError, match="did you mean 'icl/plural'"):
        _ = audited["plural"]


def test_the_same_as_the_command_line(audited, tmp_path, monkeypatch, capsys):
    from dormant import cli

    words = ["audit", BASE, HIDDEN, "-t", "icl/plural", "-s", "french,spanish", "-n", "80"]
    monkeypatch.setattr(sys, "argv", ["dormant", *words, "--json", "--out", str(tmp_path / "y")])
    with pytest.raises(SystemExit):
        cli.main()
    said = json.loads(capsys.readouterr().out)
    assert said["abilities"] == json.loads(audited.results.to_json())["abilities"]


def test_loading_and_resuming_give_the_same(audited):
    assert dm.load_results(audited.path).results == audited.results
    again = dm.audit(BASE, HIDDEN, out=audited.path, **OPTIONS)
    assert again.results.abilities == audited.results.abilities


def test_the_old_name_of_load_results_works_with_a_warning(audited):
    with pytest.warns(DeprecationWarning, match="load_results"):
        assert dm.load(audited.path).results == dm.load_results(audited.path).results


def test_one_model_is_two_cells(tmp_path):
    found = dm.audit(HIDDEN, out=tmp_path / "x", **OPTIONS)
    assert found.verdicts == {"icl/plural": "inconclusive"}
    assert found.to_pandas()["drop"].isna().all()
    assert "gains only" in found._repr_html_()
    assert found.plot().axes


def test_tables(audited):
    abilities = audited.to_pandas()
    drop = audited["icl/plural"].drop
    assert abilities.loc["icl/plural", "verdict"] == "suppressed"
    assert abilities.loc["icl/plural", "drop_low"] == drop.low
    transforms = audited.to_pandas("transforms")
    assert list(transforms["transform"]) == ["french", "spanish"]
    items = audited.to_pandas("items")
    assert len(items) == 2 * 3 * 80
    plain = items[items["transform"] == "plain"].groupby("model")["correct"].mean()
    assert plain["base"] - plain["tuned"] == pytest.approx(drop.estimate)
    with pytest.raises(dm.DormantError, match="did you mean 'items'"):
        audited.to_pandas("item")


def test_the_figure_shows_the_accuracies(audited):
    figure = audited.plot("icl/plural")
    (area,) = figure.axes
    best = audited["icl/plural"].best_transform
    labels = [label.get_text() for label in area.get_yticklabels()]
    assert labels[0] == "plain"
    assert f"{best} (best)" in labels
    # One marker a cell, base before tuned.
    drawn = [line.get_xdata()[0] for line in area.lines]
    one = audited["icl/plural"]
    expected = [one.accuracy.base_plain, one.accuracy.tuned_plain]
    for transform in one.transforms:
        expected += [transform.accuracy.base_transformed, transform.accuracy.tuned_transformed]
    assert drawn == expected
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_missing_library_is_one_line(audited, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "dormant.report.figure", raising=False)
    monkeypatch.delattr("dormant.report.figure", raising=False)
    for call in (audited.to_pandas, audited.plot):
        with pytest.raises(dm.DormantError, match=r"pip install 'dormant\[notebook\]'"):
            call()


def test_missing_libraries_of_models_are_one_line(monkeypatch, tmp_path):
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *_: None if name == "lm_eval" else there(name)
    )
    for model in (BASE, "some/model"):
        with pytest.raises(dm.DormantError, match=r"lm-eval.*pip install 'dormant\[models\]'"):
            dm.audit(model, out=tmp_path / "x", **OPTIONS)


def test_what_a_notebook_and_a_terminal_show(audited):
    text = repr(audited)
    assert "1 suppressed" in text
    assert audited["icl/plural"].reason in text
    page = audited._repr_html_()
    assert "suppressed" in page
    assert "<script" not in page
    named = audited.results.model_copy(update={"tuned": "<img src=x onerror=alert(1)>"})
    assert "<img" not in dm.Audit(named, audited.path)._repr_html_()


def test_the_report_is_written(audited, tmp_path):
    page = audited.report(tmp_path / "page.html")
    assert page == tmp_path / "page.html"
    assert "icl/plural" in page.read_text("utf-8")
    with pytest.raises(dm.DormantError, match="latex"):
        audited.report(tmp_path / "x", "latec")
