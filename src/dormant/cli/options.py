"""The options of a command, made from the settings that they set."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
import typer

from dormant.audit.flags import UserSettings


def option_of(word: str) -> str:
    """Return a setting as the command line writes it: "num_fewshot" is ``--num-fewshot``."""
    return f"--{word.replace('_', '-')}"


def underscores(name: str) -> str:
    """Let an option be written with underscores, as lm-evaluation-harness writes its own."""
    return name.replace("_", "-")


def takes_settings(
    kind: type[UserSettings],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for every field of some settings.

    Args:
        kind: The settings.

    Returns:
        What does so to a command whose last parameter, ``**given``, gets the options that were
        given, by the words that `UserSettings.of` takes. Fields that are parameters of its own, as
        models are, have none.
    """

    def taking(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        before = [parameter for parameter in own if parameter.name in kind.model_fields]
        generated = [*_options(kind, {parameter.name for parameter in before})]
        after = [
            parameter
            for parameter in own
            if parameter not in before and parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]

        @functools.wraps(command)
        def wrapped(**values: Any) -> None:
            # What was not given is left to the settings' own defaults.
            for parameter in generated:
                if values.get(parameter.name) in (None, parameter.default):
                    values.pop(parameter.name, None)
            command(**values)

        parameters = [*before, *generated, *after]
        wrapped.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapped

    return taking


def _options(kind: type[UserSettings], but: Collection[str]) -> Iterator[inspect.Parameter]:
    for name in kind.model_fields:
        if name not in but:
            for place, word in enumerate(kind.words(name)):
                yield _option(kind, word, name, hidden=place > 0)


def _option(kind: type[UserSettings], word: str, name: str, *, hidden: bool) -> inspect.Parameter:
    """Make the parameter for one of a setting's words; the help shows the first one."""
    field, known = kind.model_fields[name], kind.flag(name)
    read = bool if word in known.switches else _read_as(kind, name)
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    default = known.default or _shown(value)
    option: Any = typer.Option(
        option_of(word) if value is not True else f"{option_of(word)}/--no-{word}",
        *([known.short] if known.short and not hidden else []),
        help=f"{field.description} [default: {default}]" if default else field.description,
        hidden=hidden,
        show_default=False,
        metavar=known.metavar or None,
        **(_limits(kind, name) if read in (int, float) else {}),
    )
    return inspect.Parameter(
        word,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=value is True if read is bool else None,
        annotation=Annotated[read if read is bool else read | None, option],
    )


def _limits(kind: type[UserSettings], name: str) -> dict[str, Any]:
    """Return a number's least and greatest value; the settings hold open bounds themselves."""
    limits: dict[str, Any] = {}
    for limit in kind.model_fields[name].metadata:
        if isinstance(limit, annotated_types.Ge):
            limits["min"] = limit.ge
        elif isinstance(limit, annotated_types.Le):
            limits["max"] = limit.le
    return limits


def _read_as(kind: type[UserSettings], name: str) -> Any:
    """Return the type as which the command line reads a setting; the settings check the rest."""
    if kind.flag(name).metavar:
        return str
    annotation = kind.model_fields[name].annotation
    if get_origin(annotation) is tuple:
        return list[str]
    if get_origin(annotation) is Literal:
        return annotation
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    return kinds[0] if kinds else annotation


def _shown(default: object) -> str:
    """Write a default for the help; nothing where there is none to tell."""
    if default is None or isinstance(default, bool) or default in ((), {}):
        return ""
    return ", ".join(default) if isinstance(default, tuple) else str(default)
