from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import pytest
from hypothesis import settings

# One place for what every test needs: no look at the network, and quiet libraries.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


# A busy machine must not fail a property: examples bound the work, not the clock.
settings.register_profile("dormant", deadline=None)
settings.load_profile("dormant")


@pytest.fixture(scope="session")
def smollm2():
    """The embedded real model in float32, and its tokenizer; loaded once a session."""
    from dormant.language.models import load_hf

    return load_hf("smollm2", dtype="float32", device="cpu")


@pytest.fixture(scope="session")
def smollm2_tokenizer(smollm2):
    """The embedded model's tokenizer: 49 152 tokens, byte-level BPE, no BOS before a text."""
    return smollm2[1]


@pytest.fixture(scope="session")
def tiny_model(smollm2_tokenizer):
    """A Llama of no size with random weights, for the real tokenizer; 512 tokens of context."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(smollm2_tokenizer), hidden_size=32, intermediate_size=48,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=512,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_model, smollm2_tokenizer, tmp_path_factory):
    """The same on disk, as Transformers saves it."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model.save_pretrained(folder)
    smollm2_tokenizer.save_pretrained(folder)
    return folder


@dataclass
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def dormant(monkeypatch, capsys, tmp_path):
    """Run the command line in this process, from an empty directory."""
    from dormant import cli

    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["dormant", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run
