"""Models as vLLM takes them: Transformers' own format, float32, in a directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dormant.audit.settings import AuditSettings
from dormant.models.spec import ModelSpec, parse


def vllm_words(settings: AuditSettings, folder: Path, dtype: str) -> list[object]:
    """Write what isn't there in that format; return the options of `vllm_worker`.

    A LoRA adapter goes as it is, over one copy of the base; others are merged into a second one.
    """
    assert settings.base is not None
    words: list[object] = ["--dtype", dtype, "--base", saved(settings.base, folder / "base")]
    tuned = parse(settings.tuned)
    if (rank := lora_rank(tuned)) is not None:
        return [*words, "--adapter", tuned.location, "--rank", rank]
    return [*words, "--tuned", saved(settings.tuned, folder / "tuned")]


def lora_rank(spec: ModelSpec) -> int | None:
    """Return the rank of a LoRA adapter; `None` for anything else."""
    if spec.kind != "adapter":
        return None
    config = json.loads((Path(spec.location) / "adapter_config.json").read_text(encoding="utf-8"))
    return int(config["r"]) if config["peft_type"] == "LORA" else None


def saved(name: str, folder: Path) -> Path | str:
    """Return a model's directory or id, having written it there if it is in another format."""
    spec = parse(name)
    if spec.kind == "hf":
        return spec.location
    from dormant.models.load import load_hf

    model: Any
    model, tokenizer = load_hf(spec, dtype="float32", device="cpu")
    if spec.kind == "adapter":
        model = model.merge_and_unload()
    # A GGUF file's weights were dequantised when they were read.
    model.hf_quantizer = None
    vars(model.config).pop("quantization_config", None)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
