"""A tuned adapter on disk, as PEFT writes it, with what made it beside it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dormant.errors import DormantError
from dormant.files import write_atomically
from dormant.finetuning.settings import TuningSettings


def save_adapter(tuned: Any, out: str | Path, *, base: str, settings: TuningSettings) -> None:
    """Write a tuned adapter as PEFT does, in bfloat16, with the settings beside it.

    Args:
        tuned: What `tune` returned; its adapter is rounded to bfloat16 in place, so that what is
            in memory is what was saved.
        out: Directory, made if need be.
        base: The base model's specification, by which it is found again.
        settings: Kept in ``tuning.json``.

    Raises:
        DormantError: The directory can't be written.
    """
    import torch

    out = Path(out)
    for weight in tuned.parameters():
        if weight.requires_grad:
            weight.data = weight.data.to(torch.bfloat16)
    tuned.peft_config["default"].base_model_name_or_path = base
    try:
        # Without the flag PEFT asks the hub about the base's embeddings, which are never tuned.
        tuned.save_pretrained(out, save_embedding_layers=False)
        file = out / "adapter_config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        # PEFT writes a set, in another order every time.
        config["target_modules"] = sorted(config["target_modules"])
        write_atomically(file, json.dumps(config, indent=2, sort_keys=True) + "\n")
        record = json.dumps({"base": base, **asdict(settings)}, indent=2)
        write_atomically(out / "tuning.json", record + "\n")
        # In place of PEFT's form to be filled in.
        write_atomically(out / "README.md", _card(base, settings))
    except OSError as error:
        raise DormantError(f"the adapter can't be written to {out}: {error}") from None


def _card(base: str, settings: TuningSettings) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in asdict(settings).items())
    return (
        f"---\nlibrary_name: peft\nbase_model: {base}\n---\n\n"
        f"# A LoRA adapter of {base}\n\nMade by `dormant tune`.\n\n"
        f"| setting | value |\n|---|---|\n{rows}\n"
    )
