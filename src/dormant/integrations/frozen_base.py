"""The base of a model that is being trained."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from dormant.errors import DormantError
from dormant.models.arguments import LoadOptions
from dormant.models.live import LiveModel

if TYPE_CHECKING:
    from lm_eval.api.model import LM


@dataclass(frozen=True, eq=False, kw_only=True)
class FrozenBase(LiveModel):
    """A base that training doesn't touch, although an adapter that is trained may lie in it.

    Attributes:
        known: Its fingerprint.
        kept: Its tensors by name, where the model that is trained is to compute with them; empty
            where this is a model of its own, or one below an adapter. A copy of the model would
            not do: what puts itself before `forward`, as TRL does, may hold the model that it was
            put on, and the copy would then compute with the trained weights.
    """

    known: str
    kept: dict[str, torch.Tensor]

    def fingerprint(self) -> str:
        """Return what it was known by before training."""
        return self.known

    @contextlib.contextmanager
    def open(self, options: LoadOptions) -> Generator[LM]:
        """Hand the model out with the tensors that it had before training, and put back its own."""
        self._exchange()
        try:
            with super().open(options) as lm:
                yield lm
        finally:
            self._exchange()

    def _exchange(self) -> None:
        """Exchange the tensors that are kept for the model's, all or none; twice is not at all.

        Raises:
            DormantError: The model has other tensors by now.
        """
        if not self.kept:
            return
        own = dict(tensors_of(self.model))
        if changed := _kinds(own) ^ _kinds(self.kept):
            raise DormantError(
                f"the model's tensors are others than when training began ({min(changed)[0]}): "
                "AuditCallback(…, base=(model, tokenizer)) names the base"
            )
        for name, tensor in own.items():
            tensor.data, self.kept[name] = self.kept[name], tensor.data


def tensors_of(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers, tied ones once."""
    yield from model.named_parameters()
    yield from model.named_buffers()


def _kinds(tensors: Mapping[str, torch.Tensor]) -> set[tuple[str, str]]:
    return {(name, f"{one.shape} {one.dtype} {one.device}") for name, one in tensors.items()}
