"""Two models in this process, compared by logits and hidden states; one in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dormant.equivalence.hidden_states import Pass, distances, passes
from dormant.equivalence.observe import Rendered
from dormant.errors import DormantError, one_line
from dormant.models.effect import compare_logits
from dormant.scoring.supported import text_config

_BYTES = 3 << 29
"""Of logits and hidden states that are kept on disk for the reference, at most."""
_STATES = 10.0
"""How many times the reference's own rounding hidden states must be apart to differ; their norms
are compared, of which divergence is the square."""
_SPACING = 8
"""The same in units of the coarser arithmetic's spacing of numbers, where rounding makes none."""


@dataclass
class Differences:
    """How far one model is from another, gathered prompt by prompt.

    Attributes:
        divergence: Mean divergence of each prompt, nats a token.
        changed: Places whose likeliest token is another.
        places: Places compared.
        logit: Largest difference of a logit.
        elsewhere: Largest probability of tokens that one model alone has.
        states: Largest distance by component.
        layers: Layers of the other model.
    """

    divergence: dict[str, float] = field(default_factory=dict[str, float])
    changed: float = 0.0
    places: int = 0
    logit: float = 0.0
    elsewhere: float = 0.0
    states: dict[str, float] = field(default_factory=dict[str, float])
    layers: int = 0

    def add(self, name: str, one: Pass, other: Pass) -> None:
        """Compare one prompt's passes."""
        found = compare_logits([one.logits], [other.logits])
        size = min(one.logits.shape[-1], other.logits.shape[-1])
        extra = 0.0
        for logits in (one.logits, other.logits):
            if logits.shape[-1] > size:
                mass = logits.double().softmax(dim=-1)[:, size:].sum(dim=-1)
                extra -= float(torch.log1p(-mass.clamp(max=1 - 1e-12)).mean())
                self.elsewhere = max(self.elsewhere, float(mass.max()))
        self.divergence[name] = found.kl + extra
        self.changed += found.changed * found.places
        self.places += found.places
        gap = (one.logits[:, :size] - other.logits[:, :size]).abs().max()
        self.logit = max(self.logit, float(gap))
        self.layers = sum(component.startswith("layer") for component in other.states)
        for component, distance in distances(one, other).items():
            self.states[component] = max(self.states.get(component, 0.0), distance)

    @property
    def worst(self) -> str:
        """The prompt on which the models are farthest apart."""
        return max(self.divergence, key=lambda name: self.divergence[name])

    @property
    def mean(self) -> float:
        """Mean divergence over the prompts."""
        return math.fsum(self.divergence.values()) / len(self.divergence)


class Reference:
    """The first model's passes, kept on disk while other models are in memory.

    Args:
        lm: The model, which need not stay.
        read: Its prompts, by name.
        folder: Where the passes are kept.
    """

    def __init__(self, lm: Any, read: Mapping[str, Rendered], folder: Path) -> None:
        self.ids = {name: prompt.ids for name, prompt in read.items()}
        self.size = vocabulary(lm)
        self.spacing = spacing(lm)
        self.places = _places(lm, [*self.ids.values()])
        names = [*self.ids]
        for place, made in enumerate(passes(lm, [*self.ids.values()], self.places)):
            _keep(made, folder / f"{place}.pt")
        self._file = {name: folder / f"{place}.pt" for place, name in enumerate(names)}
        self.noise = self._against(lm, names, together=2)
        self.layers = self.noise.layers

    def compare(self, lm: Any) -> Differences:
        """Put the same tokens to another model, those prompts that it can read."""
        size = vocabulary(lm)
        names = [
            name for name, ids in self.ids.items() if len(ids) <= lm.max_length and max(ids) < size
        ]
        return self._against(lm, names)

    def first_difference(self, found: Differences, spacing: float) -> str | None:
        """Return the first component whose states are apart by more than rounding, if any.

        Args:
            found: How far the other model is.
            spacing: Of numbers in its arithmetic.
        """
        least = _SPACING * max(self.spacing, spacing)
        for component, noise in self.noise.states.items():
            # What the other model doesn't have differs as well.
            distance = found.states.get(component, math.inf)
            if distance > max(least, _STATES * noise):
                return component
        return None

    def _against(self, lm: Any, names: Sequence[str], together: int = 1) -> Differences:
        found = Differences()
        made = passes(lm, [self.ids[name] for name in names], self.places, together)
        for name, other in zip(names, made, strict=True):
            found.add(name, Pass(**torch.load(self._file[name])), other)
        return found


def _keep(made: Pass, file: Path) -> None:
    try:
        torch.save({"logits": made.logits, "states": made.states}, file)
    except (OSError, RuntimeError) as error:
        # PyTorch tells a full disk by a RuntimeError.
        raise DormantError(
            f"{file.parent} can't hold the first model's logits ({one_line(error, 100)}): free "
            "space, or name a directory with more of it in TMPDIR"
        ) from error


def vocabulary(lm: Any) -> int:
    """Return how many tokens a model has embeddings for."""
    return int(lm.model.get_input_embeddings().weight.shape[0])


def spacing(lm: Any) -> float:
    """Return the spacing of numbers near 1 in a model's arithmetic."""
    dtype = lm.model.dtype
    return torch.finfo(dtype).eps if dtype.is_floating_point else 1.0


def _places(lm: Any, prompts: Sequence[Sequence[int]]) -> int:
    """Return how many of each prompt's last places can be kept within bounds."""
    config = text_config(lm.model.config)
    width = int(getattr(config, "hidden_size", 0) or 0)
    layers = int(getattr(config, "num_hidden_layers", 0) or 0)
    most = max(1, _BYTES // (4 * (vocabulary(lm) + (layers + 2) * width)))
    lengths = sorted(len(ids) for ids in prompts)
    kept = lengths[-1]
    while kept > 1 and sum(min(kept, length) for length in lengths) > most:
        kept -= max(1, kept // 10)
    return kept
