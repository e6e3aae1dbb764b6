"""Progress for other programs: what is on the stream, all of it, and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dormant.results import AuditResults
from dormant.results.events import Note
from dormant.watch.json_lines import JsonLines
from dormant.watch.pace import Pace

BASE, LOST = "fake:skill=0.9", "fake:skill=0.1"
QUICK = ("-n", "40", "-t", "icl/plural", "-s", "french", "--checkpoint-every", "16")


def events(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def of(told: list[dict], *kinds: str) -> list[dict]:
    return [event for event in told if event["event"] in kinds]


def named(cell: dict) -> tuple[str, str, str]:
    return cell["model"], cell["task"], cell["transform"]


def counts(run: Path) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Records and successes of each cell, as they are on disk."""
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for file in run.glob("cells/*/*.jsonl"):
        records = [json.loads(line) for line in file.read_text().splitlines()]
        right = sum(record["correct"] for record in records)
        found[named(records[0])] = len(records), right
    return found


def test_a_whole_audit_is_told(dormant, tmp_path):
    said = dormant("audit", BASE, LOST, *QUICK, "--out", "x", "--json-lines")
    assert said.code == 0, said.err
    assert "cells done" not in said.err, "a table is for terminals"
    told = events(said.out)
    assert all(event["schema"] == 1 and event["time"].endswith("Z") for event in told)
    (started,) = of(told, "started")
    assert (started["base"], started["tuned"], started["run"]) == (BASE, LOST, "x")
    assert started["resumed"] is False
    on_disk = counts(tmp_path / "x")
    assert len(on_disk) == 4
    (planned,) = of(told, "planned")
    assert {named(cell): cell["n"] for cell in planned["cells"]} == {
        key: done for key, (done, _) in on_disk.items()
    }
    for key, (done, correct) in on_disk.items():
        own = [event for event in told if "cell" in event and named(event["cell"]) == key]
        assert [event["event"] for event in own] == [
            "cell-started", "cell-progress", "cell-progress", "cell-done"
        ]  # fmt: skip
        assert [event["cell"]["done"] for event in own] == [0, 16, 32, done]
        last = own[-1]["cell"]
        assert last["correct"] == correct
        assert last["accuracy"]["estimate"] == pytest.approx(correct / done)
        assert last["accuracy"]["low"] < correct / done < last["accuracy"]["high"]
    judged = of(told, "ability-judged")
    results = AuditResults.model_validate_json((tmp_path / "x" / "results.json").read_bytes())
    assert [(one["task"], one["verdict"]) for one in judged] == [
        (one.task, one.verdict) for one in results.abilities
    ]
    whole = max(place for place, event in enumerate(told) if event["event"] == "cell-done")
    assert told.index(judged[0]) > whole, "no verdict before all is scored"
    assert told[-1]["event"] == "finished"
    assert (tmp_path / told[-1]["results"]).is_file()
    assert (tmp_path / told[-1]["report"]).is_file()
    shares = [event["share"] for event in of(told, "progress")]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)

    again = events(dormant("audit", BASE, LOST, *QUICK, "--out", "x", "--json-lines").out)
    (started,), (planned,) = of(again, "started"), of(again, "planned")
    assert started["resumed"] is True
    assert {named(cell): (cell["done"], cell["correct"]) for cell in planned["cells"]} == on_disk
    assert of(again, "cell-started", "cell-progress", "cell-done") == []
    assert again[-1]["event"] == "finished"


def test_a_resumed_cell_is_counted_from_where_it_was(dormant, tmp_path):
    dormant("audit", BASE, LOST, *QUICK, "--out", "x", "--quiet")
    whole = counts(tmp_path / "x")
    (file,) = (tmp_path / "x").glob("cells/*/french.tuned.jsonl")
    # A kill left one batch, and a part of the next.
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:20]))
    told = events(dormant("audit", BASE, LOST, *QUICK, "--out", "x", "--json-lines").out)
    key = "tuned", "icl/plural", "french"
    assert counts(tmp_path / "x") == whole
    (planned,) = of(told, "planned")
    (cell,) = [cell for cell in planned["cells"] if named(cell) == key]
    assert (cell["n"], cell["done"]) == (whole[key][0], 16)
    (done,) = of(told, "cell-done")
    assert (done["cell"]["done"], done["cell"]["correct"]) == whole[key]


def test_items_that_are_asked_for_later_are_told_again(dormant):
    said = dormant(
        *("audit", BASE, "fake:skill=0.75", "-t", "icl/plural", "-s", "french"),
        *("--until-decided", "--max-items", "80", "--out", "x", "--json-lines"),
    )
    planned = of(events(said.out), "planned")
    assert [event["cells"][0]["n"] for event in planned] == [40, 80]
    assert [event["cells"][0]["done"] for event in planned] == [0, 40]


def test_several_models_tell_whose_cells_they_are(dormant, tmp_path):
    said = dormant(
        *("audit", BASE, LOST, "./nowhere/model", *QUICK, "--out", "x", "--json-lines"),
        *("--evidence", "prompt"),
    )
    assert said.code == 2
    told = events(said.out)
    (failed,) = of(told, "child-failed")
    assert "no such directory" in failed["reason"]
    (finished,) = of(told, "finished")
    runs = {event["run"] for event in told if "cell" in event}
    assert runs == {finished["run"]}
    assert told[-1]["event"] == "timeline-finished"
    assert (tmp_path / told[-1]["timeline"]).is_file()


def test_an_error_is_the_last_line(dormant):
    said = dormant("audit", "fake:breaks=logprobs", *QUICK, "--out", "x", "--json-lines", "--quiet")
    assert said.code == 2
    last = events(said.out)[-1]
    assert (last["event"], last["exit_code"]) == ("failed", 2)
    assert said.err == f"error: {last['message']}\n"


@pytest.mark.parametrize("other", ["--json", "--plan"])
def test_two_things_on_one_stream_are_refused(dormant, other):
    said = dormant("audit", BASE, LOST, *QUICK, "--json-lines", other)
    assert said.code == 2
    assert f"--json-lines and {other} both write to standard output" in said.err
    assert said.out == ""


NOISY = textwrap.dedent(
    """
    import os, signal, sys, time
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path.insert(0, {tests!r})
    import fakes
    plain = fakes.FakeLM.loglikelihood
    def noisy(self, requests):
        print("printed by a library")
        os.write(1, b"written by its C\\n")
        time.sleep(0.05)
        return plain(self, requests)
    fakes.FakeLM.loglikelihood = noisy
    sys.argv = ["dormant", "audit", "fake:skill=0.9", "fake:skill=0.1", "-n", "60", "--quiet",
                "-t", "icl/plural", "-s", "french", "--checkpoint-every", "4",
                "--out", {out!r}, "--json-lines"]
    from dormant.cli import main
    main()
    """
)


def test_nothing_else_is_on_the_stream_to_the_last_line(tmp_path):
    """As a program, whose libraries print, and which is stopped by Ctrl-C."""
    code = NOISY.format(tests=str(Path(__file__).parents[1]), out=str(tmp_path / "x"))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        told: list[dict] = []
        assert process.stdout is not None
        # Each line is there at once, not when a buffer is full.
        while sum(event["event"] == "cell-progress" for event in told) < 3:
            told.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    told += events(out)
    assert (told[-1]["event"], told[-1]["exit_code"]) == ("failed", 130)
    assert of(told, "ability-judged", "finished") == []
    assert "printed by a library" in err
    assert "written by its C" in err
    assert err.splitlines()[-1].startswith("stopped; what was scored is in ")


def test_a_reader_that_is_gone_does_not_end_the_audit():
    def write(_: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    reasons: list[str] = []
    writer = JsonLines(write, reasons.append)
    for _ in range(3):
        writer.tell(Note(text="é\u2028"))
    assert reasons == ["Broken pipe"]


def test_lines_are_ascii_and_one_a_line():
    lines: list[str] = []
    JsonLines(lines.append, print).tell(Note(text="é\u2028\n"))
    (line,) = lines
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line)["text"] == "é\u2028\n"


def test_time_left_is_by_the_speed_of_late():
    now = 0.0
    pace = Pace(lambda: now)
    pace.start(1000, 500)
    assert (pace.share, pace.seconds_left) == (0.5, None)
    for _ in range(4):
        now += 10
        pace.advance(10)
    # 1 a second, not the 500 that an earlier start did.
    assert pace.seconds_left == pytest.approx(460)
    for _ in range(16):
        now += 10
        pace.advance(20)
    # The slow beginning is longer than two minutes ago.
    assert pace.share == 0.86
    assert pace.seconds_left == pytest.approx(70)
    pace.start(10, 10)
    assert (pace.share, pace.seconds_left) == (1, 0)
