from __future__ import annotations

import errno
import json
import os

import pytest

from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.errors import DormantError
from dormant.results import ItemOutcome

CELL = CellKey("base", "icl/copy", "french")
BATCHES = [["a", "b"], ["c", "d"], ["e"]]


def outcome(item, text="p"):
    return ItemOutcome(
        model="base", task="icl/copy", transform="french", item=item, prompt=text, target="t",
        target_logprob=-1.25, target_greedy=True, correct=True,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path):
    run = RunDirectory.start(tmp_path / "run", {"n": 3}, {"python": "3"})
    yield run
    run.close()


def test_what_goes_in_comes_out(run):
    run.append(CELL, [outcome("a", 'line\nbreak "quoted" ünïcode'), outcome("b")])
    assert [o.item for o in run.outcomes(CELL)] == ["a", "b"]
    assert list(run.outcomes(CELL)) == list(run.all_outcomes())
    assert run.finished(CELL, BATCHES) == [True, False, False]


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_a_torn_line_is_dropped_with_its_batch(run, cut):
    run.append(CELL, [outcome("a"), outcome("b")])
    whole = run.cell_file(CELL).read_bytes()
    run.append(CELL, [outcome("c"), outcome("d")])
    raw = run.cell_file(CELL).read_bytes()
    run.cell_file(CELL).write_bytes(raw[:-cut])
    assert run.finished(CELL, BATCHES) == [True, False, False]
    assert run.cell_file(CELL).read_bytes() == whole


def test_damage_in_the_middle_is_reported_with_its_line(run):
    run.append(CELL, [outcome("a"), outcome("b")])
    file = run.cell_file(CELL)
    file.write_bytes(b"{broken\n" + file.read_bytes())
    with pytest.raises(DormantError, match=r"jsonl:1: damaged record"):
        run.finished(CELL, BATCHES)


def test_other_settings_are_refused_by_name(run):
    run.close()
    with pytest.raises(DormantError, match=r"other settings \(n was 3, now 4\)"):
        RunDirectory.start(run.path, {"n": 4}, {})
    RunDirectory.start(run.path, {"n": 3}, {"python": "4"}).close()


def test_a_tuned_model_that_was_never_asked_may_be_another(tmp_path):
    def started(tuned, stands=True):
        settings = {"n": 3, "fingerprints": {"base": "b", "tuned": tuned}}
        run = RunDirectory.start(tmp_path / "run", settings, {"python": "3"}, base_stands=stands)
        run.close()
        return run

    before = started("half")
    before.append(CELL, [outcome("a")])
    before.note("precision of base", "bfloat16")
    before.note("precision of tuned under noise-0.1", "float32")
    before.warn(["half is odd"])
    with pytest.raises(DormantError, match="fingerprint of tuned was 'half', now 'whole'"):
        started("whole", stands=False)
    run = started("whole")
    assert run.manifest["settings"]["fingerprints"]["tuned"] == "whole"
    assert RunDirectory.read(run.path).id == run.id != before.id
    assert [one.item for one in run.outcomes(CELL)] == ["a"]
    assert (run.notes(), run.warnings()) == ({"precision of base": "bfloat16"}, [])
    run.append(CellKey("tuned", "icl/copy", "french"), [outcome("a")])
    with pytest.raises(DormantError, match="fingerprint of tuned was 'whole', now 'other'"):
        started("other")


def test_a_directory_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(DormantError, match=r"not empty \(thesis.tex"):
        RunDirectory.start(tmp_path, {}, {})


@pytest.mark.parametrize("name", ["run.json", "results.json", "notes.json", "comparison.json"])
def test_what_can_not_be_read_is_one_line(run, name):
    """A directory stands where the file was, as nothing keeps a test's root from reading."""
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).mkdir()
    read = {
        "run.json": lambda: RunDirectory.read(run.path),
        "results.json": run.results,
        "notes.json": run.notes,
        "comparison.json": run.comparison,
    }
    with pytest.raises(DormantError, match=f"{name} can't be read: Is a directory"):
        read[name]()


def test_a_cell_that_can_not_be_read_is_one_line(run):
    run.cell_file(CELL).mkdir(parents=True)
    for read in (lambda: [*run.outcomes(CELL)], lambda: run.finished(CELL, BATCHES)):
        with pytest.raises(DormantError, match=r"jsonl can't be read: Is a directory"):
            read()


def test_two_processes_do_not_share(run):
    with pytest.raises(DormantError, match="in use by another process"):
        RunDirectory.start(run.path, {"n": 3}, {})


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"settings": 3, "id": "x"}'])
def test_damaged_manifest(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DormantError, match="damaged"):
        RunDirectory.read(tmp_path)


def test_unfinished_run_has_no_results(run):
    with pytest.raises(DormantError, match="has not finished"):
        run.results()


class FullDisk:
    """Stands for os.fsync on a disk that fills up."""

    def __init__(self, code):
        self.code = code

    def __call__(self, _):
        raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "disk full"), (errno.EIO, "can't be written")]
)
def test_a_failed_write_leaves_the_file_as_it_was(run, monkeypatch, code, words):
    run.append(CELL, [outcome("a"), outcome("b")])
    before = run.cell_file(CELL).read_bytes()
    monkeypatch.setattr("os.fsync", FullDisk(code))
    with pytest.raises(DormantError, match=words):
        run.append(CELL, [outcome("c")])
    assert run.cell_file(CELL).read_bytes() == before


def test_a_really_full_disk(run):
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("no /dev/full here")
    file = run.cell_file(CELL)
    file.parent.mkdir(parents=True)
    file.symlink_to("/dev/full")
    with pytest.raises(DormantError, match=r"disk full|can't be written"):
        run.append(CELL, [outcome("a")])


def test_distinct_names_have_distinct_files(run):
    names = ["a+b", "a-b", "a/b", "a@b", "caesar:3", "caesar-3"]
    files = {run.cell_file(CellKey("base", name, name)) for name in names}
    assert len(files) == len(names)


def test_manifest_is_readable_json(run):
    body = json.loads((run.path / "run.json").read_text())
    assert body["settings"] == {"n": 3}
    assert body["versions"] == {"python": "3"}
