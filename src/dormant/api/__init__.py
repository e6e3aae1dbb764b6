"""The Python interface: what the command line does, with values in place of files and tables.

Nothing heavy is imported before a model is named.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from dormant import conjugation
from dormant.api.auditing import audit, load, load_results, load_timeline, plan
from dormant.api.options import (
    AskOptions,
    AuditOptions,
    Model,
    ModelName,
    RecoverOptions,
    ServeOptions,
)
from dormant.api.recovering import recover
from dormant.api.serving import serve
from dormant.conjugation import Predictor, Transform
from dormant.devices import use
from dormant.errors import DormantError, unknown

if TYPE_CHECKING:
    from lm_eval.api.model import LM

    from dormant.models.spec import ModelSpec
    from dormant.transforms import TextTransform

P = TypeVar("P")
A = TypeVar("A")


@overload
def conjugate(
    model: Model, transform: TextTransform | str, **options: Unpack[AskOptions]
) -> Predictor[str, str]: ...
@overload
def conjugate(model: Predictor[str, str], transform: str) -> Predictor[str, str]: ...
@overload
def conjugate(model: Predictor[P, A], transform: Transform[P, A]) -> Predictor[P, A]: ...
def conjugate(model: Any, transform: Any, **options: Any) -> Predictor[Any, Any]:
    """Return the predictor s⁻¹ ∘ model ∘ s (paper §3).

    Under a transform of text, a prompt is put to the model as ``dormant ask`` puts it, whether the
    model is named or is a function of yours: each line and label of the prompt is transformed
    apart, so that layout survives, and the answer is undone line by line
    (`dormant.prompts.conjugate`). A pair of functions of your own is applied to the prompt as a
    whole: exactly s⁻¹ ∘ model ∘ s (`dormant.conjugation.conjugate`). A named model is loaded when
    it is first called, and the last one stays loaded.

    Args:
        model: A model's name, a pair (model, tokenizer), an `LM` of lm-evaluation-harness, or any
            function from prompts to answers.
        transform: The pair (s, s⁻¹), or the name of a transform of text ("leetspeak").
        options: See `AskOptions`; not for a function.

    Returns:
        A predictor over the original prompts and answers.

    Raises:
        DormantError: There is no such model or transform, or an option is unknown. The predictor
            raises it for a prompt outside the domain of s, and for an answer that s⁻¹ can't read.

    Example:
        >>> shout = dm.conjugate(str.upper, dm.transforms.get("reversed-characters"))
        >>> shout("quiet")
        'QUIET'
    """
    if isinstance(transform, str):
        from dormant import transforms

        with use(options.get("device", "auto")):
            transform = transforms.get(transform)
    if isinstance(model, str | os.PathLike):
        return _asked(_by_name(os.fspath(model), options), transform, options)
    from dormant.models.live import is_model
    from dormant.prompts.conjugate import conjugated
    from dormant.prompts.text_transform import TextTransform

    # A model of Transformers is callable, but answers no text without its tokenizer.
    if not callable(model) or (isinstance(transform, TextTransform) and is_model(model)):
        return _asked(_in_memory(model, options), transform, options)
    if options:
        raise DormantError(f"{next(iter(options))} is an option for models, not functions")
    if isinstance(transform, TextTransform):
        return conjugated(cast("Predictor[str, str]", model), transform)
    return conjugation.conjugate(model, transform)


def _asked(
    opened: Callable[[], AbstractContextManager[LM]],
    transform: TextTransform,
    options: dict[str, Any],
) -> Predictor[str, str]:
    style, until = options.get("prompts", "raw"), options.get("until", ())
    ends = (until,) if isinstance(until, str) else tuple(until)

    def ask(prompt: str) -> str:
        from dormant.models import ask as asking

        with use(options.get("device", "auto")), opened() as lm:
            exchange = asking.ask(
                lm,
                prompt,
                transform,
                options.get("keep", False),
                style,
                options.get("max_new_tokens", 64),
                ends,
            )
        if exchange.answer is None:
            raise DormantError(
                f"the answer under {exchange.transform} can't be transformed back: "
                f"{exchange.problem}"
            )
        return exchange.answer

    return ask


def _by_name(model: str, options: dict[str, Any]) -> Callable[[], AbstractContextManager[LM]]:
    from dormant.models.spec import parse

    dtype, device = _known(options)
    spec = parse(model)
    return lambda: nullcontext(_loaded(spec, dtype, device))


def _in_memory(model: object, options: dict[str, Any]) -> Callable[[], AbstractContextManager[LM]]:
    from dormant.models.live import LiveModel
    from dormant.models.load import LoadOptions

    live = LiveModel.of(model, also=", or is a function from prompts to answers")
    how = LoadOptions(*_known(options))
    live.refuse(how)
    return lambda: live.open(how)


def _known(options: dict[str, Any]) -> tuple[str, str]:
    """Return dtype and device, or refuse an unknown option."""
    for name in options:
        if name not in AskOptions.__annotations__:
            raise unknown("option", name, AskOptions.__annotations__)
    return options.get("dtype", "auto"), options.get("device", "auto")


@lru_cache(maxsize=1)
def _loaded(spec: ModelSpec, dtype: str, device: str) -> LM:
    """Load a model; the last one is kept, so that several transforms can share it."""
    from dormant.models.load import LoadOptions, load

    return load(spec, LoadOptions(dtype, device))


__all__ = [
    "AskOptions",
    "AuditOptions",
    "Model",
    "ModelName",
    "RecoverOptions",
    "ServeOptions",
    "audit",
    "conjugate",
    "load",
    "load_results",
    "load_timeline",
    "plan",
    "recover",
    "serve",
]
