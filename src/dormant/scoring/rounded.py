"""A decoder's matrices rounded to bfloat16 once, with adapters merged into them.

Under autocast every pass rounds every matrix anew, and an adapter's small products are taken beside
each of them. Both cost more than the products of the rounded matrices themselves. What merging and
rounding change is an error of the coarse arithmetic like any other: it is measured on the run's own
prompts against float32 with the adapter as it is (`dormant.scoring.trial`).
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Generator, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from dormant.scoring.free_memory import free_memory
from dormant.scoring.memory import out_of_memory
from dormant.scoring.wrappers import is_adapted

_ROOM = 0.25
"""Share of the free memory that rounded matrices may take."""


@dataclass(frozen=True)
class _Rounded:
    """A layer, and what it does in bfloat16."""

    layer: torch.nn.Module
    forward: Callable[[torch.Tensor], torch.Tensor]


class RoundedWeights:
    """Lets a decoder's linear layers multiply by matrices that were rounded beforehand.

    Only on a processor: a GPU's batches are so large that rounding costs nothing beside them. They
    are made anew when other adapters act or weights were changed, and not at all where memory is
    scarce.

    Args:
        decoder: The layers.
    """

    def __init__(self, decoder: torch.nn.Module) -> None:
        self._decoder = decoder
        self._made: tuple[Hashable, list[_Rounded]] | None = None

    @contextlib.contextmanager
    def applied(self, adapters: Hashable) -> Generator[None]:
        """Let them for a while.

        Args:
            adapters: Tells which adapters act.
        """
        layers = self._layers(adapters)
        for one in layers:
            # An attribute of the object comes before the method of its class.
            one.layer.forward = one.forward
        try:
            yield
        finally:
            for one in layers:
                del one.layer.forward

    def _layers(self, adapters: Hashable) -> list[_Rounded]:
        state = _state(self._decoder)
        if state is None:
            return []
        key = (adapters, state)
        if self._made is None or self._made[0] != key:
            # The old ones go first.
            self._made = None
            self._made = (key, self._make())
        return self._made[1]

    def _make(self) -> list[_Rounded]:
        layers = [layer for layer in _linear(self._decoder) if not _has_own_forward(layer)]
        needed = sum(2 * _matrix(layer).weight.numel() for layer in layers)
        if needed > _ROOM * free_memory(torch.device("cpu")):
            return []
        try:
            return [_Rounded(layer, forward) for layer in layers if (forward := _rounded(layer))]
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return []


def _state(decoder: torch.nn.Module) -> Hashable | None:
    """Return what tells whether weights were changed; `None` where that can't be told."""
    parameters = list(decoder.parameters())
    if any(one.device.type != "cpu" or one.is_inference() for one in parameters):
        return None
    return tuple((one.data_ptr(), one._version) for one in parameters)


def _linear(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """Yield float32 linear layers, those with an adapter as a whole."""
    if is_adapted(module):
        if type(_matrix(module)) is torch.nn.Linear:
            yield module
        return
    if type(module) is torch.nn.Linear and module.weight.dtype == torch.float32:
        yield module
    for part in module.children():
        yield from _linear(part)


def _has_own_forward(layer: torch.nn.Module) -> bool:
    """Say whether somebody else put a method on the object."""
    return "forward" in vars(layer)


def _matrix(layer: Any) -> Any:
    """Return the layer that has the matrix: itself, or what an adapter was put on."""
    return layer.get_base_layer() if is_adapted(layer) else layer


@torch.no_grad()
def _rounded(layer: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return a layer's function in bfloat16; `None` for an adapter that can't be merged."""
    plain = layer
    if is_adapted(layer):
        plain = _matrix(layer)
        if not (layer.disable_adapters or layer.merged) and layer.active_adapters:
            own = copy.deepcopy(layer)
            try:
                own.merge()
            except (AttributeError, RuntimeError, TypeError, ValueError) as error:
                if out_of_memory(error):
                    raise
                return None
            plain = own.get_base_layer()
    bias = None if plain.bias is None else plain.bias.detach().bfloat16()
    weight = plain.weight.detach().bfloat16()
    return functools.partial(torch.nn.functional.linear, weight=weight, bias=bias)
