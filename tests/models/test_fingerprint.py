"""What counts as the same checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from dormant.models import file_hashes as module
from dormant.models import hub
from dormant.models.arguments import LoadOptions, harness_arguments
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
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    settled(folder / "model.safetensors")
    return folder


def of(folder, **model_args):
    return fingerprint(parse(str(folder)), model_args)


def settled(file):
    """Let a file have changed long ago: what changed just now may change again unseen."""
    os.utime(file, ns=(1, file.stat().st_mtime_ns - 10**10))


def change(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "chat_template.jinja", "tokenizer_config.json", "generation_config.json",
     "modeling_own.py", "config.json", "additional_chat_templates/tool_use.jinja"],
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
        settled(files[-1])
    halves = [files[:4], files[4:]]
    running = [subprocess.Popen([sys.executable, "-c", WRITER, *map(str, half)]) for half in halves]
    assert [process.wait() for process in running] == [0, 0]
    assert set(json.loads(module._place().read_text())) == {str(file) for file in files}


def test_without_a_cache(checkpoint, monkeypatch):
    before = of(checkpoint)
    monkeypatch.setenv("DORMANT_CACHE", "")
    assert of(checkpoint) == before


def test_what_changed_just_now_is_read_again(checkpoint):
    """The clock of a file system ticks in milliseconds: two contents can have one time."""
    weights = checkpoint / "model.safetensors"
    os.utime(weights)
    before, state = of(checkpoint), weights.stat()
    change(weights)
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert of(checkpoint) != before


@pytest.mark.parametrize("name", ["README.md", "optimizer.bin", "trainer_state.json"])
def test_what_nobody_loads_does_not_count(checkpoint, name):
    before = of(checkpoint)
    (checkpoint / name).write_text("x")
    assert of(checkpoint) == before


@pytest.mark.parametrize("name", ["tokenizer_config.json", "additional_chat_templates/rag.jinja"])
def test_what_lies_beside_a_gguf_file_counts(tmp_path, name):
    weights = tmp_path / "model.gguf"
    weights.write_bytes(b"GGUF")
    before = fingerprint(parse(str(weights)))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
    assert fingerprint(parse(str(weights))) != before


@pytest.mark.parametrize("key", ["pretrained", "lora_local_path", "tokenizer"])
def test_files_that_a_backend_names_count(checkpoint, key):
    spec = parse(f"vllm:{key}={checkpoint},max_model_len=99")
    before = fingerprint(spec)
    change(checkpoint / "tokenizer_config.json")
    assert fingerprint(spec) != before


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A hub id whose cache on this machine says which commit was fetched, and no network."""
    monkeypatch.setattr(hub, "_recorded", {})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def fetched(commit, name="org/model", revision="main", **files):
        folder = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        for file, text in {f"refs/{revision}": commit, **files}.items():
            where = folder / file if file.startswith("refs") else folder / "snapshots" / commit
            where = where if file.startswith("refs") else where / file
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_text(text)

    return fetched


def test_the_commit_of_a_hub_id_counts(cached):
    found = set()
    for commit in ("a" * 40, "b" * 40):
        cached(commit)
        found.add(fingerprint(parse("org/model")))
    cached("c" * 40, revision="v1")
    found.add(fingerprint(parse("org/model"), {"revision": "v1"}))
    found.add(fingerprint(parse("org/model"), {"revision": "d" * 40}))
    assert len(found) == 4


def test_the_base_of_an_adapter_on_the_hub_counts(cached, checkpoint):
    config = json.dumps({"base_model_name_or_path": str(checkpoint)})
    cached("a" * 40, **{"adapter_config.json": config})
    before = fingerprint(parse("org/model"))
    change(checkpoint / "model.safetensors")
    assert fingerprint(parse("org/model")) != before


def test_code_of_another_repository_counts(cached, checkpoint):
    auto = {"auto_map": {"AutoModelForCausalLM": "org/code--modeling.Model"}}
    (checkpoint / "config.json").write_text(json.dumps(auto))
    found = set()
    for commit in ("a" * 40, "b" * 40):
        cached(commit, name="org/code")
        found |= {of(checkpoint, trust_remote_code=True), of(checkpoint)}
    assert len(found) == 3


def test_the_commit_that_is_recorded_is_the_one_that_is_loaded(cached):
    def revision(**model_args):
        options = LoadOptions(model_args=model_args, device="cpu")
        return harness_arguments(parse("org/model"), options).get("revision")

    cached("a" * 40)
    assert revision() is None
    fingerprint(parse("org/model"))
    cached("b" * 40)
    assert revision() == "a" * 40
    # The harness knows one revision, which is not the tokenizer's.
    assert revision(tokenizer="org/other") is None
    assert revision(revision="v1") == "v1"


def test_a_hub_id_that_is_nowhere_begins_no_run(cached, dormant, tmp_path):
    said = dormant("audit", "org/model", "--task", "icl/copy", "-q", "--out", tmp_path / "run")
    assert said.code == 2
    assert said.err.startswith("error: model 'org/model' is not in the hub's cache")
    assert said.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_hub_id_is_asked_for_where_there_is_a_network(cached, monkeypatch):
    cached("a" * 40)
    offline = hub.commit("org/model", {})

    class Answer:
        sha = "e" * 40

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: Answer)
    assert (offline, hub.commit("org/model", {})) == ("a" * 40, "e" * 40)
    assert hub.commit("org/model", {"local_files_only": True}) == "a" * 40


CHANGES = {
    "template": ("chat_template.jinja", lambda file: file.write_text("{{ messages }} ")),
    "middle of the weights": ("model.safetensors", change),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_run_is_not_resumed_with_another_model(tiny_checkpoint, tmp_path, dormant, what):
    folder = tmp_path / "model"
    shutil.copytree(tiny_checkpoint, folder)
    name, alter = CHANGES[what]
    words = (
        "audit",
        folder,
        "--task",
        "icl/copy",
        "-s",
        "leetspeak",
        "-n",
        "4",
        "-q",
        "--out",
        "r",
    )
    assert dormant(*words).code == 0
    assert dormant(*words).code == 0
    alter(folder / name)
    said = dormant(*words)
    assert said.code == 2
    assert "what is loaded has changed: fingerprint of tuned was" in said.err
    assert said.err.count("\n") == 1
