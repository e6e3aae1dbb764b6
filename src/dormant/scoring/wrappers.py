"""PEFT models that act in their own forward: what is called under the wrapper would miss them."""

from __future__ import annotations

import functools
from typing import Any


def unwrapped(model: Any) -> Any:
    """Return the model of Transformers inside of PEFT's wrapper, or itself where it has none."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@functools.cache
def can_be_disabled(kind: type[Any]) -> bool:
    """Say whether modules of a type are PEFT's, by the type: a model has thousands of modules."""
    # Transformers' own models have methods of this name.
    return isinstance(getattr(kind, "disable_adapters", None), property)


def is_adapted(part: Any) -> bool:
    """Say whether a module is one of PEFT's around a layer of the model."""
    return hasattr(part, "base_layer") and can_be_disabled(type(part))


def adapter_kind(config: Any) -> str:
    """Return the kind of an adapter, by PEFT's name for it."""
    return str(getattr(config.peft_type, "value", config.peft_type))


def acts_in_wrapper(model: Any) -> bool:
    """Whether a model must be called as a whole, by its own forward.

    Prompt learning puts virtual tokens or a cache before the input; X-LoRA, Poly and activated
    LoRA look at the input before their layers run.
    """
    configs: Any = getattr(model, "peft_config", None)
    tuner: Any = getattr(model, "base_model", None)
    if not isinstance(configs, dict) or not hasattr(model, "get_base_model"):
        return False
    if any(
        getattr(config, "is_prompt_learning", False)
        or getattr(config, "alora_invocation_tokens", None)
        for config in configs.values()
    ):
        return True
    from peft.tuners.tuners_utils import BaseTuner

    # A tuner's forward does no more than call the model, unless it has one of its own.
    own = getattr(type(tuner), "forward", None) is not BaseTuner.forward
    return own and type(tuner).__name__ not in _LOSS_ONLY


_LOSS_ONLY = ("AdaLoraModel",)
"""Tuners whose own forward changes nothing but a loss."""


def virtual_tokens(model: Any) -> int:
    """Return how many tokens of the context an adapter takes up before the prompt."""
    configs: Any = getattr(model, "peft_config", None)
    if not isinstance(configs, dict) or not hasattr(model, "get_base_model"):
        return 0
    return sum(
        int(getattr(config, "num_virtual_tokens", 0) or 0)
        for config in configs.values()
        if getattr(config, "is_prompt_learning", False)
    )
