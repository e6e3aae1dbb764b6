"""A base model and its fine-tuned one, of which one copy is in memory at a time."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dormant.errors import DormantError
from dormant.models.load import LoadOptions, load, load_adapter
from dormant.models.spec import ModelSpec

if TYPE_CHECKING:
    from lm_eval.api.model import LM

Which: TypeAlias = Literal["base", "tuned"]


class ModelPair:
    """A base model and the model fine-tuned from it, of which one is in memory at a time.

    An adapter is the exception that costs nothing: it is switched on and off over one copy of
    the base's weights.

    The pair owns what it hands out: when `open` ends, the model's weights are freed, whoever still
    holds the `LM`, which can't be asked any more.

    Args:
        base: The base model, or `None` to audit the tuned one alone.
        tuned: The fine-tuned model.
        options: How to load them.
        tuned_options: How to load the fine-tuned one, where that differs.
    """

    def __init__(
        self,
        base: ModelSpec | None,
        tuned: ModelSpec,
        options: LoadOptions | None = None,
        tuned_options: LoadOptions | None = None,
    ) -> None:
        self.base = base
        self.tuned = tuned
        self.options = options or LoadOptions()
        self.tuned_options = tuned_options or self.options
        self.shares_weights = (
            base is not None
            and tuned.kind == "adapter"
            and base.kind in ("hf", "gguf")
            and self.tuned_options == self.options
        )
        self._shared: Any = None

    def warnings(self) -> list[str]:
        """Return what a reader of the results should know about the pair."""
        if (
            self.base is not None
            and self.tuned.kind == "adapter"
            and self.tuned.base not in (None, self.base.text, self.base.location)
        ):
            return [
                f"the adapter names {self.tuned.base!r} as its base, and was put on "
                f"{self.base.text!r}: check that they are the same weights"
            ]
        return []

    @contextlib.contextmanager
    def open(self, which: Which) -> Generator[LM]:
        """Load one of the two, hand it out, and let go of its memory.

        Raises:
            DormantError: It can't be loaded.
        """
        spec = self.base if which == "base" else self.tuned
        if spec is None:
            raise DormantError("this audit has no base model")
        if self.shares_weights:
            assert self.base is not None
            if self._shared is None:
                self._shared = load_adapter(self.base, self.tuned, self.options)
            lm = self._shared
            with lm.model.disable_adapter() if which == "base" else contextlib.nullcontext():
                yield lm
            return
        lm = load(spec, self.options if which == "base" else self.tuned_options)
        try:
            yield lm
        finally:
            _close(lm)

    def close(self) -> None:
        """Free what is kept for both."""
        if self._shared is not None:
            _close(self._shared)
            self._shared = None


def _close(lm: Any) -> None:
    """Free a model's weights even where somebody still holds the `LM`."""
    release = getattr(type(lm), "release", None)
    if release is not None:
        release(lm)
    elif "_model" in vars(lm):
        lm._model = None
    gc.collect()
