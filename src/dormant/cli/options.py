"""The options of a command, made from the settings that they set."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
import typer

from dormant.audit.settings import AuditSettings, flag, words

_GIVEN_BY_ARGUMENTS = ("base", "tuned")


def option_of(word: str) -> str:
    """Return a setting as the command line writes it: "num_fewshot" is ``--num-fewshot``."""
    return f"--{word.replace('_', '-')}"


def underscores(name: str) -> str:
    """Let an option be written with underscores, as lm-evaluation-harness writes its own."""
    return name.replace("_", "-")


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every field of `AuditSettings`.

    Args:
        command: A command whose last parameter, ``**given``, gets the options that were given, by
            the words that `AuditSettings.of` takes.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    before = [parameter for parameter in own if parameter.name in _GIVEN_BY_ARGUMENTS]
    after = [
        parameter
        for parameter in own
        if parameter not in before and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    generated = [*_options()]
    names = [parameter.name for parameter in generated]

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        rest = {name: value for name, value in values.items() if name not in names}
        # What was not given is left to the settings' own defaults.
        given = {
            name: value
            for name in names
            if (value := values.get(name)) is not None and value is not False
        }
        command(**rest, **given)

    parameters = [*before, *generated, *after]
    wrapped.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapped


def _options() -> Iterator[inspect.Parameter]:
    for name in AuditSettings.model_fields:
        if name not in _GIVEN_BY_ARGUMENTS:
            for place, word in enumerate(words(name)):
                yield _option(word, name, hidden=place > 0)


def _option(word: str, name: str, *, hidden: bool) -> inspect.Parameter:
    """Make the parameter for one of a setting's words; the help shows the first one."""
    field, known = AuditSettings.model_fields[name], flag(name)
    kind = bool if word in known.switches else _read_as(name)
    default = known.default or _shown(field.get_default(call_default_factory=True))
    option: Any = typer.Option(
        option_of(word),
        *([known.short] if known.short and not hidden else []),
        help=f"{field.description} [default: {default}]" if default else field.description,
        hidden=hidden,
        show_default=False,
        metavar=known.metavar or None,
        **(_limits(name) if kind in (int, float) else {}),
    )
    return inspect.Parameter(
        word,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=False if kind is bool else None,
        annotation=Annotated[kind if kind is bool else kind | None, option],
    )


def _limits(name: str) -> dict[str, Any]:
    """Return a number's least and greatest value; the settings hold open bounds themselves."""
    limits: dict[str, Any] = {}
    for limit in AuditSettings.model_fields[name].metadata:
        if isinstance(limit, annotated_types.Ge):
            limits["min"] = limit.ge
        elif isinstance(limit, annotated_types.Le):
            limits["max"] = limit.le
    return limits


def _read_as(name: str) -> Any:
    """Return the type as which the command line reads a setting; the settings check the rest."""
    if flag(name).metavar:
        return str
    annotation = AuditSettings.model_fields[name].annotation
    if get_origin(annotation) is tuple:
        return list[str]
    if get_origin(annotation) is Literal:
        return annotation
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    return kinds[0] if kinds else annotation


def _shown(default: object) -> str:
    """Write a default for the help; nothing where there is none to tell."""
    if default is None or default is False or default in ((), {}):
        return ""
    return ", ".join(default) if isinstance(default, tuple) else str(default)
