"""A model's layers as they compute, open to changes for a while and then bit by bit what they were.

What is changed are *effective* weights: an adapter is merged into the layers for that time, so that
a fine-tuned model loses or learns the same whether it is kept as an adapter or merged. Embeddings,
the output head, norms and biases are for nobody to change: they are shared by all that a model
says, and where embeddings and head are tied, one number would be changed twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dormant.errors import DormantError, one_line
from dormant.libraries import quiet
from dormant.models.comparability import quantisation
from dormant.scoring.free_memory import free_memory
from dormant.scoring.memory import free, out_of_memory
from dormant.scoring.wrappers import acts_in_wrapper, adapter_kind, is_adapted, unwrapped

_WRAPPED = re.compile(r"\.(base_layer|original_module|modules_to_save\.\w+)\.")
"""What PEFT puts into the names of a model's weights."""
_APART = ("ADAPTION_PROMPT", "OSF")
"""Kinds of adapters that don't stay in the weights, or don't leave them as they were."""


class NotEditableError(DormantError):
    """A model's weights can't be edited; the message says why."""


@contextlib.contextmanager
def editable(model: Any) -> Generator[torch.nn.ModuleList]:
    """Hand out a model's layers, to be changed in place while the block runs.

    The copy from which they are restored lies in main memory, and where that has no room, on the
    model's own device. All tensors count one version on, before and after, so that whoever keeps a
    conversion of them knows.

    Args:
        model: A causal language model, possibly in a PEFT wrapper, as it is: with its adapter on
            or off.

    Raises:
        NotEditableError: It has no layers that are known, its weights are quantised or not in
            memory, or its adapter can't be merged.
        MemoryError: There is no room for the copy.
    """
    layers = decoder_layers(model)
    with _restored(layers), _merged(layers):
        for _, weights in _own(layers):
            # PEFT merges without a tensor's version knowing.
            weights.detach().mul_(1)
        yield layers


def decoder_layers(model: Any) -> torch.nn.ModuleList:
    """Return a model's layers: of its lists of modules the one with most numbers.

    Raises:
        NotEditableError: There is none, or what it computes is more than its layers' weights.
    """
    inner: Any = unwrapped(model)
    kind = quantisation(inner.config)
    if kind is not None and "dequantised" not in kind:
        raise NotEditableError(f"its weights are quantised ({kind})")
    if _kinds(model) & {*_APART} or (
        acts_in_wrapper(model) and any(map(is_adapted, inner.modules()))
    ):
        raise NotEditableError("its adapter is of a kind that can't be merged into the weights")
    decoder: Any = inner.get_decoder() if hasattr(inner, "get_decoder") else None
    lists = [
        part
        for part in (inner if decoder is None else decoder).modules()
        if isinstance(part, torch.nn.ModuleList)
    ]
    if not lists:
        raise NotEditableError(f"where {type(inner).__name__} has its layers isn't known")
    layers = max(lists, key=lambda part: sum(weights.numel() for weights in part.parameters()))
    for name, weights in layers.named_parameters():
        if weights.is_meta or weights.is_inference():
            raise NotEditableError(f"its weights are not in memory ({name})")
        if weights.ndim > 1 and not weights.is_floating_point():
            raise NotEditableError(f"its weights are quantised ({name} is {weights.dtype})")
    return layers


def matrices(layers: torch.nn.ModuleList) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each matrix (M, N) of a model's layers with its name; one that is shared comes once.

    Views of the weights themselves: what is written into them is written into the model. Stacks
    of matrices, as mixtures of experts have them, come one by one.
    """
    seen: set[int] = set()
    for name, weights in _own(layers):
        if weights.ndim < 2 or weights.numel() < 2 or weights.data_ptr() in seen:
            continue
        seen.add(weights.data_ptr())
        whole = weights.detach()
        if whole.ndim == 2:
            yield name, whole
        elif min(whole.shape[1:]) == 1:
            # A convolution along each channel.
            yield name, whole.flatten(1)
        else:
            for place, matrix in enumerate(whole.flatten(0, -3)):
                yield f"{name}.{place}", matrix


def linear_modules(layers: torch.nn.ModuleList) -> Iterator[tuple[str, Any]]:
    """Yield the layers' linear modules, each once, by the names of a model without an adapter.

    Adapters' own modules are left out; a module that an adapter is put on comes as it was.
    """
    from transformers.pytorch_utils import Conv1D

    names = {id(weights): name for name, weights in _own(layers)}
    for part in layers.modules():
        weights = getattr(part, "weight", None)
        if isinstance(part, (torch.nn.Linear, Conv1D)) and id(weights) in names:
            # A matrix that layers share is one.
            yield names.pop(id(weights)), part


def layers_name(model: Any) -> str:
    """Return where a model's layers are in it, by its name for them: "model.layers".

    Raises:
        NotEditableError: They can't be found (`decoder_layers`).
    """
    layers = decoder_layers(model)
    return next(name for name, part in unwrapped(model).named_modules() if part is layers)


def drawing(seed: int, name: str) -> torch.Generator:
    """Return what draws a matrix's numbers, by its name and a seed alone.

    On the processor, so that every device gets the same.
    """
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))


def _own(layers: torch.nn.ModuleList) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Yield the layers' parameters but for the adapters', by the names of a model without any."""
    adapters: list[str] = []
    for prefix, part in layers.named_modules():
        if is_adapted(part):
            adapters.append(prefix)
    for name, weights in layers.named_parameters():
        inside = [prefix for prefix in adapters if name.startswith(f"{prefix}.")]
        if all(name.startswith(f"{prefix}.base_layer.") for prefix in inside):
            yield _WRAPPED.sub(".", name), weights


def _kinds(model: Any) -> set[str]:
    """Return the kinds of a model's adapters, by PEFT's names."""
    configs: Any = getattr(model, "peft_config", None)
    return set(map(adapter_kind, configs.values())) if isinstance(configs, dict) else set()


@contextlib.contextmanager
def _merged(layers: torch.nn.ModuleList) -> Generator[None]:
    """Put the adapters that are on into the weights, and leave the weights to be restored.

    Raises:
        NotEditableError: They can't be.
    """
    done: list[Any] = []
    parts: list[Any] = [part for part in layers.modules() if is_adapted(part)]
    try:
        for part in parts:
            if part.disable_adapters or part.merged:
                continue
            try:
                with quiet():
                    done.append(part)
                    part.merge()
            except (NotImplementedError, RuntimeError, ValueError, AttributeError) as error:
                if out_of_memory(error):
                    raise
                raise NotEditableError(
                    f"its adapter can't be merged into the weights ({one_line(error)})"
                ) from error
        yield
    finally:
        for part in done:
            with quiet():
                if part.merged:
                    part.unmerge()


@dataclass(frozen=True)
class _Kept:
    """What a parameter was.

    Attributes:
        parameter: It.
        place: Its memory, which others may share and PEFT may exchange.
        copy: Its numbers.
    """

    parameter: torch.nn.Parameter
    place: torch.Tensor
    copy: torch.Tensor

    @torch.no_grad()
    def restore(self) -> None:
        """Put its numbers back."""
        self.place.copy_(self.copy)
        if self.parameter.data_ptr() != self.place.data_ptr():
            self.parameter.data = self.place
            self.parameter.copy_(self.copy)


@contextlib.contextmanager
def _restored(layers: torch.nn.ModuleList) -> Generator[None]:
    """Let the layers' own parameters be what they were when the block ends."""
    kept = _copies([weights for _, weights in _own(layers)])
    try:
        yield
    finally:
        for one in kept:
            one.restore()


def _copies(parameters: Sequence[torch.nn.Parameter]) -> list[_Kept]:
    """Copy parameters into main memory, or where that has no room, beside them.

    Raises:
        MemoryError: There is no room in either.
    """
    needed = sum(weights.nbytes for weights in parameters)
    devices = {weights.device for weights in parameters}
    places: list[torch.device | None] = [torch.device("cpu")]
    if any(device.type != "cpu" for device in devices):
        places.append(None)
    # Weights that are mapped from a file take memory of their own as soon as they are written.
    written = sum(weights.nbytes for weights in parameters if weights.device.type == "cpu")
    for place in places:
        room = free_memory(torch.device("cpu")) if place else sum(map(free_memory, devices))
        if room < needed + written:
            continue
        try:
            return [
                _Kept(
                    weights,
                    weights.detach(),
                    weights.detach().to(place or weights.device, copy=True),
                )
                for weights in parameters
            ]
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        free()
    raise MemoryError(f"no room for a copy of the layers' weights ({needed / 1e9:.1f} GB)")
