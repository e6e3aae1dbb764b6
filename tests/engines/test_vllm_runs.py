"""vLLM, really run on processors: its answers beside Dormant's own, prompt by prompt."""

from __future__ import annotations

import json
import re
import shutil
import urllib.request
from pathlib import Path

import pytest
import torch
from engine_runs import (
    CPU_VLLM,
    VLLM_OPTIONS,
    WORDS,
    compared,
    dormant,
    free_port,
    records,
    started,
    verdicts,
    vllm_python,
)

from dormant.models.load import load_hf
from dormant.models.spec import parse

pytestmark = pytest.mark.engines

NATS = 2e-3
"""The largest difference of log-probabilities between two float32 computations of an answer."""
TIE = 1e-2
"""Logits that are no further apart than this may change places from one computation to another."""


@pytest.fixture(scope="module")
def python():
    return vllm_python()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The embedded model as vLLM takes it, and its fine-tuned child, merged."""
    folder = tmp_path_factory.mktemp("models")
    for name, spec in (("base", "smollm2"), ("merged", "smollm2-sentiment")):
        model, tokenizer = load_hf(spec, dtype="float32", device="cpu")
        if name == "merged":
            model = model.merge_and_unload()
        # Weights of a GGUF file were dequantised when they were read.
        model.hf_quantizer = None
        vars(model.config).pop("quantization_config", None)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    shutil.copytree(parse("smollm2-sentiment").location, folder / "adapter")
    return folder


@pytest.fixture(scope="module")
def own(models):
    """What Dormant's own scorer says."""
    said = dormant(models, "audit", "base", "merged", *WORDS, "--dtype", "float32", "--out", "own")
    assert not said
    return models / "own"


def unexplained(models: Path, others: list) -> list[dict]:
    """Return records on which verdicts differ for no reason that is known.

    There are two: greedy decoding writes the answer in other tokens than the answer's own, which
    Dormant follows and engines don't; and two logits that are as good as equal.
    """
    left = []
    for ours, theirs in others:
        name = "base" if ours["model"] == "base" else "merged"
        model, tokenizer = load_hf(str(models / name), dtype="float32", device="cpu")
        ids = tokenizer(ours["prompt"]).input_ids
        whole = tokenizer(f"{ours['prompt']} {ours['target']}").input_ids
        with torch.inference_mode():
            logits = model(torch.tensor([whole])).logits[0, len(ids) - 1 : -1]
            written = model.generate(
                torch.tensor([ids]), max_new_tokens=len(whole) - len(ids) + 4, do_sample=False
            )[0, len(ids) :]
        chosen = logits.gather(1, torch.tensor(whole[len(ids) :])[:, None])[:, 0]
        margin = float((chosen - logits.max(-1).values).min())
        other_tokens = tokenizer.decode(written).startswith(f" {ours['target']}") and (
            written[: len(whole) - len(ids)].tolist() != whole[len(ids) :]
        )
        second = logits.topk(2).values
        tie = float((second[:, 0] - second[:, 1]).min()) < TIE or -TIE < margin < 0
        if not ((other_tokens and ours["correct"]) or tie):
            left.append({"item": ours["item"], "ours": ours["correct"], "margin": margin})
        del theirs
    return left


def in_process(python, models, own, child, out):
    """Audit the base and a child by vLLM in one process, and hold it against Dormant's own run."""
    said = dormant(
        models, "audit", f"vllm:pretrained=base,{VLLM_OPTIONS}", f"vllm:pretrained={child}",
        *WORDS, "--out", out, python=python, VLLM_ENABLE_V1_MULTIPROCESSING="0", **CPU_VLLM,
    )  # fmt: skip
    assert not said
    found = compared(own, models / out)
    print(f"\nvLLM, {out}: {found.nats:.1e} nats, {len(found.others)} verdicts of 200 differ")
    assert found.nats < NATS
    assert not unexplained(models, found.others)
    assert verdicts(models / out) == verdicts(own)


def test_in_process_it_says_what_dormant_says(python, models, own):
    in_process(python, models, own, f"merged,{VLLM_OPTIONS}", "vllm")


def test_an_adapter_in_process_one_prompt_at_a_time(python, models, own):
    """With adapters on, vLLM 0.32 on processors breaks down over several prompts at once."""
    alone = VLLM_OPTIONS.replace(",max_num_seqs=16", "")  # it is Dormant's to say 1
    in_process(python, models, own, f"base,{alone},lora_local_path=adapter", "alone")


@pytest.fixture(scope="module")
def server(python, models):
    """vLLM's own server, with the adapter beside the base; its address."""
    port = free_port()
    words = (
        # The command `vllm` of the package for processors asks for its version by another name.
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", models / "base",
        "--served-model-name", "base",
        "--enable-lora", "--max-lora-rank", 8, "--lora-modules", f"child={models / 'adapter'}",
        "--dtype", "float32", "--max-model-len", 1024, "--max-num-seqs", 16, "--enforce-eager",
        "--host", "127.0.0.1", "--port", port,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    with started(words, models / "serve.log", f"{address}/health", **CPU_VLLM):
        yield address


@pytest.fixture(scope="module")
def served(server, models):
    """Name one of the server's models.

    One prompt at a time: with adapters on, vLLM 0.32 on processors ends where it computes
    log-probabilities of several.
    """

    def name(model: str) -> str:
        return (
            f"local-completions:model={model},base_url={server}/v1/completions,tokenizer="
            f"{models / 'base'},tokenizer_backend=huggingface,max_length=1024,num_concurrent=1,"
            "max_retries=2"
        )

    return name


def test_its_server_says_what_dormant_says(served, models, own):
    """The adapter by its name on the server, one prompt at a time."""
    said = dormant(models, "audit", served("base"), served("child"), *WORDS, "--out", "served")
    assert not said
    found = compared(own, models / "served")
    print(f"\nvLLM's server: {found.nats:.1e} nats, {len(found.others)} verdicts of 200 differ")
    assert found.nats < NATS
    assert not unexplained(models, found.others)
    assert verdicts(models / "served") == verdicts(own)


def test_its_prefix_cache_serves_what_is_generated(server):
    def hits() -> float:
        with urllib.request.urlopen(f"{server}/metrics") as answer:
            text = answer.read().decode()
        (number,) = re.findall(r"^vllm:prefix_cache_hits_total\{[^}]*\} (\S+)$", text, re.MULTILINE)
        return float(number)

    def write() -> str:
        # Blocks of the cache have 128 tokens on processors: shorter beginnings aren't kept.
        asked = {"model": "base", "prompt": "One two three. " * 80, "max_tokens": 8,
                 "temperature": 0}  # fmt: skip
        request = urllib.request.Request(
            f"{server}/v1/completions", json.dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)["choices"][0]["text"]

    text, before = write(), hits()
    assert write() == text
    assert hits() > before


def test_its_texts_are_dormant_s(served, models):
    words = ("-t", "everyday/arithmetic", "-s", "leetspeak", "-n", "12", "--keep-generations")
    # The adapter by its name on the server; texts need no log-probabilities.
    said = dormant(
        models, "audit", served("base"), served("child"), *words, "--evidence", "prompt",
        "--out", "served-texts",
    )  # fmt: skip
    assert not said
    said = dormant(
        models, "audit", "base", "adapter", *words, "--evidence", "prompt", "--dtype", "float32",
        "--out", "own-texts",
    )  # fmt: skip
    assert not said
    ours, theirs = records(models / "own-texts"), records(models / "served-texts")
    alike = [ours[key]["output"] == theirs[key]["output"] for key in ours]
    print(f"\nTexts alike: {sum(alike)} of {len(alike)}")
    # A token that was as good as tied changes all that follows it.
    assert sum(alike) >= 0.9 * len(alike)
    assert verdicts(models / "served-texts") == verdicts(models / "own-texts")


def test_a_model_that_it_does_not_serve(served, models):
    said = dormant(models, "audit", served("nobody"), *WORDS, "--out", "nobody")
    assert said.startswith("error: ")
    assert "the server has no 'nobody'; it has base, child: say model=base" in said
    assert said.count("\n") == 1


def test_two_copies_on_ray(python, models, own):
    """On a cluster that is told of GPUs that it doesn't have."""
    address = f"127.0.0.1:{free_port()}"
    # It ends its own processes when it is ended; `ray stop` would end everybody's.
    cluster = (
        Path(python).with_name("ray"), "start", "--head", "--block", "--num-cpus", 2,
        "--num-gpus", 2, "--port", address.rpartition(":")[2], "--node-ip-address", "127.0.0.1",
        "--include-dashboard=false", "--disable-usage-stats", "--object-store-memory", 200000000,
    )  # fmt: skip
    with started(cluster, models / "ray.log", address, RAY_USAGE_STATS_ENABLED="0", **CPU_VLLM):
        said = dormant(
            # Each call loads the copies anew.
            models, "audit", f"vllm:pretrained=merged,{VLLM_OPTIONS},data_parallel_size=2",
            "-t", "icl/plural", "-s", "leetspeak", "-n", "25", "--checkpoint-every", "1000",
            "--out", "copies",
            python=python, RAY_ADDRESS=address, **CPU_VLLM,
        )  # fmt: skip
    assert not said
    ours, theirs = records(own), records(models / "copies")
    assert len(theirs) == 50
    nats = max(
        abs(one["target_logprob"] - ours[key]["target_logprob"]) for key, one in theirs.items()
    )
    others = [(ours[k], one) for k, one in theirs.items() if ours[k]["correct"] != one["correct"]]
    print(f"\nvLLM, two copies: {nats:.1e} nats, {len(others)} verdicts of 50 differ")
    assert nats < NATS
    assert not unexplained(models, others)
