"""What counts as the same checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from dormant.models import fingerprint as module
from dormant.models.fingerprint import fingerprint
from dormant.models.spec import parse


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "generation_config.json").write_text("{}")
    (folder / "modeling_own.py").write_text("x = 1\n")
    (folder / "model.safetensors").write_bytes(bytes(3 << 20))
    return folder


def of(folder, **model_args):
    return fingerprint(parse(str(folder)), model_args)


def change(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "chat_template.jinja", "tokenizer_config.json", "generation_config.json",
     "modeling_own.py", "config.json"],
)  # fmt: skip
def test_every_byte_counts(checkpoint, name):
    """Half way into three mebibytes of weights, too, and though hashes are kept."""
    before = of(checkpoint)
    assert of(checkpoint) == before
    change(checkpoint / name)
    assert of(checkpoint) != before


def test_how_it_is_loaded_counts(checkpoint):
    found = {of(checkpoint), of(checkpoint, revision="a"), of(checkpoint, revision="b")}
    assert len(found) == 3
    assert fingerprint(parse("gpt2")) != fingerprint(parse("distilgpt2"))


def test_the_base_of_an_adapter_counts(checkpoint, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    config = {"base_model_name_or_path": str(checkpoint)}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    before = of(adapter)
    change(checkpoint / "model.safetensors")
    assert of(adapter) != before


def test_a_large_file_is_read_once(checkpoint, monkeypatch):
    read = []
    hashing = module.hashlib.file_digest

    def counted(stream, kind):
        read.append(stream.name)
        return hashing(stream, kind)

    monkeypatch.setattr(module.hashlib, "file_digest", counted)
    before = of(checkpoint)
    weights = str(checkpoint / "model.safetensors")
    assert read.count(weights) == 1
    assert of(checkpoint) == before
    assert read.count(weights) == 1
    os.utime(weights, ns=(1, 1))
    assert of(checkpoint) == before
    assert read.count(weights) == 2


@pytest.mark.parametrize("text", ["", "[]", '{"x": 1}', "\xff"])
def test_a_damaged_cache_is_none(checkpoint, text):
    before = of(checkpoint)
    module._place().write_text(text)
    assert of(checkpoint) == before


WRITER = """
import sys
from dormant.models.fingerprint import fingerprint
from dormant.models.spec import parse
for path in sys.argv[1:]:
    fingerprint(parse(path))
"""


def test_two_writers_keep_each_others_hashes(tmp_path):
    files = []
    for number in range(8):
        files.append(tmp_path / f"{number}.gguf")
        files[-1].write_bytes(bytes([number]) * (1 << 20))
    halves = [files[:4], files[4:]]
    running = [subprocess.Popen([sys.executable, "-c", WRITER, *map(str, half)]) for half in halves]
    assert [process.wait() for process in running] == [0, 0]
    assert set(json.loads(module._place().read_text())) == {str(file) for file in files}


def test_without_a_cache(checkpoint, monkeypatch):
    before = of(checkpoint)
    monkeypatch.setenv("DORMANT_CACHE", "")
    assert of(checkpoint) == before
