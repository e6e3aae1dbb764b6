"""Adapters one on top of another, kept as one adapter of the base.

The sum of two LoRA updates is a LoRA update: B₁A₁ + B₂A₂ = [B₁ B₂] [A₁; A₂] (block matrices). So
what was tuned in two steps is one small file, and all models of the zoo are adapters of one base.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dormant.files import write_atomically

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def keep(changes: dict[str, Any], rank: int, out: Path, base: str) -> None:
    """Write changes of weights as a LoRA adapter: of each, the best approximation of a rank.

    Args:
        changes: What was added to each matrix, outputs × inputs, by the weight's name.
        rank: The rank.
        out: The directory to write; made if missing.
        base: The base model's specification.
    """
    import torch
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    for name, change in changes.items():
        left, sizes, right = torch.linalg.svd(change.float(), full_matrices=False)
        root = sizes[:rank].sqrt()
        inside = f"base_model.model.{name.removesuffix('.weight')}"
        tensors[f"{inside}.lora_A.weight"] = (root[:, None] * right[:rank]).contiguous()
        tensors[f"{inside}.lora_B.weight"] = (left[:, :rank] * root).contiguous()
    config = {
        "base_model_name_or_path": base,
        "lora_alpha": rank,
        "peft_type": "LORA",
        "r": rank,
        # All of one place in one layer each: no module is named that has no tensor.
        "target_modules": sorted(name.removesuffix(".weight") for name in changes),
        "task_type": "CAUSAL_LM",
    }
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / WEIGHTS, metadata={"format": "pt"})
    write_atomically(out / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")


def stack(adapters: list[Path], out: Path) -> None:
    """Write the sum of LoRA adapters of one base as an adapter, in bfloat16.

    Args:
        adapters: Directories as PEFT writes them, all with the same modules.
        out: The directory to write; made if missing. The configuration is the last adapter's, with
            the sum of the ranks, and alpha equal to it: the scales alpha / r are put into B.

    Raises:
        ValueError: The adapters don't change the same matrices.
    """
    import torch
    from safetensors.torch import load_file, save_file

    parts = [_scaled(folder, load_file(folder / WEIGHTS)) for folder in adapters]
    names = set(parts[0])
    if any(set(part) != names for part in parts):
        raise ValueError("adapters of different modules can't be stacked")
    # A is rank × inputs, B outputs × rank: the rank is what grows.
    summed = {
        name: torch.cat([part[name] for part in parts], dim=0 if ".lora_A." in name else 1)
        .to(torch.bfloat16)
        .contiguous()
        for name in sorted(names)
    }
    out.mkdir(parents=True, exist_ok=True)
    config = json.loads((adapters[-1] / CONFIG).read_text(encoding="utf-8"))
    rank = next(tensor.shape[0] for name, tensor in summed.items() if ".lora_A." in name)
    config |= {"r": rank, "lora_alpha": rank}
    save_file(summed, out / WEIGHTS, metadata={"format": "pt"})
    write_atomically(out / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")


def _scaled(folder: Path, tensors: dict[str, Any]) -> dict[str, Any]:
    """Return an adapter's matrices with its scale in B."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    scale = config["lora_alpha"] / config["r"]
    return {
        name: (tensor.float() * scale if ".lora_B." in name else tensor.float())
        for name, tensor in tensors.items()
    }


def silent(adapter: Path, out: Path) -> None:
    """Write an adapter that changes nothing: B is zero, as before the first step."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(adapter / WEIGHTS)
    out.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: at * 0 if ".lora_B." in name else at for name, at in tensors.items()},
        out / WEIGHTS,
        metadata={"format": "pt"},
    )
    write_atomically(out / CONFIG, (adapter / CONFIG).read_text(encoding="utf-8"))
