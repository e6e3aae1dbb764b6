"""What a model makes of an answer's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch


class Prediction(NamedTuple):
    """What the model makes of one answer's tokens.

    Attributes:
        logprob: Their log-probability, nats.
        choices: The likeliest token at each of their places.
        margins: By how much each choice's logit is above the next one's.
        shortfalls: By how much the logit of the answer's own token is below the choice's; 0 where
            it is the choice.
    """

    logprob: float
    choices: tuple[int, ...]
    margins: tuple[float, ...]
    shortfalls: tuple[float, ...]

    def verdict_margin(self) -> float:
        """Return the smallest change of a logit difference that would change the verdict.

        A greedy answer stops being one when any of its margins is lost; another becomes one only
        when all its shortfalls are made up for.
        """
        return abs(self.lead())

    def lead(self) -> float:
        """Return that margin, below 0 where greedy decoding does not write the answer."""
        return -max(self.shortfalls) if any(self.shortfalls) else min(self.margins)


class Measured(NamedTuple):
    """The same for any number of tokens at any number of places, on the processor.

    Attributes:
        logprobs: (T,) float64 log-probabilities of the tokens.
        shortfalls: (T,) how far their logits are below the likeliest token's.
        choices: (M,) the likeliest token at each place.
        margins: (M,) how far its logit is above the next one's.
    """

    logprobs: torch.Tensor
    shortfalls: torch.Tensor
    choices: list[int]
    margins: list[float]


def measure(logits: torch.Tensor, tokens: torch.Tensor, where: torch.Tensor) -> Measured:
    """Look tokens up in logits.

    Args:
        logits: (M, V) float32, on any device.
        tokens: (T,) tokens.
        where: (T,) the place of each.
    """
    tokens, where = tokens.to(logits.device), where.to(logits.device)
    picked = logits[where, tokens]
    spread = logits.logsumexp(dim=-1)[where]
    best = logits.topk(2, dim=-1)
    return Measured(
        # Not every device has float64.
        (picked - spread).cpu().double(),
        (best.values[where, 0] - picked).cpu(),
        best.indices[:, 0].tolist(),
        (best.values[:, 0] - best.values[:, 1]).tolist(),
    )


def predict_one(logits: torch.Tensor, answer: Sequence[int]) -> Prediction:
    """Return what logits (L, V) say of an answer of L tokens."""
    found = measure(logits, torch.tensor(answer), torch.arange(len(answer)))
    return Prediction(
        float(found.logprobs.sum()),
        tuple(found.choices),
        tuple(found.margins),
        tuple(found.shortfalls.tolist()),
    )
