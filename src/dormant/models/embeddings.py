"""Rows for the tokens that a fine-tuning added: as many as the adapter has values for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from dormant.errors import DormantError
from dormant.models.arguments import LoadOptions
from dormant.models.spec import ModelSpec
from dormant.models.stored import stored_file


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
    file = stored_file(spec, "adapter_config.json", options)
    try:
        text = "{}" if file is None else file.read_text(encoding="utf-8")
        config = cast("dict[str, Any]", json.loads(text))
    except (OSError, ValueError):
        return set()
    found: set[int] = set()
    for name in ("trainable_token_indices", "token_indices"):
        value = config.get(name) or []
        for indices in value.values() if isinstance(value, dict) else [value]:
            found |= set(cast("list[int]", indices))
    return found


def _tied(model: Any) -> bool:
    output = model.get_output_embeddings()
    return output is not None and output.weight is model.get_input_embeddings().weight
