"""The shipped fine-tuned model against copies of it, merged as a user would."""

from __future__ import annotations

import pytest
import torch

from dormant.equivalence.check import check
from dormant.models.load import load_hf

COPIES = {"merged": (1.0, None), "at another scale": (1.1, None), "bfloat16": (1.0, torch.bfloat16)}


def merge(folder, scale, dtype):
    """Merge the adapter into its base, and save the sum as a checkpoint of its own."""
    from transformers import AutoModelForCausalLM

    model, tokenizer = load_hf("smollm2-sentiment")
    for part in model.modules():
        if hasattr(part, "lora_A"):
            part.scaling["default"] *= scale
    merged = model.merge_and_unload()
    settings = merged.config.to_dict()
    # The base came from a GGUF file, which Transformers doesn't save.
    settings.pop("quantization_config")
    config = type(merged.config)(**settings)
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(merged.state_dict())
    plain.tie_weights()
    plain.to(dtype or torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_merged_copy_of_the_demo_s_model_and_others(tmp_path):
    """The figures of docs/check.md."""
    copies = [merge(tmp_path / name, *how) for name, how in COPIES.items()]
    found = check("smollm2-sentiment", *copies)
    for one in found.comparisons:
        print(
            f"{one.model.rpartition('/')[2]}: mean {one.divergence:.1e}, worst "
            f"{one.worst_divergence:.1e}, logit {one.logit:.1e}, token {one.changed:.1%}, "
            f"noise {one.noise:.1e}, first {one.first}"
        )
    merged, scaled, half = found.comparisons
    assert merged.agrees
    assert merged.worst_divergence < 1e-9
    assert (scaled.agrees, scaled.first) == (False, "layer 1")
    assert not half.agrees
    assert check("smollm2-sentiment", copies[2], tolerance="rounded").agree
