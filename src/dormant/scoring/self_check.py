"""Checking a way to run batches against the model's own logits, on prompts of the run.

The list of architectures (`supported`) says what is right as far as tests go. A check at run time
says that it is so here: with this version of the libraries, this checkpoint and these settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import torch

from dormant.scoring.memory import out_of_memory
from dormant.scoring.prefix_tree import PrefixTree
from dormant.scoring.rows import Row

_TAIL = 3
"""Tokens of a probe's answers: enough that one branch stands between another and its context."""
_EXACT = 1e-3
_COARSE = 0.2
"""Differences allowed in half precision at each place, as a part of the logits' spread there, both
root mean square. Rounding alone gave up to 0.12 in bfloat16 (SmolLM2-135M, 160 and 256 tokens);
a mask that hides the first 8 of 256 tokens 0.59 on average."""


def probes(rows: Sequence[Row], length: int, vocabulary: int) -> list[Row]:
    """Make the rows on which a way is compared with the model's own logits.

    The longest prompt, drawn out to `length` tokens so that all shorter ones are covered, and
    beside it the shortest one with two answers that part at once: each branch is a sequence to be
    read by itself, and long ones cost.

    Args:
        rows: What is to be run.
        length: Tokens of the longest sequence compared.
        vocabulary: Tokens that the model knows.
    """
    longest = max(rows, key=lambda row: row.longest)
    shortest = min(rows, key=lambda row: row.longest)
    first = tuple(islice(cycle(shortest.answers[0] + shortest.context), _TAIL))
    others = [answer[0] for answer in shortest.answers if answer[0] != first[0]]
    # Any token will do where all answers begin alike.
    second = (others[0] if others else (first[0] + 1) % vocabulary, *first[: _TAIL - 1])
    room = max(1, length - _TAIL + 1)
    drawn_out = tuple(islice(cycle(reversed(longest.context)), room))[::-1]
    return [
        Row(0, drawn_out, (tuple(islice(cycle(longest.answers[0] + longest.context), _TAIL)),)),
        Row(1, shortest.context[:room], (first, second)),
    ]


@torch.inference_mode()
def own_logits(model: Any, tree: PrefixTree, keeps: bool) -> torch.Tensor:
    """Return a model's own float32 logits (M, V) at the places that predict, a sequence a call.

    Args:
        model: The model, with whatever wraps it.
        tree: The sequences.
        keeps: Whether the model can be told to give the last places' logits only.
    """
    rows: dict[int, torch.Tensor] = {}
    wanted = {node for row in tree.predicted for path in row for node in path}
    for path in tree.paths:
        ids = torch.tensor([[tree.tokens[node] for node in path.nodes]], device=model.device)
        first = min(place for place, node in enumerate(path.nodes) if node in wanted)
        more = {"logits_to_keep": len(path.nodes) - first} if keeps else {}
        logits = model(input_ids=ids, use_cache=False, **more).logits[0, first - len(path.nodes) :]
        for place, node in enumerate(path.nodes[first:]):
            if node in wanted:
                rows[node] = logits[place].float()
    return torch.stack([rows[node] for row in tree.predicted for path in row for node in path])


def agrees(mine: Callable[[], torch.Tensor], wanted: torch.Tensor, dtype: torch.dtype) -> bool:
    """Say whether a way gives a model's own logits.

    Args:
        mine: Runs that way, and gives logits like `wanted`.
        wanted: The model's own (M, V).
        dtype: What the model computes in.
    """
    try:
        given = mine()
    except Exception as error:
        # Foreign code was told to run in a way that it may not know; it has others.
        if out_of_memory(error):
            raise
        return False
    if given.shape != wanted.shape:
        return False
    if not wanted.isfinite().all():
        # Nothing to compare: the caller names the prompt that gave it.
        return True
    difference = given - wanted
    if dtype in (torch.float32, torch.float64):
        return bool(difference.abs().max() <= _EXACT * wanted.abs().max().clamp(min=1))
    worst = (difference.square().mean(dim=-1) / wanted.var(dim=-1)).max()
    return bool(worst <= _COARSE**2)


def are_likeliest(tokens: Sequence[int], wanted: torch.Tensor, dtype: torch.dtype) -> bool:
    """Say whether a text is one that a model would write, up to rounding.

    Args:
        tokens: The text's, N of them.
        wanted: The model's own (N, V) logits.
        dtype: What the model computes in.
    """
    if not wanted.isfinite().all():
        return False
    chosen = torch.tensor(tokens, device=wanted.device)[:, None]
    shortfall = wanted.max(dim=-1).values - wanted.gather(1, chosen)[:, 0]
    if dtype in (torch.float32, torch.float64):
        return bool(shortfall.max() <= _EXACT * wanted.abs().max().clamp(min=1))
    return bool((shortfall / wanted.std(dim=-1)).max() <= _COARSE)
