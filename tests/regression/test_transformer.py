"""What the transformer may see, what it refuses, and how it is stored."""

import pytest
import torch
from pydantic import ValidationError

from dormant.errors import DormantError
from dormant.regression.checkpoints import load_weights, save_weights
from dormant.regression.shapes import Prompts
from dormant.regression.streams import stream
from dormant.regression.transformer import Transformer, TransformerSettings


def lively(model):
    """Weights large enough that every path through the model shows in its output."""
    with torch.no_grad():
        for index, value in enumerate(model.parameters()):
            value.add_(0.3 * torch.randn(value.shape, generator=stream(index, "lively")))
    return model


@pytest.mark.parametrize("tokens", ["interleaved", "paired"])
@pytest.mark.parametrize("gated", [False, True])
def test_a_prediction_sees_its_input_and_the_pairs_before_it_only(small, mixed, tokens, gated):
    model = lively(small(tokens=tokens, gated=gated))
    xs, ys = mixed.sample(4, 8, stream(1, "x"))
    before = model(Prompts(xs, ys))
    assert before.shape == (4, 8)
    for k in range(8):
        later_xs, later_ys = xs.clone(), ys.clone()
        later_xs[:, k + 1 :] += 1.0
        later_ys[:, k:] -= 2.0
        after = model(Prompts(later_xs, later_ys))
        torch.testing.assert_close(after[:, : k + 1], before[:, : k + 1], rtol=0, atol=1e-6)
    # It does see: its own input, and the label and the input just before it, and the first pair.
    for part, position, moved in ((0, 5, 5), (0, 4, 5), (1, 4, 5), (0, 0, 7), (1, 0, 7)):
        changed = [xs.clone(), ys.clone()]
        changed[part][:, position] += 1.0
        after = model(Prompts(*changed))
        assert float((after - before).detach()[:, moved].abs().min()) > 1e-6, (part, position)


@pytest.mark.parametrize("tokens", ["interleaved", "paired"])
def test_a_short_prompt_is_the_beginning_of_a_long_one(small, mixed, tokens):
    model = lively(small(tokens=tokens))
    xs, ys = mixed.sample(3, 8, stream(2, "x"))
    whole, part = model(Prompts(xs, ys)), model(Prompts(xs[:, :3], ys[:, :3]))
    torch.testing.assert_close(part, whole[:, :3], rtol=0, atol=1e-6)


def test_plain_attention_is_the_fused_kernels(small, mixed, monkeypatch):
    model = lively(small())
    prompts = mixed.sample(3, 8, stream(3, "x"))
    plain = model(prompts)
    monkeypatch.setattr("dormant.regression.transformer._SHORT", 0)
    torch.testing.assert_close(model(prompts), plain, rtol=1e-5, atol=1e-5)


def test_the_papers_shape_has_the_papers_weights():
    # 12 blocks of 12 × 256² + 13 × 256, positions, norm, read-in and read-out: the 9.5 M that the
    # paper's 22.4 M come to without the vocabulary.
    model = Transformer(TransformerSettings(), stream(0, "weights"))
    count = sum(value.numel() for value in model.parameters())
    assert count == 12 * (12 * 256**2 + 13 * 256) + 82 * 256 + 512 + 11 * 256 + 257
    assert count == pytest.approx(9.5e6, rel=0.01)


def test_one_generator_one_model(small):
    one, same, other = (dict(small(seed).named_parameters()) for seed in (0, 0, 1))
    assert all(bool((one[name] == same[name]).all()) for name in one)
    assert any(bool((one[name] != other[name]).any()) for name in one)


def test_bad_shapes_are_refused(small, mixed):
    model = small()
    xs, ys = mixed.sample(2, 9, stream(4, "x"))
    with pytest.raises(DormantError, match="9 positions × 3 dimensions"):
        model(Prompts(xs, ys))
    with pytest.raises(DormantError, match="8 positions × 2 dimensions"):
        model(Prompts(xs[:, :8, :2], ys[:, :8]))
    with pytest.raises(ValidationError, match="not a multiple of heads"):
        TransformerSettings(width=10, heads=4)


def test_weights_survive_the_file(small, mixed, tmp_path):
    model = lively(small(gated=True))
    prompts = mixed.sample(2, 8, stream(5, "x"))
    save_weights(tmp_path / "w.safetensors", model)
    again = load_weights(tmp_path / "w.safetensors")
    assert again.settings == model.settings
    assert bool((again(prompts) == model(prompts)).all())
    save_weights(tmp_path / "half.safetensors", model, dtype=torch.bfloat16)
    half = load_weights(tmp_path / "half.safetensors")
    assert next(half.parameters()).dtype == torch.float32
    # bfloat16 keeps eight bits of each weight.
    torch.testing.assert_close(half(prompts), model(prompts), rtol=0.1, atol=0.1)


def test_bad_weight_files_are_refused(small, tmp_path):
    with pytest.raises(DormantError, match="there is no such file"):
        load_weights(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(DormantError, match="are not a laboratory transformer"):
        load_weights(tmp_path / "bad.safetensors")
