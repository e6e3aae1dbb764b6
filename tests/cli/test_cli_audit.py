"""The audit through the command line, on fakes whose truth the tests decide."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from dormant.results import AuditResults

BASE = "fake:skill=0.9"
HIDDEN = "fake:skill=0.9,hides=Input,hidden=0.1"
LOST = "fake:skill=0.0"
QUICK = ("-n", "80", "-t", "icl/plural", "-s", "french,spanish", "--quiet")


def results(out: Path) -> AuditResults:
    return AuditResults.model_validate_json((out / "results.json").read_bytes())


@pytest.mark.parametrize(
    ("tuned", "verdict"), [(BASE, "retained"), (HIDDEN, "suppressed"), (LOST, "lost")]
)
def test_verdict_is_the_truth(dormant, tmp_path, tuned, verdict):
    said = dormant("audit", BASE, tuned, *QUICK, "--out", "x", "--allow-identical")
    assert said.code == 0, said.err
    assert [one.verdict for one in results(tmp_path / "x").abilities] == [verdict]
    assert verdict in said.out
    assert "report.html" in said.out
    assert (tmp_path / "x" / "report.html").stat().st_size > 10_000


def test_the_demo_s_verdicts_name_their_rung_and_cost_prompts_alone(dormant, monkeypatch):
    """Its abilities, transforms and evidence, on models that answer at once."""
    from dormant.cli import audit, demo

    def run(settings, *given, **more):
        return audit.run(settings.model_copy(update=models), *given, **more)

    monkeypatch.setattr(demo, "run", run)
    for tuned, verdict, said in (
        (HIDDEN, "suppressed", ("Back under french (prompt): ", "Back under spanish (prompt): ")),
        (LOST, "lost", ("Not recovered up to other prompts: ",)),
    ):
        models = {"base": BASE, "tuned": tuned}
        found = json.loads(dormant("demo", "--json", "--out", verdict).out)
        assert found["settings"]["evidence"] == "prompt"
        copy = next(one for one in found["abilities"] if one["task"] == "icl/copy")
        assert (copy["verdict"], copy["rung"]) == (verdict, "prompt")
        assert copy["reason"].startswith(said)
        # Nothing but prompts was asked for, so nothing else is paid for, and nothing is missing.
        assert {cell["name"] for cell in copy["transforms"]} == {"french", "spanish"}
        assert copy["not_tried"] == []


def test_one_model_is_two_cells_and_never_lost(dormant):
    said = dormant("audit", LOST, *QUICK, "--json")
    found = json.loads(said.out)
    assert found["schema"] == 1
    assert found["base"] is None
    (ability,) = found["abilities"]
    assert ability["drop"] is None
    assert ability["verdict"] not in ("lost", "forgotten")
    assert ability["transforms"][0]["accuracy"]["base_plain"] is None


def test_default_directory_is_named_after_the_models(dormant, tmp_path):
    dormant("audit", BASE, LOST, *QUICK)
    (out,) = (tmp_path / "runs").iterdir()
    assert (out / "results.json").exists()


def test_other_settings_are_refused(dormant):
    dormant("audit", BASE, LOST, *QUICK, "--out", "x")
    said = dormant("audit", BASE, LOST, *QUICK, "--out", "x", "--seed", "7")
    assert said.code == 2
    assert "seed was 0, now 7" in said.err
    assert "Traceback" not in said.err


def test_the_harness_s_words_make_the_same_run(dormant, tmp_path):
    dormant("audit", BASE, LOST, *QUICK, "--shots", "1", "--out", "x")
    cells = {f: f.stat().st_mtime_ns for f in (tmp_path / "x" / "cells").rglob("*.jsonl")}
    said = dormant(
        *("audit", BASE, LOST, "--limit", "80", "--tasks", "icl/plural", "--num_fewshot", "1"),
        *("-s", "french,spanish", "--batch_size", "auto", "--quiet", "--out", "x"),
    )
    assert said.code == 0, said.err
    assert {f: f.stat().st_mtime_ns for f in cells} == cells


def test_what_is_said_of_loading_reaches_each_model(dormant, monkeypatch):
    from dormant.audit import pair

    seen = []

    class Watched(pair.ModelPair):
        def __init__(self, base, tuned, *options):
            seen.extend(options)
            super().__init__(base, tuned, *options)

    monkeypatch.setattr(pair, "ModelPair", Watched)
    said = dormant(
        *("audit", BASE, LOST, *QUICK, "--out", "x", "--device", "cpu", "--batch_size", "4"),
        *("--model_args", "revision=main", "--tuned-model-args", "revision=v2,load_in_4bit=True"),
    )
    assert said.code == 0, said.err
    base, tuned = seen
    assert (base.device, base.batch_size, base.model_args) == ("cpu", 4, {"revision": "main"})
    assert (tuned.device, tuned.batch_size) == ("cpu", 4)
    assert tuned.model_args == {"revision": "v2", "load_in_4bit": True}


def test_an_old_option_works_with_a_warning(dormant):
    said = dormant("audit", BASE, LOST, *QUICK, "--batch", "8", "--out", "x")
    assert said.code == 0
    assert "--batch is now --checkpoint-every" in said.err


def test_a_finished_run_is_not_scored_again(dormant, tmp_path):
    dormant("audit", BASE, LOST, *QUICK, "--out", "x")
    cells = {f: f.stat().st_mtime_ns for f in (tmp_path / "x" / "cells").rglob("*.jsonl")}
    before = results(tmp_path / "x").model_copy(update={"wall_seconds": None})
    dormant("audit", BASE, LOST, *QUICK, "--out", "x")
    assert {f: f.stat().st_mtime_ns for f in cells} == cells
    assert results(tmp_path / "x").model_copy(update={"wall_seconds": None}) == before


@pytest.mark.parametrize("tuned", [(LOST,), (LOST, HIDDEN)])
def test_two_audits_on_one_directory_are_refused(dormant, tmp_path, tuned):
    from dormant.rundirs import locked

    lock = locked(tmp_path / "x")
    try:
        said = dormant("audit", BASE, *tuned, *QUICK, "--out", "x")
    finally:
        lock.release()
    assert said.code == 2
    assert said.err.strip() == "error: x is in use by another process; wait for it"
    assert [entry.name for entry in (tmp_path / "x").iterdir()] in ([".lock"], [])


BAD = {
    "unknown model": (("audit", "smolm2"), "did you mean 'smollm2'"),
    "no such directory": (("audit", "./nowhere/model"), "no such directory"),
    "no such file": (("audit", "missing.gguf"), "no such file"),
    "unknown backend": (("audit", "fkae:skill=1"), "did you mean 'fake'"),
    "unknown task": (("audit", BASE, "-t", "icl/coppy"), "did you mean 'icl/copy'"),
    "unknown transform": (("audit", BASE, "-t", "icl/plural", "-s", "leetspek"), "leetspeak"),
    "too many items": (("audit", BASE, "-t", "icl/plural", "-n", "5000"), "items, fewer than"),
    "no items": (("audit", BASE, "-t", "icl/plural", "-n", "0"), "at least 1"),
    "too many shots": (("audit", BASE, "-t", "icl/plural", "--shots", "900"), "demonstrations"),
    "no chat template": (("audit", BASE, *QUICK, "--prompts", "chat"), "no chat template"),
    "nan": (("audit", "fake:breaks=logprobs", *QUICK), "impossible log-probability"),
    "no run": (("report", "nowhere"), "no run there"),
    "a file of a run": (("report", "one/results.json"), "is a file: name its run, one"),
    "a file and no format": (("report", "one", "--out", "page.html"), "give --format html, "),
    "the same of logs": (("compare", "one", "--out", "page.html"), "give --format html, "),
    "another margin": (("report", "one", "--margin", "0.2"), "as it was judged"),
    "closeness foreseen": (("audit", BASE, BASE, "--plan", "--closeness"), "doesn't foresee"),
    "bad option": (("audit", BASE, "--margin", "7"), "--margin"),
    "two words": (
        ("audit", BASE, "-n", "3", "--limit", "4"),
        "--items and --limit are two words for one setting",
    ),
    "model_args": (("audit", BASE, "--model_args", "revision"), "'revision' is not KEY=VALUE"),
    "batch size": (("audit", BASE, "--batch-size", "big"), "--batch-size is 'big'"),
    "unknown list": (("list", "tusks"), "tusks"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_exit_2(dormant, tmp_path, name):
    words, expected = BAD[name]
    (tmp_path / "one").mkdir()
    (tmp_path / "one/results.json").touch()
    said = dormant(*words)
    assert said.code == 2
    assert expected in said.err
    assert "Traceback" not in said.err
    if said.err.startswith("error:"):
        assert len(said.err.strip().splitlines()) == 1


def test_unfinished_run_says_so(dormant, tmp_path):
    dormant("audit", "fake:breaks=logprobs", *QUICK, "--out", "x")
    said = dormant("report", "x")
    assert said.code == 2
    assert "has not finished" in said.err


@pytest.mark.parametrize(
    ("format_", "start"), [("csv", "base,tuned"), ("json", "{"), ("latex", "%")]
)
def test_report_in_other_forms(dormant, tmp_path, format_, start):
    dormant("audit", BASE, LOST, *QUICK, "--out", "x")
    said = dormant("report", "x", "--format", format_)
    assert said.code == 0
    text = Path(said.out.strip()).read_text()
    assert text.lstrip().startswith(start) or "\\begin" in text


def test_differing_prompt_styles_are_warned_of(dormant, tmp_path):
    said = dormant("audit", BASE, LOST, *QUICK, "--tuned-prompts", "chat", "--out", "x")
    assert said.code == 2  # the fake has no template; the base's cells are kept all the same
    assert list((tmp_path / "x" / "cells").rglob("*.base.jsonl"))


SLOW_AUDIT = textwrap.dedent(
    """
    import signal, sys, time
    # A shell that runs the tests in the background has its children ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path.insert(0, {tests!r})
    import fakes
    plain = fakes.FakeLM.loglikelihood
    def slow(self, requests):
        time.sleep({pause})
        return plain(self, requests)
    fakes.FakeLM.loglikelihood = slow
    sys.argv = ["dormant", "audit", "fake:skill=0.9", "fake:skill=0.1", "-n", "60", "--quiet",
                "-t", "icl/plural,icl/antonym", "-s", "french,spanish", "--checkpoint-every", "8",
                "--out", {out!r}]
    from dormant.cli import main
    main()
    """
)


def finish(process: subprocess.Popen[bytes]) -> bytes:
    _, err = process.communicate(timeout=120)
    return err


def start(out: Path, pause: float) -> subprocess.Popen[bytes]:
    code = SLOW_AUDIT.format(tests=str(Path(__file__).parents[1]), out=str(out), pause=pause)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def scored(out: Path) -> int:
    return sum(f.read_bytes().count(b"\n") for f in (out / "cells").rglob("*.jsonl"))


def wait_for(out: Path, records: int) -> None:
    until = time.monotonic() + 60
    while scored(out) < records:
        assert time.monotonic() < until, "the audit never began"
        time.sleep(0.01)


def estimates(out: Path) -> bytes:
    body = json.loads((out / "results.json").read_bytes())
    return json.dumps(body["abilities"]).encode()


def test_killed_at_any_moment_nothing_but_the_batch_in_flight_is_lost(tmp_path):
    whole = tmp_path / "whole"
    unbroken = start(whole, 0)
    assert not finish(unbroken)
    assert unbroken.returncode == 0
    out = tmp_path / "killed"
    rng = random.Random(0)
    records = 0
    for _ in range(3):
        process = start(out, 0.03)
        wait_for(out, records + rng.randrange(8, 60))
        process.send_signal(signal.SIGKILL)
        finish(process)
        assert scored(out) >= records, "finished work was lost"
        records = scored(out)
    process = start(out, 0)
    err = finish(process)
    assert process.returncode == 0, err
    assert estimates(out) == estimates(whole)
    names = [f.relative_to(whole) for f in sorted(whole.rglob("*.jsonl"))]
    for name in names:
        assert (out / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_audit_says_how_to_go_on(tmp_path, sent, code):
    out = tmp_path / "stopped"
    process = start(out, 0.05)
    wait_for(out, 8)
    process.send_signal(sent)
    err = finish(process)
    assert process.returncode == code
    assert err.decode().splitlines() == [
        f"stopped; what was scored is in {out}: the same command goes on"
    ]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_demo_says_how_to_go_on(dormant, monkeypatch, sent, code):
    from dormant.audit import run

    def stopped(*_, **__):
        os.kill(os.getpid(), sent)
        time.sleep(60)

    monkeypatch.setattr(run, "audit", stopped)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    said = dormant("demo", "--quiet")
    signal.signal(signal.SIGINT, before[0])
    assert said.code == code
    assert said.err == "stopped; what was scored is in runs/demo: the same command goes on\n"
    assert signal.getsignal(signal.SIGTERM) == before[1]
