"""Do two models compute the same? Their logits after the same tokens, compared.

Rounding depends on the shapes in which tokens are put to a model, so the same model asked in two
shapes says how large a difference means nothing. Where its kernels give a row the same sums in any
shape, rounding is made up instead.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from dormant.errors import DormantError
from dormant.scoring.wrappers import unwrapped

if TYPE_CHECKING:
    from torch import Tensor

Logits: TypeAlias = "list[Tensor]"
"""Of each prompt, those after its last tokens: (places, vocabulary), float32, in main memory."""

ROUNDING = 3.0
"""How many times the noise a difference must be to count as one: noise is measured on a sample."""

_ROUNDED_ONCE = 1 / 12
"""A rounding error's variance, of a unit squared; moving as many results by a unit has the same."""


class LogitDifference(NamedTuple):
    """How far the logits of two models are apart.

    Attributes:
        kl: Mean Kullback-Leibler divergence of the second from the first, nats a place.
        changed: Share of the places whose likeliest token is another.
        places: How many places were compared.
    """

    kl: float
    changed: float
    places: int

    def within(self, noise: LogitDifference) -> bool:
        """Whether this is no more than what rounding does, as `noise` measured it."""
        return self.kl <= ROUNDING * noise.kl


def last_logits(
    lm: Any, prompts: Sequence[Sequence[int]], *, places: int, together: int = 1
) -> Logits:
    """Return a model's own logits after the last tokens of prompts.

    Args:
        lm: The harness's Hugging Face model, or one of its subclasses.
        prompts: N prompts as token ids.
        places: How many of a prompt's last places count.
        together: Prompts a forward pass, padded on the right: another shape, another rounding.

    Returns:
        N tensors of shape (min(places, length), vocabulary).
    """
    import torch

    with torch.inference_mode():
        return [
            logits
            for start in range(0, len(prompts), together)
            for logits in _forward(lm, prompts[start : start + together], places)
        ]


def _forward(lm: Any, prompts: Sequence[Sequence[int]], places: int) -> Iterator[Tensor]:
    import torch

    model: Any = lm.model
    inner: Any = unwrapped(model)
    width = max(len(ids) for ids in prompts)
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt)
        mask[row, : len(prompt)] = 1
    # From here on some prompt's last places are wanted. Counted from the end, for virtual tokens
    # of an adapter may stand before them.
    kept = width - min(max(0, len(prompt) - places) for prompt in prompts)
    asked: dict[str, Any] = {"use_cache": False}
    if "logits_to_keep" in inspect.signature(inner.forward).parameters:
        asked["logits_to_keep"] = kept
    if len(prompts) > 1:
        asked["attention_mask"] = mask.to(inner.device)
    logits = model(input_ids=ids.to(inner.device), **asked).logits[:, -kept:]
    for row, prompt in zip(logits, prompts, strict=True):
        padding = width - len(prompt)
        own = row[: len(row) - padding] if padding else row
        yield own[-places:].float().cpu()


def compare_logits(one: Logits, other: Logits) -> LogitDifference:
    """Compare two models' logits after the same tokens.

    A vocabulary that was padded, or to which tokens were added, is compared where both have it.

    Args:
        one: Those of the model that is compared with.
        other: Those of the other one, for as many prompts and places.

    Raises:
        DormantError: Some are not numbers.
    """
    import torch

    divergence, changed, places = 0.0, 0, 0
    for a, b in zip(one, other, strict=True):
        size = min(a.shape[-1], b.shape[-1])
        # In double precision: the sum over a vocabulary rounds by more than equal models differ.
        p, q = (logits[:, :size].double().log_softmax(dim=-1) for logits in (a, b))
        if p.isnan().any() or q.isnan().any():
            raise DormantError(
                "the model's logits are not numbers: use another dtype, or save the model again"
            )
        parts = torch.where(p.isneginf(), 0.0, p.exp() * (p - q))
        divergence += float(parts.sum().clamp(min=0))
        changed += int((p.argmax(dim=-1) != q.argmax(dim=-1)).sum())
        places += len(p)
    return LogitDifference(divergence / max(1, places), changed / max(1, places), places)


def noise(
    lm: Any, prompts: Sequence[Sequence[int]], alone: Logits, *, places: int
) -> LogitDifference:
    """Compare a model with itself: prompts two a pass with the same one by one.

    Where that makes no difference at all, rounding is made up: a model that is kept in two ways
    (merged, stacked) sums the same numbers in another order, whatever the shapes. What each of its
    matrices gives is moved by a unit in the last place; in half precision, whose products are
    summed in single precision and rounded once, one result in twelve.

    Args:
        lm: The harness's Hugging Face model.
        prompts: Some prompts as token ids.
        alone: Its logits after them, from `last_logits`, one prompt a pass.
        places: As there.
    """
    shaped = compare_logits(alone, last_logits(lm, prompts, places=places, together=2))
    if shaped.kl > 0:
        return shaped
    with _rounded_otherwise(lm.model):
        return compare_logits(alone, last_logits(lm, prompts, places=places))


@contextlib.contextmanager
def _rounded_otherwise(model: Any) -> Generator[None]:
    """Move what each matrix gives by a unit in the last place, up or down by chance."""
    import torch

    chance = torch.Generator().manual_seed(0)

    def move(module: Any, given: Any, result: Any) -> Any:
        del module, given
        if not (isinstance(result, torch.Tensor) and result.is_floating_point()):
            return None  # A router's choice, say, which is no sum.
        # Drawn in main memory: the same on every device.
        drawn = torch.rand(result.shape, generator=chance).to(result.device)
        single = result.dtype == torch.float32
        share = 1.0 if single else _ROUNDED_ONCE
        unit = (drawn < share / 2).int() - (drawn > 1 - share / 2).int()
        # Half of the spacing above 1 is more than half of it above all other numbers, so it is
        # rounded to a whole unit; in a wider format, or it would be lost before.
        wide = result.double() if single else result.float()
        return (wide * (1 + torch.finfo(result.dtype).eps / 2 * unit)).to(result.dtype)

    handles = [
        module.register_forward_hook(move)
        for module in model.modules()
        if getattr(getattr(module, "weight", None), "ndim", 0) == 2
        and not isinstance(module, torch.nn.Embedding)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
