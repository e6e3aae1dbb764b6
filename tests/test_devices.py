"""Which device is taken, and what is said where there is none of the name."""

from __future__ import annotations

import pytest
import torch

from dormant.devices import pick_device, use, wanted
from dormant.errors import DormantError


def test_the_first_that_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device() == "mps"
    assert pick_device(mps=False) == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert pick_device("auto") == "cuda:3"
    assert pick_device("cpu") == "cpu"


def test_under_torchrun_each_process_has_its_own(monkeypatch):
    tried = []
    monkeypatch.setattr(torch, "zeros", lambda _, device: tried.append(str(device)))
    assert pick_device("cuda") == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device("cuda") == "cuda:1"
    assert pick_device("cuda:0") == "cuda:0"
    assert tried == ["cuda", "cuda:1", "cuda:0"]


def test_what_engines_want_lasts_as_long_as_the_block():
    assert wanted() == "auto"
    with use("cpu"):
        with use("cuda:1"):
            assert wanted() == "cuda:1"
        assert wanted() == "cpu"
    assert wanted() == "auto"


@pytest.mark.parametrize("name", ["cuda", "cuda:9", "mps"])
def test_a_device_that_is_not_there(name):
    if name == "cuda" and torch.cuda.is_available():
        pytest.skip("it is there")
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(DormantError, match=rf"device '{name}' can't be used here .*auto") as error:
        pick_device(name)
    assert "\n" not in str(error.value)


def test_an_unknown_device():
    with pytest.raises(DormantError, match="device 'gpu' is unknown"):
        pick_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
def test_the_command_says_so_in_one_line(dormant, tiny_checkpoint):
    said = dormant("audit", tiny_checkpoint, "--task", "icl/copy", "-n", 8, "--device", "cuda")
    assert said.code == 2
    assert "device 'cuda' can't be used here" in " ".join(said.err.split())
    assert "Traceback" not in said.err
