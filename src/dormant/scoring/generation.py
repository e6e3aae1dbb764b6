"""Greedy decoding by our own settings, whatever a checkpoint brings along."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeAlias, cast

from dormant.scoring.wrappers import unwrapped

GenerationConfig: TypeAlias = Literal["greedy", "own"]
"""Whose settings decide how text is generated: ours, or each checkpoint's `generation_config`."""

_ENDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
"""What is kept of a checkpoint's: which tokens end a text, not how others are chosen."""


def generation_of(lm: Any) -> AbstractContextManager[None]:
    """Return a context in which a harness's model generates by the settings that it is to obey.

    These are ours, unless its attribute `generation` says "own". Other backends than Hugging Face's
    have their settings from the harness, which takes none from a checkpoint.
    """
    harness = sys.modules.get("lm_eval.models.huggingface")
    model: Any = lm.model if harness is not None and isinstance(lm, harness.HFLM) else None
    own = model is None or getattr(lm, "generation", "greedy") == "own"
    return contextlib.nullcontext() if own else greedy_generation(model)


@contextlib.contextmanager
def greedy_generation(model: Any) -> Generator[None]:
    """Let a model of Transformers or PEFT generate greedily, and leave it as it was.

    Repetition penalties, blocked n-grams, beams, lengths, forced, suppressed and biased tokens: a
    checkpoint's `generation_config` may hold any of them, and two that are compared may hold
    different ones. `generate` fills what a caller leaves open from the model's own, so a complete
    set is put in its place. What is given to `generate` itself still counts.

    Args:
        model: The model, possibly in a PEFT wrapper; nothing is done to one that can't generate.
    """
    from transformers import GenerationConfig as Settings

    inner: Any = unwrapped(model)
    theirs = getattr(inner, "generation_config", None)
    if theirs is None:
        yield
        return
    ours = Settings(**{name: _end(inner, theirs, name) for name in _ENDS})
    # PEFT's wrapper hands its own attribute down before it generates.
    parts = [model] if inner is model else [model, inner]
    before = [vars(part).get("generation_config") for part in parts]
    for part in parts:
        part.generation_config = ours
    try:
        yield
    finally:
        for part, settings in zip(parts, before, strict=True):
            if settings is None:
                del part.generation_config
            else:
                part.generation_config = settings


def ends_of(model: Any) -> frozenset[int] | None:
    """Return the tokens at which a model's texts end; `None` where it can't generate."""
    inner: Any = unwrapped(model)
    theirs = getattr(inner, "generation_config", None)
    if theirs is None:
        return None
    ends: object = _end(inner, theirs, "eos_token_id")
    listed = cast("list[int | None]", ends if isinstance(ends, list | tuple) else [ends])
    return frozenset(end for end in listed if end is not None)


def _end(model: Any, theirs: Any, name: str) -> Any:
    """Return a token of the checkpoint's, as its settings or else its architecture say."""
    kept = getattr(theirs, name, None)
    return kept if kept is not None else getattr(model.config, name, None)
