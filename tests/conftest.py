from __future__ import annotations

import functools
import gc
import logging
import os
import shutil
import sys
from dataclasses import dataclass

import pytest
from hypothesis import settings

# One place for what every test needs: no look at the network, and quiet libraries.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# One thread a process: tests run side by side, and their tensors are too small to share. Threads
# that wait for one another make a training of a second last a minute where others want the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# Half a gigabyte for each test that loads the embedded model; tests of what is kept say how much.
os.environ.setdefault("DORMANT_CONVERTED_GB", "0")


# A busy machine must not fail a property: examples bound the work, not the clock.
settings.register_profile("dormant", deadline=None)
settings.load_profile("dormant")


_frozen_at = 0


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Leave what libraries brought along out of collections of garbage.

    Each model that is closed ends with one, which looked through a million objects of PyTorch's
    and Transformers': half of the time of a test that audits a few times.
    """
    global _frozen_at
    if len(sys.modules) > _frozen_at + 50:
        gc.collect()
        gc.freeze()
        _frozen_at = len(sys.modules)


@pytest.fixture(scope="session")
def smollm2():
    """The embedded real model in float32, and its tokenizer; loaded once a session."""
    from dormant.models.load import load_hf

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


@pytest.fixture
def small_harness(monkeypatch, tmp_path):
    """lm-evaluation-harness in this process, quickly and without a trace.

    Left out are its own 10 000 tasks, whose index takes half a minute; its set-up of logging for
    the whole process; the cache of data that it shares with other runs; and its description of
    the machine, which takes seconds.
    """
    import lm_eval.evaluator
    import lm_eval.tasks

    mine = functools.partial(lm_eval.tasks.TaskManager, include_defaults=False)
    monkeypatch.setattr("lm_eval.tasks.TaskManager", mine)
    monkeypatch.setattr("lm_eval.__main__.setup_logging", lambda: logging.getLogger("lm_eval"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda _: None)
    # The command line sets it where it isn't, which must not outlive a test.
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.delenv("TQDM_DISABLE")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test reads or fills the user's cache of translations."""
    from dormant import transforms

    monkeypatch.setenv("DORMANT_CACHE", str(tmp_path / "cache"))
    transforms._one.cache_clear()


@pytest.fixture(scope="session")
def installed_apertium():
    if shutil.which("apertium") is None:
        pytest.skip("needs Debian's apertium")
    from dormant.translation import apertium

    engine = apertium.Apertium()
    yield engine
    engine.close()


class FakeTranslator:
    """Translates by a function; notes what it is asked."""

    name = "fake"

    def __init__(self, change, release="1"):
        self.change, self.release, self.asked = change, release, []

    def pairs(self):
        return [("en", "es"), ("es", "en")]

    def version(self, source, target):
        return self.release

    def translate(self, texts, source, target):
        self.asked.append(list(texts))
        return [self.change(text) for text in texts]


@pytest.fixture
def fake_translator():
    return FakeTranslator
