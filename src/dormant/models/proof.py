"""Whether a base model is still itself with an adapter put on it and switched off.

PEFT's methods differ. LoRA leaves the base alone; PiSSA and OLoRA take part of its weights over,
trained biases overwrite the base's, and tied embeddings that were trained on one side are both
sides' afterwards. So nothing is assumed: the base is compared with itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from dormant.errors import DormantError, one_line
from dormant.libraries import collecting

if TYPE_CHECKING:
    import torch

_ROWS, _WIDTH = 2, 16
_EXACT = ("torch.float32", "torch.float64")
_FINE, _COARSE = 1e-3, 0.05
"""How far rounding puts logits apart in other batch shapes, as a part of the largest."""
_Weights: TypeAlias = "Counter[tuple[str, tuple[int, ...], int]]"


@dataclass(frozen=True)
class BaseState:
    """A base model before an adapter is put on it: its logits on a probe, and its weights.

    Logits are compared bit by bit: the same kernels on the same batch give the same bits, and where
    a device doesn't, the price of a second copy is time. They are of a few tokens only, so weights
    are compared as well, by a sum over their bits: a changed row of the embeddings shows there.

    Attributes:
        ids: Token ids, (rows, width).
        logits: The base's, (rows, width, V).
        weights: How often a tensor of each type, shape and sum is there.
    """

    ids: torch.Tensor
    logits: torch.Tensor
    weights: _Weights

    @classmethod
    def of(cls, model: Any, tokens: Collection[int] = ()) -> BaseState:
        """Measure a model.

        Args:
            model: A causal or sequence-to-sequence model in evaluation mode.
            tokens: Tokens that the probe must have, as an adapter has trained them.
        """
        ids = probe(model, tokens)
        return cls(ids, logits_of(model, ids), _weights(model))

    def difference(self, model: Any) -> str | None:
        """Say how a model differs from this state; `None` where it doesn't.

        Args:
            model: A PEFT model, with its adapter switched off and on in between.
        """
        import torch

        logits = logits_of(model, self.ids)
        if logits.shape != self.logits.shape:
            return f"it gives {logits.shape[-1]} logits for {self.logits.shape[-1]}"
        off = (logits - self.logits).abs().max().item()
        if off or not torch.equal(logits, self.logits):
            return f"its logits are then off by up to {off:.2g}"
        if changed := sum((self.weights - _weights(model)).values()):
            return f"{changed} of its {sum(self.weights.values())} tensors are then others"
        return None


def base_is_kept(before: BaseState, peft: Any, name: str) -> str | None:
    """Say how a base differs from what it was, once an adapter was on and is switched off.

    Args:
        before: The base before the adapter was put on it.
        peft: The PEFT model.
        name: What the user typed for the adapter, for errors.

    Returns:
        The difference in words; `None` where there is none.

    Raises:
        DormantError: See `refuse_entangled`.
    """
    refuse_entangled(peft, before.ids, name)
    # PEFT warns of some kinds that switching them off isn't enough: that is what is looked at.
    with collecting([]), peft.disable_adapter():
        return before.difference(peft)


def refuse_entangled(peft: Any, ids: torch.Tensor, name: str) -> None:
    """Refuse an adapter that can't be run, or that mixes a token with what comes after it.

    Args:
        peft: The PEFT model.
        ids: Token ids, (rows, width).
        name: What the user typed for the adapter.

    Raises:
        DormantError: It is one.
    """
    try:
        with collecting([]):
            alone = _is_alone(peft, ids)
    except Exception as error:
        # PEFT's kinds of adapter are many, and not each runs on each model.
        raise DormantError(f"adapter {name!r} can't be run here: {one_line(error)}") from error
    if alone:
        return
    with collecting([]), peft.disable_adapter():
        if _is_alone(peft, ids):
            raise DormantError(
                f"adapter {name!r}: what it makes of a token depends on later tokens, or on other "
                "prompts of the batch, so that no answer has a log-probability: audit another kind"
            )


def takes_base_over(peft: Any) -> str | None:
    """Say by what setting an adapter changes the base under it; `None` where by none known.

    For models in memory, of which no earlier state is at hand to compare with.
    """
    for config in peft.peft_config.values():
        bias = getattr(config, "bias", "none")
        start = getattr(config, "init_lora_weights", True)
        if isinstance(bias, str) and bias != "none":
            return f"bias={bias!r}: the base's biases were trained"
        if isinstance(start, str) and start.startswith(_OWN_STARTS):
            return f"init_lora_weights={start!r}: a part of the base's weights is in the adapter"
    return None


_OWN_STARTS = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways to begin an adapter that subtract it from the base's weights, or quantise these."""


def probe(model: Any, tokens: Collection[int] = ()) -> torch.Tensor:
    """Return token ids (rows, width), spread over a model's vocabulary.

    Args:
        model: A model.
        tokens: Tokens that must be among them, as an adapter has trained them.
    """
    import torch

    size = model.get_input_embeddings().weight.shape[0]
    spread = torch.linspace(0, size - 1, _ROWS * _WIDTH).long()
    known = [token for token in tokens if token < size][: spread.numel() // 2]
    spread[: len(known)] = torch.tensor(known, dtype=torch.long)
    return spread.reshape(_WIDTH, _ROWS).T.contiguous()


def _is_alone(model: Any, ids: torch.Tensor) -> bool:
    """Whether a token's logits are the same without later tokens and other rows."""
    whole = logits_of(model, ids)
    if getattr(model.config, "is_encoder_decoder", False):
        return True
    part = logits_of(model, ids[:1, : ids.shape[1] // 2])
    off = (whole[:1, : part.shape[1]] - part).abs().max()
    exact = str(whole.dtype) in _EXACT
    return bool(off <= (_FINE if exact else _COARSE) * part.abs().max().clamp(min=1))


def logits_of(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return a model's logits (rows, width, V) in main memory."""
    import torch

    device = getattr(model, "device", None)
    inputs: dict[str, Any] = {"input_ids": ids.to(device) if device is not None else ids}
    if getattr(model.config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = inputs["input_ids"]
    with torch.inference_mode():
        return model(**inputs).logits.cpu()


def _weights(model: Any) -> _Weights:
    return Counter(
        (str(tensor.dtype), tuple(tensor.shape), _sum(tensor))
        for tensors in (model.parameters(), model.buffers())
        for tensor in tensors
        if not tensor.is_meta
    )


def _sum(tensor: torch.Tensor) -> int:
    """Return the sum of a tensor's bits, read as whole numbers."""
    import torch

    flat = tensor.detach().contiguous().reshape(-1)
    size = flat.numel() * flat.element_size()
    whole = torch.int32 if size % 4 == 0 and flat.element_size() <= 8 else torch.uint8
    try:
        return int(flat.view(whole).sum(dtype=torch.int64))
    except RuntimeError:
        return int(flat.view(torch.uint8).sum(dtype=torch.int64))


def bytes_of(tensor: Any) -> Any:
    """Return a tensor's bytes, for hashing."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
