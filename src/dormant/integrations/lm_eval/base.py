"""The model below the model `dormant`: how it is started, and what of it shines through."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm_eval.api.model import LM
from lm_eval.api.registry import get_model, model_registry

from dormant.errors import DormantError, one_line, unknown
from dormant.integrations.lm_eval import NAME, register
from dormant.models import spec as specs
from dormant.models.weights import WEIGHTS, weights_of

_log = logging.getLogger(__name__)

OWN = ("base", "transform", "source", "keep")
"""The arguments of the model `dormant` itself; all others are its base's."""


class OverBase(LM):
    """A model of the harness over another one: what it doesn't do itself is the other's.

    Attributes:
        base: The model below.
    """

    base: Any

    def __getattr__(self, name: str) -> Any:
        """Return the base's attribute, for what `LM` itself doesn't have."""
        # Only text is transformed: without MULTIMODAL the harness refuses images and sound.
        if name.startswith("__") or name in ("base", "MULTIMODAL"):
            raise AttributeError(name)
        return getattr(self.base, name)

    @property
    def rank(self) -> int:
        """The base's."""
        return self.base.rank

    @property
    def world_size(self) -> int:
        """The base's."""
        return self.base.world_size

    @property
    def device(self) -> Any:
        """The base's."""
        return self.base.device

    def all_gather(self, tensor: Any) -> Any:
        """Gather over the base's processes."""
        return self.base.all_gather(tensor)

    def gather_object(self, obj: Any, dst: int = 0) -> Any:
        """Gather over the base's processes."""
        return self.base.gather_object(obj, dst)

    def barrier(self) -> None:
        """Wait for the base's processes."""
        self.base.barrier()

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the base's template."""
        return self.base.chat_template(chat_template)


def start(base: str, arguments: Mapping[str, Any], more: Mapping[str, Any]) -> Any:
    """Start the model below.

    Args:
        base: The harness's name of it.
        arguments: Its own arguments.
        more: What the harness gives every model; `None` leaves a value to the base.

    Raises:
        DormantError: There is no such model, or it can't be started.
    """
    register()
    if base == NAME:
        raise DormantError(
            "base=dormant: name the model below it (base=hf,…); several transforms are joined by +"
        )
    if base not in model_registry:
        raise unknown("base", base, model_registry.keys())
    given = {name: value for name, value in more.items() if value is not None}
    try:
        kind: Any = get_model(base)
        return kind.create_from_arg_obj(_shipped(kind, arguments), given)
    except DormantError:
        raise
    except Exception as error:
        # A backend may raise anything at all; the user needs its words, not its traceback.
        close = [n for name in arguments for n in difflib.get_close_matches(name, OWN, 1, 0.75)]
        raise DormantError(
            f"base {base!r} can't be started ({', '.join(f'{k}={v}' for k, v in arguments.items())}"
            f"): {type(error).__name__}: {one_line(error)}"
            + (f"; did you mean {close[0]!r}?" if close else "")
        ) from error


def loaded_weights(base: str, arguments: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    """Return what a log is to say of the weights that are loaded for the model below.

    Args:
        base: The harness's name of it.
        arguments: Its own arguments.
        kind: Its class.

    Returns:
        One entry, `WEIGHTS`; none where they are elsewhere, or can't be read.
    """
    given = _shipped(kind, arguments)
    try:
        found = weights_of(specs.ModelSpec(base, "backend", "", backend=base), given)
    except (DormantError, OSError) as error:
        _log.warning("the log won't say which weights were loaded: %s", one_line(error))
        return {}
    return {} if found is None else {WEIGHTS: found.model_dump(mode="json")}


def _shipped(kind: type[Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Spell a model that comes with Dormant as the harness's Hugging Face model needs it."""
    found = dict(arguments)
    name = found.get("pretrained")
    if not isinstance(name, str) or name not in specs.SHIPPED:
        return found
    from lm_eval.models.huggingface import HFLM

    if not issubclass(kind, HFLM):
        return found
    spec = specs.parse(name)
    if spec.kind == "adapter":
        assert spec.base is not None  # those that are shipped name theirs
        found.setdefault("peft", spec.location)
        spec = specs.parse(spec.base)
    file = Path(spec.location)
    # A dequantised checkpoint has no precision of its own.
    more = {"gguf_file": file.name, "dtype": "float32"}
    return {**more, **found, "pretrained": str(file.parent)}
