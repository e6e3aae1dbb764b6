"""Files are replaced whole and grow by whole blocks, whatever goes wrong."""

from __future__ import annotations

import errno
import os

import pytest

from dormant.errors import DormantError
from dormant.files import append, guarded, replacing, write_atomically


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    return path


@pytest.fixture
def full_disk(monkeypatch):
    def fails(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", fails)


def test_a_file_is_replaced(file):
    write_atomically(file, "new é")
    assert file.read_bytes() == "new é".encode()
    write_atomically(file, b"\xff")
    assert file.read_bytes() == b"\xff"
    assert list(file.parent.iterdir()) == [file]


def test_a_reader_sees_the_old_content_until_the_end(file):
    with replacing(file) as part:
        part.write_text("half")
        assert file.read_text() == "old"
    assert file.read_text() == "half"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(file, error):
    def stopped():
        with replacing(file) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        stopped()
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def test_a_full_disk_is_one_line_and_leaves_the_old_file(file, full_disk):
    with pytest.raises(DormantError, match=r"disk full while writing .*results\.json") as caught:
        guarded(file, lambda: write_atomically(file, "new"))
    assert "\n" not in str(caught.value)
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def test_a_block_is_appended_or_nothing_is(file, full_disk, monkeypatch):
    with pytest.raises(OSError, match="space"):
        append(file, b" and more")
    assert file.read_text() == "old"
    monkeypatch.undo()
    append(file, b" and more")
    append(file, b"!")
    assert file.read_text() == "old and more!"


def test_an_ordinary_file_has_ordinary_permissions(file):
    mask = os.umask(0o027)
    try:
        write_atomically(file, "new")
    finally:
        os.umask(mask)
    assert file.stat().st_mode & 0o777 == 0o640
