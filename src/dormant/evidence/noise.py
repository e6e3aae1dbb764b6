"""The noise rung: weights that are shaken a little, or rounded to four bits."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from dormant.audit.rung import HigherRung, Intervention
from dormant.audit.settings import Style
from dormant.models.comparability import is_local
from dormant.models.live import LiveModel
from dormant.models.pair import Model, ModelPair
from dormant.models.spec import ModelSpec

if TYPE_CHECKING:
    from dormant.models.edits import Edit

SIZES = (0.05, 0.1)
"""Standard deviations of the noise, as parts of each matrix's own: the first leaves the base nearly
whole, the second costs it visibly, and less than half (docs/evidence.md has the measurement)."""
BITS = 4


def noise(seed: int) -> HigherRung:
    """Return the rung: Gaussian noise of two sizes, and rounding.

    Args:
        seed: Decides the noise.
    """
    edits = functools.cache(lambda: _interventions(seed))
    # The same for all abilities.
    return HigherRung("noise", no_weights, lambda _: edits())


def no_weights(pair: ModelPair) -> str | None:
    """Say why the weights of one of two models can't be edited, where that shows before loading."""
    named: dict[str, Model | None] = {"base": pair.base, "fine-tuned": pair.tuned}
    for name, model in named.items():
        served = isinstance(model, ModelSpec) and model.elsewhere
        if served or (isinstance(model, LiveModel) and not model.comparable):
            return f"the {name} model shows no weights: a server or another engine runs it"
    return None


def _interventions(seed: int) -> Sequence[Intervention]:
    # Whoever asks servers needs no PyTorch.
    from dormant.models.edits import gaussian, rounded

    edits = [*(gaussian(size, seed) for size in SIZES), rounded(BITS)]
    return [
        Intervention(edit.name, edit.signature, functools.partial(_edited, edit)) for edit in edits
    ]


@contextlib.contextmanager
def _edited(edit: Edit, lm: Any, style: Style) -> Generator[None]:
    del style  # nothing is asked
    from dormant.models.effective import NotEditableError

    if not is_local(lm):
        raise NotEditableError("the model shows no weights")
    with edit.on(lm.model):
        yield
