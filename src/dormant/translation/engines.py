"""The engines by name, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeAlias

from dormant import extend
from dormant.errors import DormantError, unknown
from dormant.translation import apertium, ctranslate, huggingface, language_model
from dormant.translation.engine import Translator
from dormant.translation.languages import Language

Factory: TypeAlias = Callable[[str | None], Translator]


def _apertium(argument: str | None) -> Translator:
    return apertium.Apertium(Path(argument)) if argument else apertium.Apertium()


def _argos(argument: str | None) -> Translator:
    directory = Path(argument).expanduser() if argument else ctranslate.default_directory()
    if argument and not directory.is_dir():
        raise DormantError(f"argos:{argument}: no such directory")
    return ctranslate.Argos(directory)


def _hf(argument: str | None) -> Translator:
    return huggingface.HuggingFace(argument) if argument else huggingface.HuggingFace()


_BUILT_IN: dict[str, Factory] = {
    "argos": _argos,
    "apertium": _apertium,
    "hf": _hf,
    "openai": language_model.server,
}
UNASKED = ("argos", "apertium")
"""What is taken where no engine is named, best first: neural before rules, and nothing that would
download a model or send text to a server unasked."""


def names() -> list[str]:
    """Return the names of all engines, those of other packages included."""
    return sorted({*_BUILT_IN, *extend.installed("dormant.translators")})


@cache
def engine(spec: str) -> Translator:
    """Return the engine of a name with or without an argument; the same one every time.

    Args:
        spec: E.g. "apertium", "argos:DIRECTORY", "hf:facebook/nllb-200-distilled-600M".

    Raises:
        DormantError: There is no such engine, or it can't be set up.
    """
    name, _, argument = spec.partition(":")
    factory: Factory | None = _BUILT_IN.get(name)
    if factory is None:
        added = extend.installed("dormant.translators").get(name)
        if added is None:
            raise unknown("translator", name, names())
        factory = extend.load(added)
        assert factory is not None
    return factory(argument or None)


def best(language: Language, source: str) -> Translator:
    """Return the best engine that can translate from `source` and back now.

    Args:
        language: The target.
        source: Code of the source language.

    Raises:
        DormantError: None can; the message says what to install.
    """
    wanted = {(source, language.code), (language.code, source)}
    for name in (*UNASKED, *sorted(extend.installed("dormant.translators"))):
        # An engine that needs an argument is none that runs unasked.
        with suppress(DormantError):
            found = engine(name)
            if wanted <= set(found.pairs()):
                return found
    raise DormantError(
        f"no translator for {language.name} is installed: {apertium.INSTALL}; or put an Argos "
        f"package into {ctranslate.default_directory()}; or name a model, e.g. "
        f"{language.name}@hf:facebook/nllb-200-distilled-600M"
    )
