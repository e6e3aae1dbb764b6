"""Quantisation by bitsandbytes, asked for in the words that lm-evaluation-harness passes on.

The harness hands ``load_in_4bit=True`` to Transformers as it is, which since its version 5 takes it
inside of a `BitsAndBytesConfig` only, and the harness has no argument for one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from dormant.errors import DormantError, one_line
from dormant.files import json_file
from dormant.models.spec import ModelSpec

_LOAD = ("load_in_4bit", "load_in_8bit")
NAMES = (
    *_LOAD,
    "bnb_4bit_compute_dtype",
    "bnb_4bit_quant_storage",
    "bnb_4bit_quant_type",
    "bnb_4bit_use_double_quant",
    "llm_int8_enable_fp32_cpu_offload",
    "llm_int8_has_fp16_weight",
    "llm_int8_skip_modules",
    "llm_int8_threshold",
)
"""Arguments of a model that say how it is quantised: the fields of `BitsAndBytesConfig`."""


def quantised(kind: Any, arguments: dict[str, Any]) -> Any:
    """Return the class that loads a model quantised, where its arguments ask for that.

    Args:
        kind: The harness's Hugging Face model, or a subclass.
        arguments: A model's; what is said of quantisation is taken out.

    Returns:
        `kind`, or a subclass of it by the same name.

    Raises:
        DormantError: bitsandbytes is missing, or what is said of quantisation makes no sense.
    """
    wanted = {name: arguments.pop(name) for name in NAMES if name in arguments}
    chosen = [name for name in _LOAD if wanted.get(name)]
    details = [name for name in wanted if name not in _LOAD]
    if not chosen:
        if details:
            raise DormantError(
                f"model_args: {details[0]} does nothing alone: add load_in_4bit=True or "
                "load_in_8bit=True"
            )
        return kind
    if importlib.util.find_spec("bitsandbytes") is None:
        raise DormantError(
            f"model_args: {chosen[0]} needs the package bitsandbytes, which is not installed: "
            "pip install bitsandbytes"
        )
    from transformers import BitsAndBytesConfig

    try:
        config = BitsAndBytesConfig(**wanted)
    except (ValueError, TypeError, AttributeError) as error:
        raise DormantError(f"model_args: {', '.join(wanted)}: {one_line(error)}") from error

    def create(self: Any, *given: Any, **options: Any) -> None:
        kind._create_model(self, *given, **(options | {"quantization_config": config}))

    return type(kind.__name__, (kind,), {"_create_model": create})


def trained_over(adapter: ModelSpec) -> dict[str, Any]:
    """Return how the base was quantised while an adapter was trained, where its directory says so.

    Trainers leave the base's ``quantization_config`` in the adapter's ``config.json`` or in
    ``adapter_config.json``.

    Returns:
        Arguments of a model, by bitsandbytes' names; empty where nothing is said.
    """
    for name in ("adapter_config.json", "config.json"):
        config = json_file(Path(adapter.location) / name)
        said: object = config.get("quantization_config")
        if isinstance(said, dict):
            given = cast("dict[str, Any]", said)
            if any(given.get(load) for load in _LOAD):
                return {key: given[key] for key in NAMES if given.get(key) not in (None, False)}
    return {}


def as_trained(
    adapter: ModelSpec, arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], str | None]:
    """Return a model's arguments with those under which an adapter was trained.

    Args:
        adapter: The fine-tuned model.
        arguments: What the user says; it holds.

    Returns:
        The arguments, and a line for the reader where they can't be what they were in training.
    """
    given, said = dict(arguments), trained_over(adapter)
    if not said or any(name in given for name in (*NAMES, "dtype")):
        return given, None
    bits = "4" if said.get(_LOAD[0]) else "8"
    if importlib.util.find_spec("bitsandbytes") is None:
        return given, (
            f"the adapter {adapter.text!r} was trained over a base in {bits} bits, and is put on "
            "one in full precision: the package bitsandbytes is not installed"
        )
    return {**given, **said}, None
