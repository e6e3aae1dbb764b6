"""The real ``inspect eval`` on real models, against ``dormant audit`` on the same items."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai")

from inspect_ai.log import read_eval_log

from dormant.integrations import logs as posthoc
from dormant.results import AuditResults

ROOT = Path(__file__).parents[3]
BASE, TUNED = "smollm2", "smollm2-sentiment"


def command(*words, cwd, more=()):
    """Run a command of the environment that the tests run in."""
    paths = [*map(str, more), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)], cwd=cwd, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def inspect_eval(task, model, folder, *, more=(), **arguments):
    """Run ``inspect eval`` and return its log."""
    before = set(folder.glob("logs/*.eval"))
    options = [word for name, value in arguments.items() for word in ("-T", f"{name}={value}")]
    command(
        "inspect_ai", "eval", task, "--model", model, *options, "--log-dir", "logs",
        "--display", "plain", cwd=folder, more=more,
    )  # fmt: skip
    (new,) = set(folder.glob("logs/*.eval")) - before
    log = read_eval_log(str(new))
    assert log.status == "success"
    return log


def audited(folder, base, tuned, *words, more=()):
    """Run ``dormant audit`` and return its results."""
    said = command("dormant", "audit", base, tuned, *words, "--json", cwd=folder, more=more)
    return AuditResults.model_validate_json(said)


def accuracy(log, name="accuracy"):
    return log.results.scores[0].metrics[name].value


def plainly(results):
    """What can be compared: log-odds are not in logs, and versions are of other tools."""
    return [
        (
            one.task, one.verdict, one.n_items, one.accuracy, one.drop, one.best_transform,
            one.gain, one.recovery,
            [(t.name, t.signature, t.accuracy, t.control, t.gain, t.recovery, t.p_adjusted)
             for t in one.transforms],
        )
        for one in results.abilities
    ]  # fmt: skip


@pytest.mark.slow  # starts Inspect twice
@pytest.mark.parametrize("transform", ["identity", "rot13"])
def test_a_checkpoint_of_no_size(tiny_checkpoint, own_task, tmp_path, transform):
    file = own_task(transform)
    log = inspect_eval(
        "dormant/ability", f"dormant/{tiny_checkpoint}", tmp_path, name=file, transform=transform
    )
    results = audited(
        tmp_path, tiny_checkpoint, tiny_checkpoint, "-t", file, "-s", transform, "--allow-identical"
    )
    (ability,) = results.abilities
    assert accuracy(log) == ability.transforms[0].accuracy.base_transformed
    assert 0 < accuracy(log) < 1


@pytest.mark.slow  # loads a model five times
def test_four_logs_say_what_the_audit_says(tmp_path):
    """Every accuracy of every cell to the last digit, and so every estimate and verdict."""
    logs = [
        inspect_eval("dormant/icl", f"dormant/{model}", tmp_path, only="copy,plural", n=16, **under)
        for model in (BASE, TUNED)
        for under in ({}, {"transform": "leetspeak"})
    ]
    results = audited(
        # Of logs there is no higher rung: an audit that may climb shares its error with it.
        tmp_path,
        BASE,
        TUNED,
        "-t",
        "icl/copy,icl/plural",
        "-s",
        "leetspeak",
        "-n",
        16,
        "--evidence",
        "prompt",
    )
    for ability in results.abilities:
        under = ability.transforms[0].accuracy
        assert [accuracy(log, ability.task) for log in logs] == [
            ability.accuracy.base_plain, under.base_transformed,
            ability.accuracy.tuned_plain, under.tuned_transformed,
        ]  # fmt: skip
    # The comparison is of something: neither all nor nothing is right.
    assert 0 < accuracy(logs[0]) < 1
    assert accuracy(logs[2]) != accuracy(logs[0])
    files = sorted((tmp_path / "logs").glob("*.eval"))
    found = posthoc.compare(posthoc.read_logs(files))
    assert plainly(found) == plainly(results)
    said = command("dormant", "compare", *files, cwd=tmp_path)
    for ability in results.abilities:
        assert ability.task in said


@pytest.mark.slow  # loads a model six times
def test_inference_and_refusals(tmp_path):
    for task, names, transform in (
        ("nli", "nli/greedy", "spanish"),
        ("refusal", "refusal", "leetspeak"),
    ):
        log = inspect_eval(f"dormant/{task}", f"dormant/{BASE}", tmp_path, n=8)
        under = inspect_eval(
            f"dormant/{task}", f"dormant/{BASE}", tmp_path, n=8, transform=transform
        )
        folder = tmp_path / task
        folder.mkdir()
        said = command(
            "dormant", "audit", BASE, "-t", names, "-s", transform, "-n", 8, "--json", cwd=folder
        )
        abilities = AuditResults.model_validate_json(said).abilities
        for ability in abilities:
            name = "accuracy" if len(abilities) == 1 else ability.task
            assert accuracy(log, name) == ability.accuracy.tuned_plain
            assert accuracy(under, name) == ability.transforms[0].accuracy.tuned_transformed


@pytest.mark.slow  # loads a model twice
def test_the_solver_on_the_command_line(tmp_path):
    plain = inspect_eval("dormant/icl", f"dormant/{BASE}", tmp_path, only="copy", n=12)
    command(
        "inspect_ai", "eval", "dormant/icl", "--model", f"dormant/{BASE}", "-T", "only=copy",
        "-T", "n=12", "--solver", "dormant/conjugate", "-S", "transform=leetspeak",
        "--log-dir", "logs", "--display", "plain", cwd=tmp_path,
    )  # fmt: skip
    newest = max((tmp_path / "logs").glob("*.eval"))
    log = read_eval_log(str(newest))
    for sample in log.samples:
        assert sample.scores["begins_with_target"].value in ("C", "I")
        assert sample.metadata["dormant_conjugate"]["transform"] == "leetspeak"
    # SmolLM2 copies under leetspeak, too: the transform is undone before the scorer looks.
    assert 0 < accuracy(log) <= 1
    assert 0 < accuracy(plain) <= 1
    found = posthoc.compare(posthoc.read_logs(sorted((tmp_path / "logs").glob("*.eval"))))
    (one,) = found.abilities[0].transforms
    assert (one.name, one.accuracy.tuned_transformed) == ("leetspeak", accuracy(log))


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The third-party package, as pip installs it, in a directory of its own."""
    pytest.importorskip("hatchling", reason="needs hatchling to build a wheel")
    # Inspect takes a package's name from where it is: a directory of installed packages.
    target = tmp_path_factory.mktemp("env") / "site-packages"
    pip = ["pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    command(*pip, "--target", target, ROOT / "examples" / "plugin", cwd=target.parent)
    return target


@pytest.mark.slow  # loads a model three times
def test_a_package_of_others_works_in_all_front_ends(example, tmp_path):
    """Its transform and its task; from Inspect and the audit with the same numbers."""
    results = audited(
        tmp_path, BASE, TUNED, "-t", "example/next", "-s", "dotted", "-n", 24, more=[example]
    )
    (ability,) = results.abilities
    assert ability.task == "example/next"
    under = ability.transforms[0]
    assert under.signature == "dotted-1"
    for transform, cells, state in (
        ("plain", ability.accuracy, "plain"),
        ("dotted", under.accuracy, "transformed"),
    ):
        log = inspect_eval(
            "dormant/ability", f"dormant/{BASE}", tmp_path, name="example/next", n=24,
            transform=transform, more=[example],
        )  # fmt: skip
        assert accuracy(log) == getattr(cells, f"base_{state}")
    assert 0 < ability.accuracy.base_plain < 1

    # The harness counts tokens, not texts: so does an audit by the harness's own model.
    folder = tmp_path / "harness"
    folder.mkdir()
    said = command(
        "dormant", "audit", BASE, "-t", "example/next", "-s", "dotted", "-n", 24, "--json",
        "--scorer", "lm-eval", cwd=folder, more=[example],
    )  # fmt: skip
    (ability,) = AuditResults.model_validate_json(said).abilities
    command("dormant", "task", "export", "example/next", "-n", 24, cwd=folder, more=[example])
    for transform, accurate in (
        ("identity", ability.accuracy.tuned_plain),
        ("dotted", ability.transforms[0].accuracy.tuned_transformed),
    ):
        command(
            "dormant", "lm-eval", "--include_path", "tasks", "--tasks", "dormant_example_next",
            "--model", "dormant",
            "--model_args", f"base=hf,pretrained={BASE},transform={transform}",
            "--output_path", transform, cwd=folder, more=[example],
        )  # fmt: skip
        (file,) = (folder / transform).rglob("results_*.json")
        found = json.loads(file.read_text())["results"]["dormant_example_next"]
        assert found["acc,none"] == accurate
