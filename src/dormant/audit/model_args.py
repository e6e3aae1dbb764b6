"""Arguments of models as lm-evaluation-harness writes them: ``revision=main,load_in_4bit=True``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from dormant.errors import DormantError
from dormant.models.spec import require_libraries


def parse_model_args(given: object) -> dict[str, object]:
    """Read arguments of a model, given as the harness's text or as a mapping.

    Numbers, booleans and ``None`` in a text become values, as they do in the harness.

    Raises:
        DormantError: A part of the text is not KEY=VALUE, a key is given twice, or what was given
            is neither text nor a mapping.
    """
    if isinstance(given, Mapping):
        return dict(cast("Mapping[str, object]", given))
    if not isinstance(given, str):
        raise DormantError(
            f"model_args is a {type(given).__name__}: give KEY=VALUE,KEY=VALUE or a dictionary"
        )
    parts = [part for part in given.split(",") if part.strip()]
    keys = [part.partition("=")[0].strip() for part in parts]
    for part, key in zip(parts, keys, strict=True):
        if "=" not in part or not key:
            raise DormantError(f"model_args {given!r}: {part!r} is not KEY=VALUE")
        if keys.count(key) > 1:
            raise DormantError(f"model_args {given!r}: {key} is given twice")
    require_libraries()
    from lm_eval.utils import simple_parse_args_string

    parsed: dict[str, object] = simple_parse_args_string(given)
    return {key.strip(): value for key, value in parsed.items()}
