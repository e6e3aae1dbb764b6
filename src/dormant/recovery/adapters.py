"""Changed weights as a LoRA adapter: an adapter's factors scaled, and a new update beside them.

λ·s·B·A of the fine-tuned model's adapter and s'·B'·A' of a training are one adapter of the rank of
both, [λ·s·B, s'·B'] · [A; A'] with the scale 1, which PEFT, vLLM and llama.cpp load as any other.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dormant.errors import DormantError
from dormant.files import guarded, write_atomically
from dormant.models.arguments import LoadOptions
from dormant.models.spec import ModelSpec
from dormant.models.stored import adapter_config, place, stored_file

if TYPE_CHECKING:
    import torch

    from dormant.finetuning.low_rank import LowRank

_PREFIX = "base_model.model."
_LAYER = re.compile(r"\.(?:layers|h|blocks|layer|block)\.(\d+)\.")
_BESIDE = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja",
)  # fmt: skip
"""What an adapter may bring beside its weights, for its tokenizer."""
_ELSEWHERE = ("modules_to_save", "trainable_token_indices", "target_parameters")


def unfit(spec: ModelSpec, options: LoadOptions) -> str | None:
    """Say why an adapter can't be scaled or added to; `None` where it can."""
    config = adapter_config(spec, options)
    kind = config.get("peft_type")
    if kind != "LORA":
        return f"its adapter is {kind}, of which there are no factors to scale or add to"
    if config.get("use_dora") or config.get("bias", "none") != "none":
        return "its adapter has more than LoRA's factors (DoRA's magnitudes, or biases)"
    if others := [name for name in _ELSEWHERE if config.get(name)]:
        return f"its adapter holds whole weights beside LoRA's factors ({', '.join(others)})"
    return None


def write_scaled(
    spec: ModelSpec, options: LoadOptions, factors: Sequence[float], out: Path, base: str
) -> None:
    """Write an adapter whose update is scaled, everything else as it was.

    Args:
        spec: The fine-tuned model's adapter.
        options: How it is loaded.
        factors: See `dormant.recovery.treatment.Change`.
        out: An empty directory.
        base: Its base model, as the new adapter is to name it.

    Raises:
        DormantError: It can't be read, or the directory can't be written.
    """
    tensors = _tensors(spec, options)
    depth = depth_of([*tensors])
    scaled = {
        key: _scaled(tensor, factor_of(key, factors, depth)) if _is_b(key) else tensor
        for key, tensor in tensors.items()
    }
    _write(spec, options, scaled, adapter_config(spec, options), out, base)


def write_added(
    spec: ModelSpec | None,
    options: LoadOptions,
    scales: Mapping[str, float],
    updates: Mapping[str, LowRank],
    out: Path,
    base: str,
) -> None:
    """Write an adapter that is another one and new updates.

    Args:
        spec: The adapter; `None` where there are only the updates.
        options: How it is loaded.
        scales: By what its product is multiplied in each module.
        updates: The new ones, by their modules' names in the model.
        out: An empty directory.
        base: The model that it is put on.

    Raises:
        DormantError: The adapter can't be read, or the directory can't be written.
    """
    import torch

    old = {} if spec is None else _tensors(spec, options)
    kind = next((tensor.dtype for tensor in old.values()), torch.bfloat16)
    pairs: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for key, a in old.items():
        if not _is_b(key):
            module = _module(key)
            b = old[_b_of(key)]
            pairs.setdefault(key, []).append((a.float(), b.float() * scales[module]))
    for module, one in updates.items():
        key = f"{_PREFIX}{module}.lora_A.weight"
        scaled = (one.b * one.scale).detach().cpu()
        pairs.setdefault(key, []).append((one.a.detach().cpu(), scaled))
    rank = max(sum(len(a) for a, _ in some) for some in pairs.values())
    tensors: dict[str, torch.Tensor] = {}
    for key, some in pairs.items():
        a = torch.cat([a for a, _ in some])
        b = torch.cat([b for _, b in some], dim=1)
        # One rank for all: what adds nothing is zero.
        a = torch.nn.functional.pad(a, (0, 0, 0, rank - len(a)))
        b = torch.nn.functional.pad(b, (0, rank - b.shape[1]))
        tensors |= {key: a.to(kind).contiguous(), _b_of(key): b.to(kind).contiguous()}
    modules = sorted({_module(key) for key in pairs})
    config = {
        **({} if spec is None else adapter_config(spec, options)),
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": {},
        "alpha_pattern": {},
        "use_rslora": False,
        "init_lora_weights": True,
        "layers_to_transform": None,
        "layers_pattern": None,
        "exclude_modules": None,
        "target_modules": modules,
        # GPT-2's matrices are stored transposed, in a `Conv1D`.
        "fan_in_fan_out": not any(isinstance(u.module, torch.nn.Linear) for u in updates.values()),
        "inference_mode": True,
        "bias": "none",
        "lora_dropout": 0.0,
    }
    _write(spec, options, tensors, config, out, base)


def factor_of(name: str, factors: Sequence[float], depth: int) -> float:
    """Return the factor of a tensor by its layer; see `Change.factors`."""
    found = _LAYER.search(f".{name}")
    if found is not None:
        return factors[min(int(found[1]) * len(factors) // depth, len(factors) - 1)]
    return factors[0] if "embed" in name or "wte" in name or "wpe" in name else factors[-1]


def depth_of(names: Sequence[str]) -> int:
    """Return how many layers tensors are of, by their names."""
    found = [int(match[1]) for name in names if (match := _LAYER.search(f".{name}"))]
    return max(found, default=0) + 1


def _tensors(spec: ModelSpec, options: LoadOptions) -> dict[str, torch.Tensor]:
    from peft.utils.save_and_load import load_peft_weights

    try:
        return load_peft_weights(spec.location, device="cpu", **place(spec, options))
    except Exception as error:
        # safetensors raises its own exception type for a damaged file.
        raise DormantError(f"adapter {spec.text!r} can't be read: {error}") from error


def _is_b(key: str) -> bool:
    return ".lora_B" in key or ".lora_embedding_B" in key


def _b_of(key: str) -> str:
    return key.replace("lora_A", "lora_B").replace("embedding_A", "embedding_B")


def _module(key: str) -> str:
    name = key.removeprefix(_PREFIX)
    return re.sub(r"\.lora_(embedding_)?[AB](\.weight)?$", "", name)


def _scaled(tensor: torch.Tensor, factor: float) -> torch.Tensor:
    return (tensor.float() * factor).to(tensor.dtype)


def _write(
    spec: ModelSpec | None,
    options: LoadOptions,
    tensors: Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
    out: Path,
    base: str,
) -> None:
    from safetensors.torch import save

    body = json.dumps({**config, "base_model_name_or_path": base}, indent=2, sort_keys=True)

    def write() -> None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(
            out / "adapter_model.safetensors", save(dict(tensors), metadata={"format": "pt"})
        )
        for name in _BESIDE:
            if spec is not None and (file := stored_file(spec, name, options)) is not None:
                shutil.copyfile(file, out / name)
        # Last, for it is by this file that a directory is known as an adapter's.
        write_atomically(out / "adapter_config.json", body + "\n")

    guarded(out, write)
