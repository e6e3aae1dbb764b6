"""What a model's specification and a user's options are to lm-evaluation-harness's HF model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dormant.devices import pick_device
from dormant.errors import DormantError, unknown
from dormant.models import hub, quantisation
from dormant.models.spec import ModelSpec
from dormant.scoring.backends import BATCH_SIZE

Scorer: TypeAlias = Literal["fast", "lm-eval"]


_OURS: Mapping[str, str] = {
    "pretrained": "name the model itself",
    "gguf_file": "name the file as the model",
    "peft": "name the adapter's directory as the model",
    "delta": "add the delta weights up and name the directory of the sum",
    "device": "use the option device",
    "batch_size": "use the option batch_size",
    "max_batch_size": "use the option batch_size",
}
"""Arguments of the harness that a model's name or an option says already."""

KEY_OPTIONS = ("strip_prefix", "ignore_keys")
"""Arguments that Dormant takes itself: what to take out of the names of tensors, and the beginnings
of the names (``a.|b.``) that a model needs no place for."""

_OF_LOADED = (
    "add_bos_token",
    "backend",
    "chat_template_args",
    "enable_thinking",
    "logits_cache",
    "max_length",
    "mixed_precision_dtype",
    "prefix_token_id",
    "share_prefixes",
    "softmax_dtype",
    "think_end_token",
    "token_budget",
    "truncation",
)
"""Arguments that say how a model is asked, not how it is loaded."""

_PASSED_ON = (
    *quantisation.NAMES,
    "attn_implementation",
    "cache_dir",
    "device_map",
    "local_files_only",
    "token",
    "use_safetensors",
    "variant",
)
"""What the harness's model hands on to Transformers' `from_pretrained` without a look. It hands on
anything, and what Transformers doesn't know ends in the model's constructor or nowhere; so only
these are let through, and a misspelt one is told."""


@dataclass(frozen=True)
class LoadOptions:
    """How models are loaded.

    Attributes:
        dtype: "auto", "float32" or "bfloat16".
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        scorer: "fast" is Dormant's own subclass of lm-eval's Hugging Face model; "lm-eval" is
            that model itself.
        batch_size: Prompts a forward pass on lm-eval's own path; `None` is
            `BATCH_SIZE`.
        model_args: What else lm-evaluation-harness's Hugging Face model takes, by its own names
            (revision, trust_remote_code, parallelize, load_in_4bit, …); see
            `harness_arguments`.
    """

    dtype: str = "auto"
    device: str = "auto"
    scorer: Scorer = "fast"
    batch_size: int | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict[str, Any])


def harness_arguments(spec: ModelSpec, options: LoadOptions) -> dict[str, Any]:
    """Return the keyword arguments with which the harness's HF model loads a checkpoint.

    Args:
        spec: A model of kind hf or gguf.
        options: How to load it; `model_args` come last.

    Raises:
        DormantError: An argument is unknown, or says what a name or an option says already.
    """
    arguments = _checked(options)
    dtype = str(arguments.pop("dtype", options.dtype))
    if options.dtype not in ("auto", dtype):
        raise DormantError(
            f"model_args say dtype={dtype} and the option dtype says {options.dtype}: give one"
        )
    where: dict[str, Any] = {"pretrained": spec.location}
    if spec.kind == "gguf":
        file = Path(spec.location)
        where = {"pretrained": str(file.parent), "gguf_file": file.name}
        # A dequantised checkpoint has no precision of its own.
        dtype = "float32" if dtype == "auto" else dtype
    elif (
        hub.is_hub_id(spec)
        # One of another name has other commits, and the harness knows one revision only.
        and not isinstance(arguments.get("tokenizer"), str)
        and (commit := hub.recorded(spec.location, arguments))
    ):
        arguments["revision"] = commit
    if arguments.get("device_map") is not None:
        # The harness drops a device map unless it is told to spread the model.
        arguments["parallelize"] = True
    return {
        "trust_remote_code": False,  # never a question on standard input
        **where,
        **wrapping_arguments(options),
        **arguments,
        "dtype": _known_dtype(dtype),
        "device": pick_device(options.device),
    }


def wrapping_arguments(options: LoadOptions) -> dict[str, Any]:
    """Return the arguments that hold for a loaded model as well."""
    arguments: dict[str, Any] = {"batch_size": options.batch_size or BATCH_SIZE}
    arguments |= {name: at for name, at in options.model_args.items() if name in _OF_LOADED}
    if options.scorer == "fast":
        arguments["precision"] = "float32" if options.dtype == "float32" else "auto"
    return arguments


def _checked(options: LoadOptions) -> dict[str, Any]:
    """Return the user's arguments, each known."""
    from lm_eval.models.huggingface import HFLM

    from dormant.scoring.scorer import FastLM

    model: Any = HFLM
    known = {*inspect.signature(model.__init__).parameters, *_PASSED_ON, *KEY_OPTIONS}
    if options.scorer == "fast":
        fast: Any = FastLM
        known |= {*inspect.signature(fast.__init__).parameters}
    known -= {"self", "kwargs", "options", *_OURS}
    for name in options.model_args:
        if name in _OURS:
            raise DormantError(f"model_args: {name} is not taken there: {_OURS[name]}")
        if name not in known:
            raise unknown("model argument", name, known)
    return dict(options.model_args)


def _known_dtype(name: str) -> str:
    import torch

    if name != "auto" and not isinstance(getattr(torch, name, None), torch.dtype):
        raise DormantError(f"unknown dtype {name!r}: auto, float32 or bfloat16")
    return name
