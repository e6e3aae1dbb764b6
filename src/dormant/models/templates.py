"""Whether models have a chat template, which is known before their weights are loaded."""

from __future__ import annotations

from typing import Any

from dormant.errors import DormantError
from dormant.libraries import quiet
from dormant.models.arguments import LoadOptions
from dormant.models.checkpoint import LoadLog
from dormant.models.live import LiveModel
from dormant.models.pair import Model, ModelPair
from dormant.models.spec import ModelSpec, parse
from dormant.models.tokenizers import for_adapter, for_checkpoint, load_tokenizer


def without_template(pair: ModelPair) -> list[str]:
    """Return the models of an audit that are not known to have a chat template, as it names them.

    A backend's template is the backend's affair: it counts as one without.
    """
    sides = ((pair.base, pair.options), (pair.tuned, pair.tuned_options))
    base = pair.base if isinstance(pair.base, ModelSpec) else None
    return [
        model.text
        for model, options in sides
        if model is not None and not _template(model, options, base)
    ]


def _template(model: Model, options: LoadOptions, base: ModelSpec | None) -> Any:
    if isinstance(model, LiveModel):
        tokenizer: Any = model.tokenizer or getattr(model.lm, "tokenizer", None)
        return getattr(tokenizer, "chat_template", None)
    given = options.model_args.get("tokenizer")
    if given is not None and not isinstance(given, str):
        return getattr(given, "chat_template", None)
    if model.kind == "backend":
        return None
    try:
        with quiet():
            return getattr(_tokenizer(model, options, given, base), "chat_template", None)
    except DormantError:
        return None  # whoever loads the model says what is wrong with it


def _tokenizer(
    model: ModelSpec, options: LoadOptions, given: str | None, base: ModelSpec | None
) -> Any:
    """Load the tokenizer that a model will be asked with."""
    if given is not None:
        return load_tokenizer(ModelSpec(given, "hf", given), options)
    if model.kind != "adapter":
        chosen = for_checkpoint(model, options, base if base != model else None, LoadLog())
        return chosen.tokenizer or load_tokenizer(model, options)
    below = base or parse(model.base or "")
    return for_adapter(below, model, options, LoadLog()).tokenizer or load_tokenizer(below, options)
