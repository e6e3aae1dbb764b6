"""The loss of completions: cross entropy on what the model should write, not on what it reads."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from dormant.finetuning.batches import Example, Teacher

if TYPE_CHECKING:
    import torch

_IGNORED = -100
"""The label that cross entropy skips, by PyTorch's convention."""


def completion_loss(model: Any, batch: Sequence[Example], device: torch.device) -> torch.Tensor:
    """Return the mean cross entropy over all completion tokens of the batch.

    It is taken with the tokens themselves, or with what a teacher would say in their place: where
    all of a batch's examples have one, the mean is the Kullback-Leibler divergence from the
    teachers, but for their own entropy. Rows are padded on the right, where causal attention can't
    see the padding. Logits, which a large vocabulary makes dear, are computed only where they
    predict a completion.
    """
    import torch

    logits, targets = completion_logits(model, batch, device)
    teachers = [one.teacher for one in batch if one.teacher is not None]
    if len(teachers) < len(batch):
        return torch.nn.functional.cross_entropy(logits.float(), targets)
    said = logits.float().log_softmax(-1)
    tokens = torch.cat([one.tokens for one in teachers]).to(device)
    shares = torch.cat([one.shares for one in teachers]).to(device)
    return -(shares * said.gather(1, tokens)).sum(-1).mean()


def completion_logits(
    model: Any, batch: Sequence[Example], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits that predict completions' tokens (places, vocabulary), and these (places,).

    Places come example by example.
    """
    import torch

    width = max(len(example.tokens) for example in batch)
    tokens = torch.zeros(len(batch), width, dtype=torch.long)
    targets = torch.full((len(batch), width), _IGNORED)
    mask = torch.zeros_like(tokens)
    for row, (ids, prompt_length, _) in enumerate(batch):
        tokens[row, : len(ids)] = torch.tensor(ids)
        mask[row, : len(ids)] = 1
        # The logits at position t predict token t + 1.
        targets[row, prompt_length - 1 : len(ids) - 1] = torch.tensor(ids[prompt_length:])
    wanted = targets != _IGNORED
    with _only_at(model, wanted.to(device)):
        logits = model(
            input_ids=tokens.to(device), attention_mask=mask.to(device), use_cache=False
        ).logits
    if logits.shape[:2] == wanted.shape:
        # The head is no module of its own, or sees other rows.
        logits = logits[wanted.to(device)]
    return logits.flatten(0, -2), targets[wanted].to(device)


def taught(
    model: Any, examples: Sequence[Example], device: torch.device, *, top: int = 64
) -> list[Example]:
    """Return examples with what a model would say at each token of their completions.

    Args:
        model: The teacher.
        examples: The examples.
        device: Where it is.
        top: How many tokens of each place are kept.
    """
    import torch

    found: list[Example] = []
    for example in examples:
        with torch.inference_mode():
            logits, _ = completion_logits(model, [example], device)
            best = logits.float().topk(min(top, logits.shape[-1]), dim=-1)
        shares = best.values.softmax(-1).cpu()
        # Numbers of inference mode can't be a part of what has gradients.
        teacher = Teacher(best.indices.cpu().clone(), shares.clone())
        found.append(example._replace(teacher=teacher))
    return found


@contextlib.contextmanager
def _only_at(model: Any, wanted: torch.Tensor) -> Generator[None]:
    """Let a model's output head see only these places: (rows, positions), as one row."""
    head = model.get_output_embeddings()
    if head is None:
        yield
        return

    def choose(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *rest = given
        # A model may compute its head on other rows than the prompt's.
        return (hidden[wanted][None], *rest) if hidden.shape[:2] == wanted.shape else given

    handle = head.register_forward_pre_hook(choose)
    try:
        yield
    finally:
        handle.remove()
