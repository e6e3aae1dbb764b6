"""The harness's own path: a model's own forward pass, and nothing that could be wrong.

Whatever a model makes of padding, or of the longest prompt in a batch, one prompt's numbers don't
depend on others': sequences share a batch only where they are equally long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice, takewhile
from typing import Any, NamedTuple, TypeAlias

import torch

from dormant.scoring.prediction import Prediction, predict_one
from dormant.scoring.rows import Row

Tokens: TypeAlias = tuple[int, ...]


class Place(NamedTuple):
    """Where an answer stands: the row's place among the rows, and its own in the row."""

    row: int
    answer: int


def sequences_of(rows: Sequence[Row]) -> dict[Tokens, list[Place]]:
    """Return the sequences that are read, shortest first, with the answers that each predicts.

    An answer is read behind its own context alone, never from a longer sequence: there are models
    that scale positions by a sequence's length.
    """
    found: dict[Tokens, list[Place]] = {}
    for number, row in enumerate(rows):
        for place, answer in enumerate(row.answers):
            found.setdefault(row.context + answer[:-1], []).append(Place(number, place))
    return {sequence: found[sequence] for sequence in sorted(found, key=len)}


def first_batch(sequences: Sequence[Tokens], size: int) -> list[Tokens]:
    """Return the first sequences that are as long as the very first, at most `size`."""
    alike = takewhile(lambda sequence: len(sequence) == len(sequences[0]), sequences)
    return list(islice(alike, size))


@torch.inference_mode()
def predict_batch(
    batch: Sequence[Tokens],
    rows: Sequence[Row],
    places: dict[Tokens, list[Place]],
    call: Callable[[torch.Tensor], torch.Tensor],
    device: Any,
) -> list[tuple[Place, Prediction]]:
    """Predict the answers that a batch's sequences end with.

    Args:
        batch: Sequences of equal length.
        rows: All rows.
        places: What `sequences_of` gave for them.
        call: The model: token ids (B, L) to logits (B, L or more, V); more where virtual tokens
            of an adapter come first.
        device: Where it runs.
    """
    logits = call(torch.tensor(batch, device=device))
    found: list[tuple[Place, Prediction]] = []
    for number, sequence in enumerate(batch):
        for place in places[sequence]:
            answer = rows[place.row].answers[place.answer]
            found.append((place, predict_one(logits[number, -len(answer) :].float(), answer)))
    return found


def forget_lengths(model: Any) -> None:
    """Let a model forget the longest prompt that it has read.

    "Dynamic" scaling of rotary positions keeps the frequencies of a longer prompt that came before;
    a prompt of one token resets them.
    """
    with torch.inference_mode():
        model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=model.device))
