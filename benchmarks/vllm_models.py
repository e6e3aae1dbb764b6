"""Models as vLLM takes them: Transformers' own format, float32, in a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dormant.audit.settings import AuditSettings
from dormant.models.spec import parse


def vllm_words(settings: AuditSettings, folder: Path, dtype: str) -> list[object]:
    """Write what isn't there in that format; return the options of `vllm_worker`.

    An adapter is merged into a copy of its base: vLLM 0.32 does serve adapters, but on a CPU fails
    where log-probabilities of a prompt are asked for under one.
    """
    assert settings.base is not None
    words: list[object] = ["--dtype", dtype]
    if settings.device == "cpu":
        words += ["--share", 0.15]
    for which, name in (("base", settings.base), ("tuned", settings.tuned)):
        words += [f"--{which}", saved(name, folder / which)]
    return words


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
