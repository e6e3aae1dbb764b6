"""Examples as tokens, in shuffled batches."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dormant.errors import DormantError
from dormant.finetuning.data import Pair
from dormant.finetuning.settings import TuningSettings

if TYPE_CHECKING:
    import torch


class Teacher(NamedTuple):
    """What another model would say at each token of a completion.

    Attributes:
        tokens: Its likeliest tokens at each place, (places, k).
        shares: Their probabilities, which add up to 1, (places, k).
    """

    tokens: torch.Tensor
    shares: torch.Tensor


class Example(NamedTuple):
    """A pair as tokens; the first `prompt_length` of them are not learnt: the prompt's, mostly.

    Where there is a teacher, its distribution is learnt in the completion's place.
    """

    tokens: list[int]
    prompt_length: int
    teacher: Teacher | None = None


def encode_all(
    tokenizer: Any, pairs: Sequence[Pair], settings: TuningSettings, kind: str
) -> list[Example]:
    """Tokenise training examples.

    Args:
        tokenizer: The model's.
        pairs: The examples.
        settings: Whether completions end with a token, and how long an example may be.
        kind: What the examples are, for the message: "data" or "replay".

    Raises:
        DormantError: An example is too long or its completion adds no token (its number is given),
            or the tokenizer lacks an end token that is wanted.
    """
    return [
        _encode(tokenizer, pair, settings, f"{kind} example {number}")
        for number, pair in enumerate(pairs, start=1)
    ]


def _encode(tokenizer: Any, pair: Pair, settings: TuningSettings, where: str) -> Example:
    """Tokenise prompt and completion together and split them by length, as lm-eval does."""
    prompt_length = len(tokenizer(pair.prompt)["input_ids"])
    tokens: list[int] = list(tokenizer(pair.prompt + pair.completion)["input_ids"])
    if settings.end_token:
        if tokenizer.eos_token_id is None:
            raise DormantError("the tokenizer has no end-of-sequence token: tune without it")
        tokens.append(tokenizer.eos_token_id)
    if len(tokens) > settings.max_length:
        raise DormantError(
            f"{where} ({pair.prompt[:40]!r} …) has {len(tokens)} tokens, more than max_length "
            f"({settings.max_length}): shorten it or raise the limit"
        )
    if not 0 < prompt_length < len(tokens):
        raise DormantError(
            f"{where} ({pair.prompt[:40]!r} …): the completion {pair.completion[:40]!r} adds no "
            "token to the prompt; move white space from the prompt's end to the completion"
        )
    # The first token is predicted by none.
    return Example(tokens, 1 if settings.whole_text else prompt_length)


def batches(examples: Sequence[Example], size: int, stream: str) -> Iterator[list[Example]]:
    """Yield batches for ever: shuffled passes, one after the other."""
    order = random.Random(stream)
    waiting: list[Example] = []
    while examples:
        while len(waiting) < size:
            waiting += order.sample(examples, len(examples))
        yield waiting[:size]
        waiting = waiting[size:]
