"""What passes between the layers of a model, so that the first that differs can be named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dormant.models.effect import last_logits
from dormant.scoring.supported import text_config
from dormant.scoring.wrappers import unwrapped


@dataclass(frozen=True)
class Pass:
    """What a model made of one prompt's last places.

    Attributes:
        logits: (places, vocabulary), float32, in main memory.
        states: Hidden states (places, width) by component, in the order of the computation:
            "embedding", "layer 1", …, "final norm".
    """

    logits: Tensor
    states: dict[str, Tensor]


def passes(
    lm: Any, prompts: Sequence[Sequence[int]], places: int, together: int = 1
) -> Iterator[Pass]:
    """Put prompts to a model, and watch.

    Args:
        lm: The harness's Hugging Face model.
        prompts: N prompts as token ids.
        places: How many of a prompt's last places are kept.
        together: Prompts a forward pass; see `last_logits`.

    Yields:
        One pass a prompt.
    """
    hooks, seen = _watch(lm.model)
    try:
        for start in range(0, len(prompts), together):
            group = prompts[start : start + together]
            seen.clear()
            logits = last_logits(lm, group, places=places, together=together)
            width = max(len(ids) for ids in group)
            for row, (ids, own) in enumerate(zip(group, logits, strict=True)):
                # Counted from the end: an adapter's virtual tokens may stand before the prompt.
                padding, kept = width - len(ids), min(places, len(ids))
                yield Pass(
                    own,
                    {
                        name: states[row, : states.shape[1] - padding][-kept:].float().cpu()
                        for name, states in seen.items()
                    },
                )
    finally:
        for hook in hooks:
            hook.remove()


def _watch(model: Any) -> tuple[list[Any], dict[str, Tensor]]:
    """Hang hooks on a model, which note the last pass."""
    seen: dict[str, Tensor] = {}
    inner: Any = unwrapped(model)
    layers = _layers(inner)

    def note(name: str, made: Any) -> None:
        states = made[0] if isinstance(made, tuple | list) else made
        if isinstance(states, Tensor) and states.ndim == 3:
            seen[name] = states.detach()

    def before(name: str) -> Any:
        def hook(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            note(name, given or tuple(named.values()))

        return hook

    def after(name: str) -> Any:
        def hook(_: Any, __: Any, made: Any) -> None:
            note(name, made)

        return hook

    hooks: list[Any] = []
    if layers:
        first = before("embedding")
        hooks.append(layers[0].register_forward_pre_hook(first, with_kwargs=True))
    for number, layer in enumerate(layers, start=1):
        hooks.append(layer.register_forward_hook(after(f"layer {number}")))
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    if isinstance(head, nn.Module):
        hooks.append(head.register_forward_pre_hook(before("final norm"), with_kwargs=True))
    return hooks, seen


def _layers(inner: Any) -> list[nn.Module]:
    """Return a model's layers; none where they can't be told."""
    config = text_config(inner.config)
    count = getattr(config, "num_hidden_layers", None)
    lists = (part for part in inner.modules() if isinstance(part, nn.ModuleList))
    return next(([*part] for part in lists if len(part) == count), [])


def distances(one: Pass, other: Pass) -> dict[str, float]:
    """Return how far the hidden states of two passes are apart, by component.

    The largest of |a − b| / |a| over the places, with |·| the Euclidean norm; infinite where the
    widths differ. Only components that both passed.
    """
    return {
        name: _distance(states, other.states[name])
        for name, states in one.states.items()
        if name in other.states
    }


def _distance(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        return float("inf")
    a, b = a.double(), b.double()
    least = torch.finfo(torch.float64).tiny
    return float(((a - b).norm(dim=-1) / a.norm(dim=-1).clamp(min=least)).max())
