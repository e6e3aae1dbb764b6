"""A causal language model taken apart: its layers, its output head, and its last layer."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import torch

_AFTER_HEAD = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""Settings by which architectures change logits after the head; small logits hide the change."""


@contextlib.contextmanager
def last_layer_at(decoder: Any, where: torch.Tensor) -> Generator[None]:
    """Let the feed-forward part of the last layer run on some tokens only; others get zeros.

    It works token by token, and no layer is left to attend to what it makes of the others.
    """
    layers = getattr(decoder, "layers", None) or getattr(decoder, "h", None)
    part = getattr(layers[-1], "mlp", None) if layers else None
    if part is None:
        yield
        return
    shapes: list[torch.Size] = []

    def before(_: Any, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        if len(given) != 1:
            # It is given more than the states, which would have to be picked alike.
            return None
        (states,) = given
        shapes.append(states.shape)
        return (states.flatten(0, 1)[where.to(states.device)][None],)

    def after(_: Any, __: Any, made: Any) -> Any:
        if not shapes:
            return None
        # A mixture of experts may give its router's logits as well.
        states: torch.Tensor = made[0] if isinstance(made, tuple) else made
        shape = shapes.pop()
        whole = states.new_zeros(shape).flatten(0, 1)
        whole = whole.index_copy_(0, where.to(states.device), states[0]).view(shape)
        return (whole, *made[1:]) if isinstance(made, tuple) else whole

    hooks = [part.register_forward_pre_hook(before), part.register_forward_hook(after)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def decoder_and_head(inner: Any) -> tuple[Any, Any]:
    """Return the layers below the output head, and the head; nothing where they can't be told."""
    get_decoder = getattr(inner, "get_decoder", None)
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    decoder = get_decoder() if get_decoder is not None else None
    if decoder is None or head is None or decoder is inner or not hasattr(head, "weight"):
        return None, None
    config = inner.config.get_text_config() if hasattr(inner.config, "get_text_config") else None
    if any(getattr(config, name, None) not in (None, 1, 1.0) for name in _AFTER_HEAD):
        return None, None
    return decoder, head
