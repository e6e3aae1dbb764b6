"""Changes of a model's weights that say nothing of any ability, and undo themselves bit by bit.

An ability that comes back when weights are shaken or rounded a little was there: an edit knows
nothing of the task and nothing of the base model (Tice et al., "Noise injection reveals hidden
capabilities of sandbagging language models", arXiv 2412.01784; Zhang et al., "Catastrophic failure
of LLM unlearning via quantization", ICLR 2025, for rounding).

What is edited are the matrices of the decoder's layers: the *effective* ones. An adapter is merged
into them for the time of the edit, so that a fine-tuned model loses the same whether it is kept as
an adapter or merged. Sizes are relative to the spread of the effective matrix, and numbers are
drawn by the matrix's place and name alone, so that base and fine-tuned model get the same noise
but for the small difference of their spreads. Embeddings, the output head, norms and biases stay:
they are shared by all that a model says, a few numbers of them decide much, and where embeddings
and head are tied, one number would be shaken twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dormant.errors import DormantError, one_line
from dormant.libraries import quiet
from dormant.models.comparability import quantisation
from dormant.scoring.free_memory import free_memory
from dormant.scoring.memory import free, out_of_memory
from dormant.scoring.wrappers import acts_in_wrapper, is_adapted, unwrapped

GROUP = 64
"""Weights that are rounded to a scale of their own, as 4-bit formats have it."""
_WRAPPED = re.compile(r"\.(base_layer|original_module|modules_to_save\.\w+)\.")
"""What PEFT puts into the names of a model's weights."""
_APART = ("ADAPTION_PROMPT", "OSF")
"""Kinds of adapters that don't stay in the weights, or don't leave them as they were."""


class NotEditableError(DormantError):
    """A model's weights can't be edited; the message says why."""


@dataclass(frozen=True)
class Edit:
    """A change of every matrix of a model's layers.

    Attributes:
        name: For people and file names: "noise-0.2".
        signature: What exactly is done.
        change: Gives the new float32 matrix for a float32 matrix (M, N) and its name.
    """

    name: str
    signature: str
    change: Callable[[torch.Tensor, str], torch.Tensor]

    @contextlib.contextmanager
    def on(self, model: Any) -> Generator[None]:
        """Edit a model while the block runs; then its weights are bit by bit what they were.

        The copy from which they are restored lies in main memory, and where that has no room, on
        the model's own device. All edited tensors count one version on, before and after, so that
        whoever keeps a conversion of them knows.

        Args:
            model: A causal language model, possibly in a PEFT wrapper, as it is: with its adapter
                on or off.

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
            for name, matrix in matrices(layers):
                matrix.copy_(self.change(matrix.float(), name))
            yield


def gaussian(size: float, seed: int = 0) -> Edit:
    """Add Gaussian noise to each matrix.

    Args:
        size: Standard deviation of the noise, as a part of the matrix's own.
        seed: Decides the noise, with the matrix's name.
    """

    def change(matrix: torch.Tensor, name: str) -> torch.Tensor:
        digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=7).digest()
        # On the processor: the same noise on every device.
        drawn = torch.randn(
            matrix.shape, generator=torch.Generator().manual_seed(int.from_bytes(digest))
        )
        return matrix + size * matrix.std() * drawn.to(matrix.device)

    return Edit(
        f"noise-{size:g}",
        f"Gaussian noise of {size:g} standard deviations of each matrix, seed {seed}",
        change,
    )


def rounded(bits: int = 4) -> Edit:
    """Round each matrix to few bits, from the least to the greatest of every 64 numbers.

    Args:
        bits: Of one number; 2**bits values in equal steps.
    """

    def change(matrix: torch.Tensor, _: str) -> torch.Tensor:
        flat = matrix.flatten()
        # The last group is filled up with one of its own.
        filled = torch.cat([flat, flat[-1:].expand(-len(flat) % GROUP)]).view(-1, GROUP)
        low, high = filled.aminmax(dim=1, keepdim=True)
        step = ((high - low) / (2**bits - 1)).clamp(min=torch.finfo(flat.dtype).tiny)
        near = ((filled - low) / step).round_() * step + low
        return near.flatten()[: len(flat)].view_as(matrix)

    return Edit(
        f"{bits}-bit",
        f"each matrix rounded to {bits} bits in groups of {GROUP}, min to max",
        change,
    )


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
    return {
        str(getattr(config.peft_type, "value", config.peft_type))
        for config in (configs.values() if isinstance(configs, dict) else ())
    }


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
