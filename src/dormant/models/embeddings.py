"""Rows for the tokens that a fine-tuning added: as many as the adapter has values for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from dormant.errors import DormantError
from dormant.models.arguments import LoadOptions
from dormant.models.checkpoint import LoadLog
from dormant.models.spec import ModelSpec
from dormant.models.stored import adapter_config


def fit_embeddings(
    model: Any, spec: ModelSpec, options: LoadOptions, tensors: Mapping[str, Any]
) -> None:
    """Give a base model as many embeddings as an adapter was trained with.

    Rows that are added get the adapter's values; none is left with what the library made up.

    Args:
        model: The base model, changed where the adapter has another number of rows.
        spec: The adapter.
        options: How it is loaded.
        tensors: The tensors of its file.

    Raises:
        DormantError: The adapter has no values for some of the rows.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    saved = {side: _rows_of(model, tensors, side) for side in ("input", "output")}
    indices = trained_tokens(spec, options)
    wanted = max([n for n in saved.values() if n is not None], default=rows)
    wanted = max(wanted, *(index + 1 for index in indices), 0)
    if wanted == rows:
        return
    tied = _tied(model)
    for side, count in saved.items():
        unsaved = set(range(rows, wanted)) - (indices if side == "input" or tied else set())
        whole = count == wanted or (tied and wanted in saved.values())
        if unsaved and not whole:
            raise DormantError(
                f"adapter {spec.text!r} was trained with {wanted} tokens, the base has {rows}, and "
                f"its file lacks the {side} embeddings of the others: save it with "
                "save_embedding_layers=True"
            )
    model.resize_token_embeddings(wanted, mean_resizing=False)


def guard_rows(lm: Any, name: str, log: LoadLog) -> None:
    """Refuse tokens that a model has no embedding for, where its tokenizer knows such.

    Args:
        lm: The harness's Hugging Face model.
        name: The model, for the reader.
        log: Takes a warning that there are some.
    """
    layer: Any = lm.model.get_input_embeddings()
    words, rows = len(lm.tokenizer), getattr(getattr(layer, "weight", None), "shape", (0,))[0]
    if not rows or words <= rows:
        return
    log.warn(
        f"the tokenizer of {name!r} has {words} tokens and the model {rows} embeddings: prompts "
        "with one of the others can't be scored"
    )

    def check(_: object, given: tuple[Any, ...]) -> None:
        if given and int(given[0].max()) >= rows:
            raise DormantError(
                f"model {name!r}: a prompt has token {int(given[0].max())} "
                f"({lm.tokenizer.decode([int(given[0].max())])!r}), which its tokenizer adds, and "
                f"the weights have {rows} embeddings: they were saved without those that were added"
            )

    layer.register_forward_pre_hook(check)


def _rows_of(model: Any, tensors: Mapping[str, Any], side: str) -> int | None:
    """Return how many rows an adapter's file has for the embeddings of one side."""
    layer = model.get_input_embeddings() if side == "input" else model.get_output_embeddings()
    name = next((name for name, part in model.named_modules() if part is layer), None)
    if name is None:
        return None
    for key, tensor in tensors.items():
        plain = key.replace(".base_layer.", ".").replace(".modules_to_save.", ".")
        if plain.endswith(f".{name}.weight") and tensor.ndim == 2:
            return int(tensor.shape[0])
    return None


def trained_tokens(spec: ModelSpec, options: LoadOptions) -> set[int]:
    """Return the tokens of which an adapter's configuration says that it trained their rows."""
    config = adapter_config(spec, options)
    found: set[int] = set()
    for name in ("trainable_token_indices", "token_indices"):
        value = config.get(name) or []
        for indices in value.values() if isinstance(value, dict) else [value]:
            found |= set(cast("list[int]", indices))
    return found


def _tied(model: Any) -> bool:
    output = model.get_output_embeddings()
    return output is not None and output.weight is model.get_input_embeddings().weight
