"""A GGUF checkpoint is converted once, and what is kept of it is the same in every bit."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest
import torch

from byte_models import TEMPLATE, byte_llama, write_gguf
from dormant.errors import DormantError
from dormant.models import converted, converting
from dormant.models.arguments import LoadOptions
from dormant.models.checkpoint import LoadLog
from dormant.models.comparability import facts_of
from dormant.models.fingerprint import fingerprint
from dormant.models.live import LiveModel
from dormant.models.load import load
from dormant.models.spec import parse
from dormant.models.tokenizers import load_tokenizer

PROMPTS = ["the cat, the hat", "Ünïcode \U0001f642 <|end|>", "  spaces\nand lines"]


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    monkeypatch.setenv(converted.CAP_VARIABLE, "1")


@pytest.fixture
def file(tmp_path):
    return write_gguf(byte_llama(), tmp_path / "tiny.gguf")


@pytest.fixture
def conversions(monkeypatch):
    """Which GGUF files Transformers converts from here on."""
    import transformers

    seen: list[str] = []
    real = transformers.AutoModelForCausalLM.from_pretrained

    def noted(where, *given, **options):
        if options.get("gguf_file"):
            seen.append(options["gguf_file"])
        return real(where, *given, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", noted)
    return seen


def from_file(file, monkeypatch, **options):
    """Load a file as if nothing were kept."""
    with monkeypatch.context() as without:
        without.setenv(converted.CAP_VARIABLE, "0")
        return load(str(file), LoadOptions(**options))


def assert_same(one, other):
    ours, theirs = (
        {**dict(lm.model.named_parameters()), **dict(lm.model.named_buffers())}
        for lm in (one, other)
    )
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype
        assert torch.equal(tensor, theirs[name]), name
    assert one.tokenizer.chat_template == other.tokenizer.chat_template
    assert one.tokenizer.special_tokens_map == other.tokenizer.special_tokens_map
    for prompt in PROMPTS:
        assert one.tok_encode(prompt) == other.tok_encode(prompt)
    ids = torch.tensor([one.tok_encode(PROMPTS[0])])
    with torch.inference_mode():
        assert torch.equal(one.model(ids).logits, other.model(ids).logits)
    said = [facts_of(lm, PROMPTS, PROMPTS, style="raw", generates=False) for lm in (one, other)]
    assert said[0] == said[1]
    # What tells a model in memory when its run is resumed.
    marks = [LiveModel(text="x", model=lm.model, tokenizer=lm.tokenizer) for lm in (one, other)]
    assert marks[0].fingerprint() == marks[1].fingerprint()


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_what_is_kept_is_what_the_file_gives(file, conversions, monkeypatch, dtype):
    first = load(str(file), LoadOptions(dtype=dtype))
    assert conversions == ["tiny.gguf"]
    second = load(str(file), LoadOptions(dtype=dtype))
    assert conversions == ["tiny.gguf"]
    plain = from_file(file, monkeypatch, dtype=dtype)
    assert conversions == ["tiny.gguf"] * 2
    assert plain.tokenizer.chat_template == TEMPLATE
    for lm in (first, second):
        assert_same(lm, plain)
        assert (lm.pretrained, lm.model.config._name_or_path, lm.tokenizer.name_or_path) == (
            plain.pretrained, plain.model.config._name_or_path, plain.tokenizer.name_or_path,
        )  # fmt: skip
    assert fingerprint(parse(str(file))) == fingerprint(parse(str(file)))


def test_the_tokenizer_alone_is_that_of_the_file(file, monkeypatch):
    before = load_tokenizer(parse(str(file)), LoadOptions())
    load(str(file))
    monkeypatch.setattr("transformers.integrations.gguf.convert_gguf_tokenizer", None)
    after = load_tokenizer(parse(str(file)), LoadOptions())
    assert after.backend_tokenizer.to_str() == before.backend_tokenizer.to_str()
    assert after.special_tokens_map == before.special_tokens_map
    assert (after.chat_template, after.name_or_path) == (TEMPLATE, before.name_or_path)


def test_a_tokenizer_stays_told_to_begin_with_bos(tmp_path, conversions, monkeypatch):
    """Transformers does not save that it was; Gemma's files say it."""
    file = write_gguf(byte_llama(), tmp_path / "begins.gguf", begins=True)
    plain = from_file(file, monkeypatch)
    assert plain.tokenizer.add_bos_token is True
    seen = len(conversions)
    for _ in range(3):
        lm = load(str(file))
        assert lm.tokenizer.add_bos_token is True
        assert_same(lm, plain)
    assert load_tokenizer(parse(str(file)), LoadOptions()).add_bos_token is True
    assert len(conversions) == seen + 1


def test_other_content_and_other_dtypes_are_other_entries(file, tmp_path, conversions):
    load(str(file))
    load(str(file), LoadOptions(dtype="bfloat16"))
    write_gguf(byte_llama(seed=1), file)
    changed = load(str(file))
    assert len(conversions) == len(converted.entries()) == 3
    assert torch.equal(changed.model.lm_head.weight, byte_llama(seed=1).lm_head.weight), (
        "the weights are those of the file as it is now"
    )
    # The same bytes under another name are the same model; what lies beside a file counts.
    copy = tmp_path / "elsewhere" / "copy.gguf"
    copy.parent.mkdir()
    copy.write_bytes(file.read_bytes())
    load(str(copy))
    assert len(conversions) == 3
    (copy.parent / "chat_template.jinja").write_text("{{ messages }}")
    load(str(copy))
    assert len(conversions) == 4


def test_other_versions_convert_anew(file, conversions, monkeypatch):
    load(str(file))
    real = converted.versions
    monkeypatch.setattr(converted, "versions", lambda *names: {**real(*names), "gguf": "0"})
    load(str(file))
    assert len(conversions) == 2


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("damage", ["torn", "changed", "gone"])
def test_a_damaged_entry_is_converted_anew(file, conversions, monkeypatch, name, damage):
    load(str(file))
    (entry,) = converted.entries()
    hurt = entry.path / name
    content = bytearray(hurt.read_bytes())
    if damage == "gone":
        hurt.unlink()
    elif damage == "torn":
        hurt.write_bytes(content[: len(content) // 2])
    else:
        content[-20] ^= 1
        hurt.write_bytes(content)
    again = load(str(file))
    assert len(conversions) == 2
    assert_same(again, from_file(file, monkeypatch))
    load(str(file))
    assert len(conversions) == 3, "the one above and that without a cache"


def test_an_entry_whose_list_is_damaged_is_converted_anew(file, conversions):
    load(str(file))
    (entry,) = converted.entries()
    (entry.path / "entry.json").write_text('{"files": []}')
    load(str(file))
    assert len(conversions) == 2
    load(str(file))
    assert len(conversions) == 2


def test_what_does_not_survive_is_not_kept(file, conversions, monkeypatch):
    """A checkpoint that is another after being saved is loaded from its file every time."""
    real = converting._write

    def spoilt(part, model, tokenizer):
        with torch.no_grad():
            weights = model.model.norm.weight
            weights += 1
            done = real(part, model, tokenizer)
            weights -= 1
        return done

    monkeypatch.setattr(converting, "_write", spoilt)
    lm = load(str(file))
    assert torch.equal(lm.model.model.norm.weight, byte_llama().model.norm.weight)
    assert converted.entries() == []
    assert len(conversions) == 2


def test_warnings_of_the_conversion_are_kept(file, monkeypatch):
    import transformers

    real = transformers.AutoModelForCausalLM.from_pretrained

    def warns(where, *given, **options):
        if options.get("gguf_file"):
            logging.getLogger("transformers").warning("the file's rope is a guess")
        return real(where, *given, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", warns)
    logs = LoadLog(), LoadLog()
    for log in logs:
        load(str(file), log=log)
        assert log.warnings[0] == "the file's rope is a guess"
    assert logs[0] == logs[1]


@pytest.mark.parametrize("gigabytes", ["0", "0.0000001"])
def test_nothing_is_kept_where_it_may_not_be(file, conversions, monkeypatch, gigabytes):
    monkeypatch.setenv(converted.CAP_VARIABLE, gigabytes)
    load(str(file))
    load(str(file))
    assert len(conversions) == 2
    assert converted.entries() == []


def test_no_cache_at_all(file, conversions, monkeypatch):
    monkeypatch.setenv("DORMANT_CACHE", "")
    load(str(file))
    load(str(file))
    assert len(conversions) == 2


def test_a_full_disk_and_a_place_that_can_not_be_written(file, conversions, monkeypatch, tmp_path):
    usage = converted.shutil.disk_usage(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(converted.shutil, "disk_usage", lambda _: usage._replace(free=1000))
        load(str(file))
    assert converted.entries() == []
    (tmp_path / "blocked").write_text("a file where a directory should be")
    monkeypatch.setenv("DORMANT_CACHE", str(tmp_path / "blocked"))
    load(str(file))
    assert len(conversions) == 2


def test_writing_that_fails_midway_loads_all_the_same(file, monkeypatch):
    import safetensors.torch

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    assert load(str(file)).model is not None
    assert converted.entries() == []
    assert not list(converted.folder().glob("*.part"))


@pytest.mark.parametrize("given", ["many", "-1", "nan", "inf"])
def test_a_cap_that_is_none(file, monkeypatch, given):
    monkeypatch.setenv(converted.CAP_VARIABLE, given)
    with pytest.raises(DormantError, match=f"{converted.CAP_VARIABLE} is '{given}'"):
        load(str(file))


def test_the_entry_used_least_recently_makes_room(tmp_path, monkeypatch):
    import os

    files = [write_gguf(byte_llama(seed=n), tmp_path / f"{n}.gguf") for n in range(3)]
    for number, path in enumerate(files[:2]):
        load(str(path))
        os.utime(converted.entries()[0].path / "entry.json", (number, number))
    load(str(files[0]))  # so the other one is the older
    size = max(entry.bytes for entry in converted.entries())
    monkeypatch.setenv(converted.CAP_VARIABLE, str(2.5 * size / 1e9))
    load(str(files[2]))
    assert {entry.name for entry in converted.entries()} == {str(files[0]), str(files[2])}


def test_what_a_kill_left_is_removed(file):
    left = converted.folder() / "0123.part"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    load(str(file))
    assert not left.exists()
    assert len(converted.entries()) == 1


LOAD = """
import sys, torch
from dormant.models.load import load
lm = load(sys.argv[1])
print(lm.model.lm_head.weight.sum().item())
"""


def test_two_writers_leave_one_whole_entry(file, conversions):
    both = [
        subprocess.Popen([sys.executable, "-c", LOAD, str(file)], stdout=-1, text=True)
        for _ in range(2)
    ]
    said = {process.communicate(timeout=120)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert said == {f"{byte_llama().lm_head.weight.sum().item()}\n"}
    assert len(converted.entries()) == 1
    load(str(file))
    assert conversions == []


def test_weights_of_the_model_are_not_the_file_s_to_change(file):
    """They may be pages of the file in memory: writing to them must not write to it."""
    load(str(file))
    lm = load(str(file))
    with torch.no_grad():
        lm.model.lm_head.weight.zero_()
    again = load(str(file))
    assert torch.equal(again.model.lm_head.weight, byte_llama().lm_head.weight)


def test_arguments_of_its_own_are_loaded_as_before(file, conversions):
    options = LoadOptions(model_args={"attn_implementation": "eager"})
    for _ in range(2):
        load(str(file), options)
    assert len(conversions) == 2


def test_the_command(dormant, file):
    said = dormant("cache", "list")
    assert said.code == 0
    assert said.out.startswith("0.0 MB of at most 1.0 GB in ")
    load(str(file))
    said = dormant("cache", "list")
    assert str(file) in said.out
    assert "float32" in said.out
    assert "a moment ago" in said.out
    wrong = dormant("cache", "clear", "tiny")
    assert wrong.code == 2
    assert "unknown kept checkpoint 'tiny'" in wrong.err
    assert len(converted.entries()) == 1
    said = dormant("cache", "clear", file)
    assert said.code == 0
    assert "set free" in said.out
    assert converted.entries() == []
    assert dormant("cache", "clear").code == 0


def test_the_command_without_a_cache(dormant, monkeypatch):
    monkeypatch.setenv(converted.CAP_VARIABLE, "0")
    said = dormant("cache", "list")
    assert said.code == 0
    assert said.out.startswith("nothing is kept")


@pytest.mark.slow
def test_the_embedded_model(monkeypatch, conversions):
    first = load("smollm2")
    second = load("smollm2")
    assert len(conversions) == 1
    (entry,) = converted.entries()
    assert entry.name == "smollm2"
    plain = from_file("smollm2", monkeypatch)
    for lm in (first, second):
        assert_same(lm, plain)
    assert json.loads((entry.path / "entry.json").read_text())["dtype"] == "float32"
