"""llama.cpp's server, really run: what it writes beside Dormant, and what it can't be asked."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import gguf
import pytest
from engine_runs import (
    dormant,
    free_port,
    llama_converter,
    llama_server,
    records,
    started,
    verdicts,
)

from dormant.models.load import load_hf
from dormant.models.spec import parse

pytestmark = pytest.mark.engines

TEXTS = ("-t", "everyday/arithmetic", "-s", "leetspeak", "-n", "30", "--keep-generations",
         "--evidence", "prompt")  # fmt: skip
"""An ability whose answers are written, plainly and under a transform: 60 prompts a model."""


@pytest.fixture(scope="module")
def binary():
    return llama_server()


@pytest.fixture(scope="module")
def models(tmp_path_factory, binary):
    """The embedded model as it is shipped and in float32, its adapter, and its tokenizer."""
    converter = llama_converter()
    folder = tmp_path_factory.mktemp("llama")
    model, tokenizer = load_hf("smollm2", dtype="float32", device="cpu")
    tokenizer.save_pretrained(folder / "words")
    vars(model.config).pop("quantization_config", None)
    model.config.architectures = [type(model).__name__]  # else saved with the weights alone
    model.config.save_pretrained(folder / "words")
    del model
    (folder / "shipped.gguf").symlink_to(parse("smollm2").location)
    in_float32(folder / "shipped.gguf", folder / "float32.gguf")
    subprocess.run(
        [sys.executable, converter, parse("smollm2-sentiment").location,
         "--base", folder / "words", "--outtype", "f32", "--outfile", folder / "adapter.gguf"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def in_float32(quantised: Path, file: Path) -> None:
    """Write a GGUF file anew with its tensors' numbers in float32, the same numbers."""
    reader = gguf.GGUFReader(quantised)
    writer = gguf.GGUFWriter(file, "llama")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind, *of = field.types
        writer.add_key_value(name, field.contents(), kind, of[-1] if of else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def served(binary, models):
    """Start a server of a file, under a name; name it as a user does."""

    @contextlib.contextmanager
    def start(name: str, file: str, *words: object) -> Generator[str]:
        port = free_port()
        command = (
            binary, "--model", models / file, "--alias", name, *words, "--ctx-size", 2048,
            "--parallel", 1, "--threads", 1, "--host", "127.0.0.1", "--port", port,
        )  # fmt: skip
        with started(command, models / f"{name}.log", f"http://127.0.0.1:{port}/health"):
            yield (
                f"local-completions:model={name},base_url=http://127.0.0.1:{port}/v1/completions,"
                f"tokenizer={models / 'words'},tokenizer_backend=huggingface,max_length=1024,"
                "max_retries=1"
            )

    return start


@pytest.fixture(scope="module")
def base(served):
    with served("base", "float32.gguf") as name:
        yield name


@pytest.fixture(scope="module")
def own(models):
    """What Dormant says itself, of the same numbers in float32."""
    said = dormant(
        models,
        "audit",
        "smollm2",
        "smollm2-sentiment",
        *TEXTS,
        "--dtype",
        "float32",
        "--out",
        "own",
    )
    assert not said
    return models / "own"


def alike(own: Path, engine: Path) -> float:
    """Return the share of texts that are the same."""
    ours, theirs = records(own), records(engine)
    assert theirs.keys() == ours.keys()
    assert all(one["prompt"] == theirs[key]["prompt"] for key, one in ours.items())
    return sum(one["output"] == theirs[key]["output"] for key, one in ours.items()) / len(ours)


def test_it_writes_what_dormant_writes(served, base, models, own):
    with served("child", "float32.gguf", "--lora", models / "adapter.gguf") as child:
        said = dormant(models, "audit", base, child, *TEXTS, "--out", "float32")
    assert not said
    share = alike(own, models / "float32")
    print(f"\nllama.cpp's server, float32: {share:.0%} of the texts are the same")
    # A token that was as good as tied changes all that follows it.
    assert share >= 0.9
    assert verdicts(models / "float32") == verdicts(own)


def test_a_quantised_file_writes_other_texts(served, models, own):
    """It rounds what goes into a quantised matrix to 8 bits; Dormant takes the matrix's numbers."""
    adapter = ("--lora", models / "adapter.gguf")
    with (
        served("shipped", "shipped.gguf") as plain,
        served("tuned", "shipped.gguf", *adapter) as child,
    ):
        said = dormant(models, "audit", plain, child, *TEXTS, "--out", "quantised")
    assert not said
    share = alike(own, models / "quantised")
    print(f"\nllama.cpp's server, as shipped: {share:.0%} of the texts are the same")
    print(verdicts(models / "quantised"), verdicts(own))
    assert 0.5 <= share < 1


def test_an_adapter_that_is_not_switched_on(served, base, models):
    with served("off", "float32.gguf", "--lora-scaled", f"{models / 'adapter.gguf'}:0") as child:
        said = dormant(models, "audit", base, child, *TEXTS, "--out", "off")
    assert "nothing was audited: base and tuned write the same texts" in said
    assert said.count("\n") == 1


def test_log_probabilities_are_not_to_be_had(base, models):
    for concurrent in (1, 4):
        said = dormant(
            models, "audit", f"{base},num_concurrent={concurrent}", "-t", "icl/copy", "-n", "4",
            "--out", f"copy{concurrent}",
        )  # fmt: skip
        assert "the server gives no log-probabilities of a prompt" in said
        assert said.count("\n") == 1


def test_a_server_of_another_model_than_named(base, models):
    said = dormant(models, "audit", base.replace("=base", "=nobody"), *TEXTS, "--out", "nobody")
    assert "the server has no 'nobody'; it has base: say model=base" in said
    assert said.count("\n") == 1
