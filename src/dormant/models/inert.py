"""Why a fine-tuned model may do nothing but what its base does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dormant.files import json_file
from dormant.models.pair import ModelPair
from dormant.models.spec import ModelSpec

_LAST = ("lora_B", "lora_embedding_B", "hada_w2_a", "lokr_w2", "oft_R", "oft_r", "vera_lambda_b")
"""Factors that adapters begin as 0, so that they begin without effect."""


def likely_cause(pair: ModelPair) -> str:
    """Say what most likely made two models compute the same, and what to do."""
    tuned = pair.tuned
    if isinstance(tuned, ModelSpec) and tuned.kind == "adapter":
        return _of_adapter(Path(tuned.location))
    if isinstance(tuned, ModelSpec) and tuned.kind != "backend":
        return (
            "were the base's weights saved once more? An adapter must be merged before the model "
            "is saved, or its own directory named"
        )
    if isinstance(tuned, ModelSpec):
        return "does the server serve the fine-tuned model, with its adapter, under this name?"
    return "was it trained, and is its adapter switched on?"


def _of_adapter(folder: Path) -> str:
    weights = _tensors(folder)
    if weights is not None and not weights:
        return (
            f"{folder / 'adapter_model.safetensors'} holds no tensors: under ZeRO-3 gather the "
            "weights before saving (stage3_gather_16bit_weights_on_model_save)"
        )
    last = {} if weights is None else {k: v for k, v in weights.items() if _begins_as_zero(k)}
    if last and not any(bool(tensor.any()) for tensor in last.values()):
        return (
            f"all {len(last)} tensors that an adapter begins as 0 ({next(iter(last))} …) still "
            "are: it was saved before training, or never trained"
        )
    if _scale(folder) == 0:
        return "lora_alpha is 0 in adapter_config.json"
    return (
        "its tensors reached no layer: were their names changed by a wrapper (torch.compile, DDP), "
        "or is it for another model?"
    )


def _begins_as_zero(name: str) -> bool:
    return any(f".{part}" in name for part in _LAST)


def _tensors(folder: Path) -> dict[str, Any] | None:
    """Read an adapter's tensors; `None` where they are in another form than safetensors."""
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        return None
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except (SafetensorError, OSError):
        return None


def _scale(folder: Path) -> object:
    return json_file(folder / "adapter_config.json").get("lora_alpha")
