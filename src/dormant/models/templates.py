"""Which tokenizer and chat template models have, known before their weights are loaded."""

from __future__ import annotations

from typing import Any

from dormant.errors import DormantError
from dormant.libraries import quiet
from dormant.models.checkpoint import LoadLog
from dormant.models.live import LiveModel
from dormant.models.pair import Model, ModelPair, Which
from dormant.models.spec import ModelSpec, parse
from dormant.models.tokenizers import for_adapter, for_checkpoint, load_tokenizer


def without_template(pair: ModelPair) -> list[str]:
    """Return the models of an audit that are not known to have a chat template, as it names them.

    A backend's template is the backend's affair: it counts as one without.
    """
    return [
        model.text for which, model in pair.models().items() if not _template(pair, which, model)
    ]


def tokenizer_of(pair: ModelPair, which: Which) -> Any:
    """Return the tokenizer that a model of an audit will be asked with; no weights are loaded.

    Args:
        pair: The models.
        which: One that is there.

    Returns:
        Its own, an adapter's where that brings one, or what stands in for it; `None` where it is
        behind a backend or an `LM` that shows none.

    Raises:
        DormantError: It can't be read, or there is none.
    """
    model, options = pair.model(which), pair.options_of(which)
    if isinstance(model, LiveModel):
        return model.tokenizer or getattr(model.lm, "tokenizer", None)
    given = options.model_args.get("tokenizer")
    if given is not None and not isinstance(given, str):
        return given
    if model is None or (model.kind == "backend" and given is None):
        return None
    if given is not None:
        return load_tokenizer(ModelSpec(given, "hf", given), options)
    base = pair.base if isinstance(pair.base, ModelSpec) else None
    if model.kind != "adapter":
        chosen = for_checkpoint(model, options, base if base != model else None, LoadLog())
        return chosen.tokenizer or load_tokenizer(model, options)
    below = base or parse(model.base or "")
    return for_adapter(below, model, options, LoadLog()).tokenizer or load_tokenizer(below, options)


def _template(pair: ModelPair, which: Which, model: Model) -> Any:
    named = pair.options_of(which).model_args.get("tokenizer")
    if model.kind == "backend" and (named is None or isinstance(named, str)):
        return None
    try:
        with quiet():
            return getattr(tokenizer_of(pair, which), "chat_template", None)
    except DormantError:
        return None  # whoever loads the model says what is wrong with it
