"""``dormant open``: what is served of a run, while it fills and after."""

from __future__ import annotations

import html
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from begun import SETTINGS, Begun

from dormant.audit.children import children_of
from dormant.audit.many import audit_children
from dormant.errors import DormantError
from dormant.files import write_atomically
from dormant.report.so_far import render_so_far
from dormant.rundirs import locked
from dormant.watch.pages import Pages
from dormant.watch.server import PageServer
from dormant.watch.so_far import RunReader


def pages_text(page: str) -> str:
    """What people read of a page."""
    body = re.sub(r"<(style|script|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", body).split()))


def state(path: Path) -> dict[Path, tuple[int, int]]:
    return {
        entry: ((facts := entry.stat()).st_mtime_ns, facts.st_size)
        for entry in [path, *path.rglob("*")]
    }


@pytest.fixture
def run(whole, tmp_path):
    return Begun(whole, tmp_path / "run")


def so_far(reader: RunReader) -> dict[tuple[str, str], tuple[int, int, int]]:
    return {
        (cell.model, cell.transform): (cell.done, cell.correct, cell.n)
        for cell in reader.read().cells
    }


def right(lines: list[str]) -> int:
    return sum('"correct":true' in line for line in lines)


def test_cells_fill_in_and_nothing_is_written(run):
    before = state(run.path)
    page = Pages(run.path).page("")
    assert 'data-state="running"' in page
    assert "0 of 4 cells done" in pages_text(page)
    assert "Nothing was answered yet" in pages_text(page)
    assert state(run.path) == before
    run.fill("base", "plain", 40)
    run.fill("tuned", "plain", 16)
    before = state(run.path)
    pages = Pages(run.path)
    text = pages_text(pages.page(""))
    assert state(run.path) == before
    assert "1 of 4 cells done, 56 of 160 prompts answered" in text
    assert "40 of 40 , 16 of 40" in text
    percent = round(100 * right(run.lines("tuned", "plain")[:16]) / 16)
    assert f"→ {percent}%" in text
    for verdict in ("retained", "suppressed", "lost", "forgotten", "inconclusive"):
        assert verdict not in text.lower()
    run.finish()
    before = state(run.path)
    text = pages_text(pages.page(""))
    assert "1 ability: 1 lost" in text
    assert "data-state" not in pages.page("")
    assert state(run.path) == before


def test_what_is_counted_is_what_a_resumed_audit_would_keep(run):
    reader = RunReader(run.path)
    assert so_far(reader)["tuned", "plain"] == (0, 0, 40)
    lines = run.lines("tuned", "plain")
    file = run.cell("tuned", "plain")
    run.fill("tuned", "plain", 10)
    with file.open("a") as stream:
        stream.write(lines[10][:50])
    assert so_far(reader)["tuned", "plain"] == (10, right(lines[:10]), 40), "half a line is none"
    with file.open("a") as stream:
        stream.write(lines[10][50:] + lines[3])
    assert so_far(reader)["tuned", "plain"] == (11, right(lines[:11]), 40), "twice is once"
    # What a kill left of a batch is dropped by a new file.
    write_atomically(file, "".join(lines[:8]))
    assert so_far(reader)["tuned", "plain"] == (8, right(lines[:8]), 40)
    with file.open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(DormantError, match=r"plain\.tuned\.jsonl:9: damaged record"):
        reader.read()


def test_the_time_left_goes_by_what_was_answered_since_the_first_look(run):
    now = [1000.0]
    reader = RunReader(run.path, clock=lambda: now[0])
    run.fill("base", "plain", 40)
    # Nobody knows how long these 40 took.
    assert reader.read().seconds_left is None
    assert "left" not in pages_text(render_so_far(reader.read()))
    now[0] += 20
    run.fill("tuned", "plain", 40)
    # 40 in 20 seconds, 80 to go; and no longer for having looked twice.
    assert [reader.read().seconds_left for _ in range(2)] == [40, 40]
    text = pages_text(render_so_far(reader.read()))
    assert "80 of 160 prompts answered; about 40 s left." in text
    # What is asked beyond the plan takes time, too.
    now[0] += 20
    run.fill("base", "french", 40)
    edited = run.cell("tuned", "plain").with_name("noise-1.tuned.jsonl")
    edited.write_text("".join(run.lines("tuned", "plain")[:8]).replace("plain", "noise-1"))
    assert reader.read().seconds_left == pytest.approx((240 - 128) * 40 / 88)


def test_a_cell_beyond_the_plan_is_asked_the_plain_prompts(run):
    run.fill("base", "plain", 40)
    lines = [line.replace('"plain"', '"noise-1"') for line in run.lines("tuned", "plain")[:5]]
    run.cell("base", "plain").with_name("noise-1.tuned.jsonl").write_text("".join(lines))
    cells = so_far(RunReader(run.path))
    assert cells["tuned", "noise-1"] == (5, right(lines), 40)
    assert cells["base", "noise-1"] == (0, 0, 40)


def test_without_a_plan_no_total_is_made_up(run):
    run.fill("base", "plain", 7)
    (run.path / "plan.json").unlink()
    page = pages_text(Pages(run.path).page(""))
    assert "0 of 2 cells done, 7 prompts answered" in page
    assert " 7 , 0" in page


def test_newer_records_are_under_way_only_where_an_audit_is_there(run):
    run.finish()
    os.utime(run.path / "results.json", ns=(1, 1))
    assert "1 ability" in pages_text(Pages(run.path).page("")), "a copy's times say nothing"
    lock = locked(run.path)
    assert 'data-state="running"' in Pages(run.path).page("")
    lock.release()


def test_several_are_listed_until_there_is_a_timeline(whole, tmp_path):
    out = tmp_path / "many"
    first, second = Begun(whole, out / "one"), Begun(whole, out / "two")
    first.finish()
    second.fill("base", "plain", 40)
    pages = Pages(out)
    text = pages_text(pages.page(""))
    assert "1 of 2 fine-tuned models that were begun are audited" in text
    assert "one 1 ability: 1 lost" in text
    assert "two 1 of 4 cells done" in text
    assert 'href="two/"' in pages.page("")
    assert 'data-state="running"' in pages.page("two")
    assert pages.page("three") is None
    shutil.rmtree(out)
    models = ["fake:skill=0.1", "fake:skill=0.89999"]
    names = [child.name for child in children_of(models)]
    audit_children(SETTINGS, children_of(models), out)
    # The second is the base itself: it could not be audited, and is not waited for.
    text = pages_text(pages.page(""))
    assert "Dormant · timeline" in text
    assert "1 of them not audited" in text
    assert "Dormant · fine-tuning audit" in pages_text(pages.page(names[0]))
    # One that was there before, and that it leaves out, is none that is waited for.
    Begun(whole, out / "earlier").finish()
    os.utime(out / "earlier/results.json", ns=(1, 1))
    assert "Dormant · timeline" in pages_text(pages.page(""))
    # One more is begun: what there is of a timeline is not all.
    Begun(whole, out / "three")
    assert "2 of 4 fine-tuned models" in pages_text(pages.page(""))


@pytest.fixture
def served(run):
    said: list[str] = []
    with PageServer(Pages(run.path), 0, said.append) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server, said
        server.shutdown()
        thread.join()


def get(address: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_on_loopback_and_for_its_own_pages_alone(served):
    server, said = served
    assert server.server_address[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_port}/"
    code, page = get(server.address)
    assert (code, 'data-state="running"' in page) == (200, True)
    assert get(f"{server.address}other/")[0] == 404
    # Another site's name that leads here.
    assert get(server.address, Host="example.org")[0] == 403
    link = http.client.HTTPConnection("127.0.0.1", server.server_port)
    link.request("HEAD", "/")
    assert link.getresponse().read() == b""
    link.close()
    link.request("POST", "/", body="x")
    assert link.getresponse().status == 501
    link.close()
    assert said == []


def test_a_directory_that_vanishes_is_one_line_until_it_is_back(served, run):
    server, said = served
    away = run.path.with_name("away")
    run.path.rename(away)
    for _ in range(2):
        code, line = get(server.address)
        assert code == 404
        assert line == f"{run.path} has vanished: nothing of the run is there any more\n"
    assert said == [line.rstrip("\n")], "said once in the terminal, too"
    away.rename(run.path)
    assert get(server.address)[0] == 200


@pytest.mark.parametrize("made", [False, True])
def test_no_run_is_one_line(dormant, tmp_path, made):
    if made:
        (tmp_path / "x").mkdir()
    said = dormant("open", "x", "--no-browser")
    assert said.code == 2
    assert said.err == "error: x: no run there (run.json is missing)\n"


def test_a_port_that_is_taken_is_one_line(dormant, run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = dormant("open", run.path, "--no-browser", "--port", port)
    assert said.code == 2
    assert f"port {port} of 127.0.0.1 can't be had" in said.err
    assert len(said.err.splitlines()) == 1


def test_the_command_serves_until_it_is_interrupted(run):
    words = ["open", str(run.path), "--no-browser"]
    # A shell that runs the tests in the background has its children ignore Ctrl-C.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"sys.argv[1:] = {words!r}; from dormant.cli import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert get(address)[0] == 200
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err == "Ctrl-C ends it\n"
