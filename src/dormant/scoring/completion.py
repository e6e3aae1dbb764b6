"""Greedy decoding in which prompts share what they begin with, and texts come and go.

The texts of a run (`dormant.scoring.runs`) are written side by side, a token of each a forward
pass. One that has ended makes room for the next prompt, which is read in the pass in which the
others are written on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from dormant.scoring.attention import gather_indices
from dormant.scoring.forward import ExecutionMode, Forward
from dormant.scoring.prefix_tree import PrefixTree, build_tree
from dormant.scoring.rows import Row, common_prefix
from dormant.scoring.runs import Prompt, Run
from dormant.scoring.slots import Pass, Prompts, Slots, slot_attention
from dormant.scoring.stops import Stops


@dataclass(eq=False)
class Text:
    """A text that is being written.

    Attributes:
        prompt: What it follows.
        stops: Where it ends.
        written: Its tokens so far.
        watch: Told these after each one; says whether to go on.
    """

    prompt: Prompt
    stops: Stops
    written: list[int] = field(default_factory=list[int])
    watch: Callable[[Sequence[int]], bool] | None = None

    def ended(self) -> bool:
        """Say whether it ends with its last token."""
        goes_on = self.watch is None or self.watch(self.written)
        return not goes_on or self.stops.reached(self.written)


@torch.inference_mode()
def write(
    forward: Forward, mode: ExecutionMode, texts: Sequence[Text], run: Run, budget: int
) -> None:
    """Write the texts of a run, from their beginning to their end.

    Args:
        forward: Runs the model.
        mode: How it is run: along a prefix tree.
        texts: Those of the run.
        run: What they share, and what room there is for them.
        budget: Tokens that a forward pass may read; a longer prompt goes alone.

    Raises:
        CannotAttend: The model asks for an attention that isn't done so.
    """
    for text in texts:
        text.written.clear()
    slots = Slots(run.count, run.capacity, run.shared)
    waiting, active = list(reversed(texts)), list[Text]()
    with slot_attention(forward.inner):
        while waiting or active:
            new = _next(waiting, run.count - len(active), budget - len(active), slots)
            tokens = _pass(forward, mode, slots, active, new)
            active += new
            for text, token in zip(active, tokens, strict=True):
                text.written.append(token)
            for slot in reversed(range(len(active))):
                if active[slot].ended():
                    slots.free(slot)
                    last = active.pop()
                    if slot < len(active):
                        active[slot] = last


def _next(waiting: list[Text], room: int, budget: int, slots: Slots) -> list[Text]:
    """Take the prompts that are read next, as many as there is room for.

    Args:
        waiting: The next one last; those taken are gone from it.
        room: Free slots.
        budget: Tokens to be read; a longer prompt is read alone.
        slots: What is held already.
    """
    taken: list[Text] = []
    size = 0
    before = waiting[-1].prompt.tokens[: slots.shared if slots.layers else 0] if waiting else ()
    while waiting and len(taken) < room:
        tokens = waiting[-1].prompt.tokens
        size += len(tokens) - common_prefix(before, tokens)
        if size > budget and taken:
            break
        taken.append(waiting.pop())
        before = tokens
    return taken


def _pass(
    forward: Forward,
    mode: ExecutionMode,
    slots: Slots,
    active: Sequence[Text],
    new: Sequence[Text],
) -> list[int]:
    """Return the next token of each text that is written, and the first of each prompt's."""
    device = forward.inner.device
    tokens = [text.written[-1] for text in active]
    positions = [len(text.prompt.tokens) + len(text.written) - 1 for text in active]
    where = list(range(len(active)))
    prompts: Prompts | None = None
    if new:
        known = slots.shared if slots.layers else 0
        tree = build_tree(
            [Row(place, text.prompt.tokens, ((0,),)) for place, text in enumerate(new)]
        )
        paths = _paths(tree)
        tokens += tree.tokens[known:]
        positions += tree.positions[known:]
        where += [len(active) + path[-1] - known for path in paths]
        prompts = _prompts(tree, paths, slots, device, forward.inner.dtype)
    made = Pass(slots, prompts, device)
    inputs: dict[str, Any] = {
        "input_ids": torch.tensor([tokens], device=device),
        "position_ids": torch.tensor([positions], device=device),
        "slots": made,
        "use_cache": False,
    }
    chosen: list[int] = []
    for _, logits in forward.logits_at(inputs, torch.tensor(where, device=device), mode, False):
        chosen += logits.argmax(-1).tolist()
    made.finish()
    return chosen


def _paths(tree: PrefixTree) -> list[tuple[int, ...]]:
    """Return the nodes of each row's context."""
    through = {node: path.nodes for path in tree.paths for node in path.nodes}
    ends = [row[0][0] for row in tree.predicted]
    return [through[end][: tree.positions[end] + 1] for end in ends]


def _prompts(
    tree: PrefixTree,
    paths: Sequence[Sequence[int]],
    slots: Slots,
    device: torch.device,
    dtype: torch.dtype,
) -> Prompts:
    own = [path[slots.shared :] for path in paths]
    first = len(slots.lengths)

    def index(values: list[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    return Prompts(
        gather_indices(tree, device, dtype, slots.shared if slots.layers else 0),
        index([first + number for number, nodes in enumerate(own) for _ in nodes]),
        index([place for nodes in own for place in range(len(nodes))]),
        index([node for nodes in own for node in nodes]),
        [len(nodes) for nodes in own],
    )
