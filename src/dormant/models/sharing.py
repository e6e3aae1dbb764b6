"""One copy of a base model's weights for it and its adapter, where that is proved to be right."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dormant.models.arguments import LoadOptions
from dormant.models.attach import attach_adapter
from dormant.models.checkpoint import LoadLog
from dormant.models.embeddings import guard_rows, trained_tokens
from dormant.models.load import leave_room, load_checkpoint, wrap
from dormant.models.proof import BaseState, base_is_kept
from dormant.models.spec import ModelSpec
from dormant.models.tokenizers import for_adapter, for_checkpoint
from dormant.scoring.wrappers import virtual_tokens

if TYPE_CHECKING:
    from lm_eval.api.model import LM

SHARED = "one copy for both: with the adapter switched off, logits and weights are the base's"


@dataclass
class SharedCopy:
    """A base model with an adapter on it.

    Attributes:
        base: The base as an `LM`, to be asked with the adapter switched off.
        tuned: The fine-tuned model as an `LM` over the same weights.
        difference: How the base differs from what it was before the adapter was put on it; `None`
            where it doesn't, and may be asked.
    """

    base: Any
    tuned: Any
    difference: str | None

    @classmethod
    def load(
        cls,
        base: ModelSpec,
        adapter: ModelSpec,
        options: LoadOptions,
        logs: tuple[LoadLog, LoadLog],
    ) -> SharedCopy:
        """Load a base, put an adapter on it, and compare the base with itself.

        Args:
            base: A model of kind hf or gguf.
            adapter: The adapter.
            options: How both are loaded.
            logs: Take what is found of the base and of the tuned model.

        Raises:
            DormantError: One of them can't be loaded, or a part of it would be made up.
        """
        of_base, of_tuned = logs
        choice = for_adapter(base, adapter, options, of_tuned)
        lm: Any = load_checkpoint(
            base, options, for_checkpoint(base, options, adapter, of_base), of_base
        )
        before = BaseState.of(lm.model, trained_tokens(adapter, options))
        model = attach_adapter(lm.model, adapter, options, log=of_tuned)
        difference = base_is_kept(before, model, adapter.text)
        lm._model = model
        tuned = lm
        if not choice.same or virtual_tokens(model):
            tokenizer = lm.tokenizer if choice.same else choice.tokenizer
            tuned = wrap(model, copy.deepcopy(tokenizer), options)
            leave_room(tuned)
        guard_rows(lm, base.text, of_base)
        guard_rows(tuned, adapter.text, of_tuned)
        return cls(lm, tuned, difference)

    @contextlib.contextmanager
    def base_alone(self) -> Generator[LM]:
        """Hand the base out, with the adapter switched off."""
        with self.base.model.disable_adapter():
            yield self.base
