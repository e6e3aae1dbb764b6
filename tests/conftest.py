from __future__ import annotations

import os

import pytest

# One place for what every test needs: no look at the network, and quiet libraries.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def smollm2():
    """The embedded real model in float32, and its tokenizer; loaded once a session."""
    from dormant.language.models import load_hf

    return load_hf("smollm2", dtype="float32", device="cpu")


@pytest.fixture(scope="session")
def smollm2_tokenizer(smollm2):
    """The embedded model's tokenizer: 49 152 tokens, byte-level BPE, no BOS before a text."""
    return smollm2[1]
