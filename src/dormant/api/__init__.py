"""The Python interface: what the command line does, with values in place of files and tables.

Nothing heavy is imported before a model is named.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from dormant import conjugation
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
from dormant.names import flat_names

if TYPE_CHECKING:
    from lm_eval.api.model import LM

    from dormant.audit.forecast import Forecast
    from dormant.audit.settings import AuditSettings
    from dormant.audited import Audit
    from dormant.models.live import LiveModel
    from dormant.models.pair import Which
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


def audit(
    base: Model,
    tuned: Model | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **options: Unpack[AuditOptions],
) -> Audit:
    """Audit a base model and the model fine-tuned from it, as ``dormant audit`` does.

    The run is a directory: stopped for any reason, the same call goes on where it was; finished,
    the same call reads it. A model in memory is known again by a hash of its weights; the run of
    an `LM` that has none to show is not resumed.

    Args:
        base: The base model, by name or in memory. Alone, it is audited on two cells: gains only,
            never "lost".
        tuned: The fine-tuned model. Given a PEFT model and the very model that its adapter was
            put into, the adapter is switched off for the latter.
        out: The run directory; default: ``runs/BASE--TUNED``.
        progress: Show a bar, in a terminal, or in a notebook that has ipywidgets.
        options: Abilities (``tasks``), ``transforms``, items an ability (``n``), and all else of
            `AuditOptions`; the defaults are those of the command line.

    Returns:
        The results, with verdicts, tables and a figure.

    Raises:
        DormantError: Bad input, a model that can't be loaded, a run with other settings in `out`,
            a disk that is full.

    Example:
        >>> found = dm.audit("smollm2", "smollm2-sentiment-mild", tasks="icl/copy",
        ...                  transforms="french", n=40, out="runs/copy")
        >>> found.verdicts
        {'icl/copy': 'suppressed'}
    """
    from dormant.audit.run import audit as run
    from dormant.audit.settings import default_directory
    from dormant.audited import Audit
    from dormant.console import progress as bar
    from dormant.console import watched
    from dormant.evidence import rungs_of

    settings, live = _settings(base, tuned, options)
    folder = default_directory(settings) if out is None else Path(out)
    with bar(quiet=not (progress and watched())) as shown:
        results = run(settings, folder, shown, live, rungs_of(settings))
    return Audit(results, folder)


def plan(base: Model, tuned: Model | None = None, **options: Unpack[AuditOptions]) -> Forecast:
    """Say what an audit will take, as ``dormant audit --plan`` does; nothing is written.

    Both models are loaded, one after the other, and asked a few prompts of each ability.

    Args:
        base: See `audit`.
        tuned: See `audit`.
        options: See `AuditOptions`.

    Returns:
        Prompts, seconds and bytes; ``print`` shows them in a few lines. What the rungs above
        prompting take is said apart, as if every ability climbed: most don't.

    Raises:
        DormantError: Bad input, a model that can't be loaded, or one that doesn't fit into memory,
            with the option under which it would.
    """
    from dormant.audit.forecast import forecast
    from dormant.evidence import rungs_of

    settings, live = _settings(base, tuned, options)
    return forecast(settings, live=live, rungs=rungs_of(settings))


def load_results(run: str | os.PathLike[str]) -> Audit:
    """Read a finished run, whoever made it: `audit`, ``dormant audit`` or ``dormant demo``.

    Args:
        run: The run directory.

    Raises:
        DormantError: There is no finished run, or it is damaged.
    """
    from dormant.audit.run_dir import RunDirectory
    from dormant.audited import Audit

    folder = Path(run)
    return Audit(RunDirectory.read(folder).results(), folder)


def load(run: str | os.PathLike[str]) -> Audit:
    """Do what `load_results` does, under its old name, for one version more."""
    warnings.warn("dormant.load is now dormant.load_results", DeprecationWarning, stacklevel=2)
    return load_results(run)


def _settings(
    base: Model, tuned: Model | None, options: AuditOptions
) -> tuple[AuditSettings, dict[Which, LiveModel]]:
    """Return an audit's settings, and those of its models that are in memory."""
    from dormant.audit.settings import AuditSettings

    live: dict[Which, LiveModel] = {}
    given: dict[str, Any] = {
        "base": None if tuned is None else _name(base, "base", live),
        "tuned": _name(base if tuned is None else tuned, "tuned", live),
        **options,
    }
    for kind in ("tasks", "transforms"):
        if given.get(kind) is None:
            given.pop(kind, None)
        else:
            given[kind] = _names(given[kind])
    return AuditSettings.of(given), live


def _name(model: object, which: Which, live: dict[Which, LiveModel]) -> str:
    """Return a model's name for the records; one that is in memory goes into `live`."""
    if isinstance(model, str | os.PathLike):
        return os.fspath(cast("ModelName", model))
    from dormant.models.live import LiveModel

    live[which] = LiveModel.of(model)
    return live[which].text


def _names(given: object) -> tuple[str, ...]:
    """Return names: an element of a list is one, a text is a list as on the command line."""
    if isinstance(given, str):
        return flat_names([given])
    values = cast("Sequence[object]", given if isinstance(given, list | tuple) else [given])
    for value in values:
        if not isinstance(value, str):
            raise DormantError(
                "tasks and transforms are given by name, so that a run can be resumed, and this "
                f"is a {type(value).__name__}: register it (dormant.extend) and give its name"
            )
    return tuple(dict.fromkeys(str(value).strip() for value in values))


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
    "plan",
    "recover",
    "serve",
]
