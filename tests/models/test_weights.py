"""Which weights a model has: by content, whatever the path."""

from __future__ import annotations

import shutil

import pytest

import fakes  # noqa: F401  (registers the backend `fake`)
from byte_models import byte_llama, lora, saved
from dormant.models.spec import parse
from dormant.models.weights import weights_of


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return saved(byte_llama(), tmp_path_factory.mktemp("weights") / "base")


def test_copies_are_one_and_everything_but_weights_may_differ(base, tmp_path):
    copy = shutil.copytree(base, tmp_path / "copy")
    (copy / "tokenizer_config.json").write_text("{}")
    assert weights_of(parse(str(copy))) == weights_of(parse(str(base)))
    other = saved(byte_llama(seed=1), tmp_path / "other")
    assert weights_of(parse(str(other))) != weights_of(parse(str(base)))


def test_an_adapter_is_told_from_its_base_and_its_merged_copy(base, tmp_path):
    adapter, merged = lora(base, tmp_path)
    plain, tuned, whole = (weights_of(parse(str(path))) for path in (base, adapter, merged))
    assert (plain.adapter, whole.adapter) == ("", "")
    assert tuned.model == plain.model != whole.model
    assert tuned.adapter_name == str(adapter)
    # The same as the harness spells it.
    spelt = weights_of(parse(f"hf:pretrained={base},peft={adapter}"))
    assert (spelt.model, spelt.adapter) == (tuned.model, tuned.adapter)
    # Another scale is another adapter.
    config = adapter / "adapter_config.json"
    config.write_text(config.read_text().replace('"lora_alpha": 8', '"lora_alpha": 80'))
    assert weights_of(parse(str(adapter))).adapter != tuned.adapter


@pytest.mark.parametrize(
    "name", ["fake:skill=0.9", "local-completions:model=x,base_url=http://127.0.0.1:1/v1"]
)
def test_of_weights_elsewhere_nothing_is_said(name):
    assert weights_of(parse(name)) is None


def test_of_files_that_are_gone_nothing_is_said(tmp_path):
    assert weights_of(parse(f"hf:pretrained={tmp_path}/nowhere")) is None
    (tmp_path / "empty").mkdir()
    assert weights_of(parse(f"hf:pretrained={tmp_path}/empty")) is None
