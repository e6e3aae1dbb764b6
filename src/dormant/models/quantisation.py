"""Quantisation by bitsandbytes, asked for in the words that lm-evaluation-harness passes on.

The harness hands ``load_in_4bit=True`` to Transformers as it is, which since its version 5 takes it
inside of a `BitsAndBytesConfig` only, and the harness has no argument for one.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from dormant.errors import DormantError, one_line

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
