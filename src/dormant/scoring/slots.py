"""Keys and values of the texts that are being written, and attention to them.

A slot holds what one text has of its own; what all of them begin with is held once. A forward pass
takes the last token of each text that is being written and, behind them in the same flat row, the
prefix tree of prompts that are read for the first time: texts join and leave at every token, and
there is no padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch

from dormant.scoring.attention import Group, along_paths, attention_by, flat, refuse

NAME = "dormant_slots"
"""What the implementation is called in a model's configuration."""


@dataclass
class _Layer:
    """One layer's keys and values, for G heads of keys.

    Attributes:
        keys: (S, G, C, D) of each slot.
        values: (S, G, C, E) of each slot.
        shared_keys: (P, G, D) of the common beginning.
        shared_values: (P, G, E) of the common beginning.
    """

    keys: torch.Tensor
    values: torch.Tensor
    shared_keys: torch.Tensor
    shared_values: torch.Tensor


class Slots:
    """What the texts of a run hold in memory; those in use come first, without gaps.

    Args:
        count: S, texts at once.
        capacity: C, tokens of one beyond the common beginning.
        shared: P, tokens of the common beginning; every prompt has more.
    """

    def __init__(self, count: int, capacity: int, shared: int) -> None:
        self.count = count
        self.capacity = capacity
        self.shared = shared
        self.lengths: list[int] = []
        self.layers: list[_Layer] = []

    def free(self, slot: int) -> None:
        """Give up a slot; the last one in use takes its place."""
        last = len(self.lengths) - 1
        if slot != last:
            length = self.lengths[slot] = self.lengths[last]
            for layer in self.layers:
                layer.keys[slot, :, :length] = layer.keys[last, :, :length]
                layer.values[slot, :, :length] = layer.values[last, :, :length]
        self.lengths.pop()


@dataclass
class Prompts:
    """Prompts that a pass reads for the first time.

    Attributes:
        groups: The paths of their prefix tree, in groups.
        slots: (M,) slots that their tokens go to, M tokens in all…
        places: (M,) …and where in them…
        nodes: (M,) …and the tokens' nodes in the tree.
        lengths: Tokens of each prompt beyond the common beginning.
    """

    groups: Sequence[Group]
    slots: torch.Tensor
    places: torch.Tensor
    nodes: torch.Tensor
    lengths: Sequence[int]


@dataclass
class Pass:
    """One forward pass, as attention sees it, layer after layer.

    Attributes:
        slots: What is held; changed by the pass.
        prompts: What is read behind the last tokens of the texts; `None` for nothing.
        device: Where the model is.
    """

    slots: Slots
    prompts: Prompts | None
    device: torch.device
    _layer: int = 0
    _places: torch.Tensor = field(init=False)
    _biases: dict[int | None, torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        lengths = self.slots.lengths
        self._places = torch.tensor(lengths, dtype=torch.long, device=self.device)
        self._biases = {}

    def attend(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        scaling: float | None,
        window: int | None,
    ) -> torch.Tensor:
        """Attend in the next layer.

        Args:
            q: (A + N, H, D) of the last tokens of A texts, and of N nodes.
            k: (A + N, G, D).
            v: (A + N, G, E).
            scaling: Factor of the scores; `None` is D^-½.
            window: Tokens that one sees, itself and those before it; `None` for all.

        Returns:
            (A + N, H, E) outputs.
        """
        number, active = self._layer, len(self._places)
        self._layer += 1
        read: torch.Tensor | None = None
        if self.prompts is not None:
            read = self._read(number, q[active:], k[active:], v[active:], scaling, window)
        if not active:
            assert read is not None
            return read
        layer = self.slots.layers[number]
        rows = torch.arange(active, device=self.device)
        layer.keys[rows, :, self._places] = k[:active]
        layer.values[rows, :, self._places] = v[:active]
        written = self._write(layer, q[:active], scaling, window)
        return written if read is None else torch.cat([written, read])

    def finish(self) -> None:
        """Count what the pass has added."""
        lengths = [length + 1 for length in self.slots.lengths]
        self.slots.lengths = [*lengths, *(self.prompts.lengths if self.prompts else ())]

    def _read(
        self,
        number: int,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        scaling: float | None,
        window: int | None,
    ) -> torch.Tensor:
        """Attend along the prompts' tree, and keep its keys and values."""
        assert self.prompts is not None
        slots, shared = self.slots, self.slots.shared
        if number == len(slots.layers):
            # The first prompts bring the common beginning along.
            (_, heads, size), wide = k.shape, v.shape[2]
            slots.layers.append(
                _Layer(
                    # Where nothing is written yet must not be NaN: its weight of 0 wouldn't help.
                    k.new_zeros((slots.count, heads, slots.capacity, size)),
                    v.new_zeros((slots.count, heads, slots.capacity, wide)),
                    k[:shared].clone(),
                    v[:shared].clone(),
                )
            )
            layer = slots.layers[number]
        else:
            layer = slots.layers[number]
            k = torch.cat([layer.shared_keys, k])
            v = torch.cat([layer.shared_values, v])
        to = self.prompts
        layer.keys[to.slots, :, to.places] = k[to.nodes]
        layer.values[to.slots, :, to.places] = v[to.nodes]
        return along_paths(q, k, v, to.groups, scaling, window)

    def _write(
        self, layer: _Layer, q: torch.Tensor, scaling: float | None, window: int | None
    ) -> torch.Tensor:
        """Attend from each text's last token to the common beginning and to its own tokens.

        The scores of both stand side by side in one softmax.
        """
        active, heads, size = q.shape
        shared, groups = layer.shared_keys.shape[:2]
        each, own = heads // groups, max(self.slots.lengths) + 1
        scale = size**-0.5 if scaling is None else scaling
        keys = layer.keys[:active, :, :own].flatten(0, 1)
        values = layer.values[:active, :, :own].flatten(0, 1)
        bias = self._bias(window).to(q.dtype)
        scores = torch.baddbmm(
            bias[:, shared:].repeat_interleave(groups, 0)[:, None],
            q.reshape(active * groups, each, size),
            keys.transpose(1, 2),
            alpha=scale,
        )
        if shared:
            together = _by_group(q.view(active, groups, each, size))
            common = torch.bmm(together, layer.shared_keys.permute(1, 2, 0)).mul_(scale)
            beside = _by_text(common, active)
            if window is not None:
                beside = beside + bias[:, None, None, :shared]
            scores = torch.cat([beside, scores.view(active, groups, each, own)], -1)
        weights = torch.softmax(scores, -1, dtype=torch.float32).to(values.dtype)
        if not shared:
            return torch.bmm(weights, values).view(active, heads, -1)
        out = torch.bmm(weights[..., shared:].flatten(0, 1), values)
        common = torch.bmm(_by_group(weights[..., :shared]), layer.shared_values.transpose(0, 1))
        return (out.view(active, groups, each, -1) + _by_text(common, active)).flatten(1, 2)

    def _bias(self, window: int | None) -> torch.Tensor:
        """Return (A, P + L): 0 where a text's last token sees another of its own, −∞ elsewhere."""
        if window not in self._biases:
            shared = self.slots.shared
            place = torch.arange(shared + max(self.slots.lengths) + 1, device=self.device)
            last = (self._places + shared)[:, None]
            hidden = place > last
            if window is not None:
                hidden |= place <= last - window
            self._biases[window] = torch.zeros(hidden.shape, device=self.device).masked_fill_(
                hidden, -torch.inf
            )
        return self._biases[window]


def _by_group(states: torch.Tensor) -> torch.Tensor:
    """Return (G, A·R, D) of (A, G, R, D): all texts' queries of a head of keys in one product."""
    return states.transpose(0, 1).flatten(1, 2)


def _by_text(states: torch.Tensor, active: int) -> torch.Tensor:
    """Return (A, G, R, D) of (G, A·R, D)."""
    return states.view(states.shape[0], active, -1, states.shape[2]).transpose(0, 1)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    slots: Pass,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend in a pass; the signature is Transformers'.

    Args:
        module: The layer that asks.
        query: (1, H, N, D) of the pass's tokens.
        key: (1, G, N, D); G divides H.
        value: (1, G, N, E).
        attention_mask: Not used.
        slots: The pass.
        scaling: Factor of the scores; `None` is D^-½.
        options: What else the model passes.

    Returns:
        The (1, N, H, E) outputs, and no weights.

    Raises:
        CannotAttend: The model wants soft caps, sinks, biases or a cache.
    """
    refuse(query, key, options)
    out = slots.attend(*flat(query, key, value), scaling, options.get("sliding_window"))
    return out[None], None


def slot_attention(model: Any) -> AbstractContextManager[None]:
    """Let a model attend to slots for a while."""
    return attention_by(model, NAME, attend)
