from __future__ import annotations

import pytest

from dormant.models import load as models
from dormant.models.gguf_files import read_once


def test_what_was_replaced_is_put_back():
    import gguf

    before = gguf.GGUFReader, gguf.get_tensor_name_map
    with read_once():
        first, second = (gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2) for _ in range(2))
        assert first is second
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before


def test_a_file_is_parsed_once(smollm2, monkeypatch):
    """One reader for configuration, tokenizer and weights; and the model is the same."""
    import gguf
    import torch

    read: list[str] = []

    class Counted(gguf.GGUFReader):
        def __init__(self, path, *rest):
            read.append(str(path))
            super().__init__(path, *rest)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    model, tokenizer = models.load_hf("smollm2")
    assert len(read) == 1
    first = smollm2[0].state_dict()
    assert all(torch.equal(tensor, first[name]) for name, tensor in model.state_dict().items())
    assert tokenizer.get_vocab() == smollm2[1].get_vocab()


@pytest.mark.slow
def test_the_model_is_that_of_the_plain_loader(smollm2, monkeypatch):
    import contextlib

    import torch

    monkeypatch.setattr(models, "read_once", contextlib.nullcontext)
    model, tokenizer = models.load_hf("smollm2")
    ours = smollm2[0].state_dict()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in model.state_dict().items())
    assert tokenizer.get_vocab() == smollm2[1].get_vocab()
