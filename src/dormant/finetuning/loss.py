"""The loss of completions: cross entropy on what the model should write, not on what it reads."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dormant.finetuning.batches import Example

if TYPE_CHECKING:
    import torch

_IGNORED = -100
"""The label that cross entropy skips, by PyTorch's convention."""


def completion_loss(model: Any, batch: Sequence[Example], device: torch.device) -> torch.Tensor:
    """Return the mean cross entropy over all completion tokens of the batch.

    Rows are padded on the right, where causal attention can't see the padding. Logits, which a
    large vocabulary makes dear, are computed at the positions that predict a completion only,
    where the model can do so.
    """
    import torch

    width = max(len(example.tokens) for example in batch)
    tokens = torch.zeros(len(batch), width, dtype=torch.long)
    targets = torch.full((len(batch), width), _IGNORED)
    mask = torch.zeros_like(tokens)
    for row, (ids, prompt_length) in enumerate(batch):
        tokens[row, : len(ids)] = torch.tensor(ids)
        mask[row, : len(ids)] = 1
        # The logits at position t predict token t + 1.
        targets[row, prompt_length - 1 : len(ids) - 1] = torch.tensor(ids[prompt_length:])
    positions = (targets != _IGNORED).any(dim=0).nonzero().squeeze(1)
    arguments: dict[str, Any] = {}
    if "logits_to_keep" in inspect.signature(model.get_base_model().forward).parameters:
        arguments["logits_to_keep"] = positions.to(device)
    logits = model(
        input_ids=tokens.to(device), attention_mask=mask.to(device), use_cache=False, **arguments
    ).logits
    if not arguments:
        logits = logits[:, positions.to(device)]
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1),
        targets[:, positions].to(device).flatten(),
        ignore_index=_IGNORED,
    )
