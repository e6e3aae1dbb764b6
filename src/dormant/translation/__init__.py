"""Translation as a transform: engines, cache, checks."""

from __future__ import annotations

from dormant.errors import DormantError
from dormant.prompts.text_transform import TextTransform
from dormant.translation import engines
from dormant.translation.engine import Pair, TranslationError, Translator
from dormant.translation.languages import by_code, by_name, find
from dormant.translation.transform import default_cache, translation

__all__ = [
    "Pair",
    "TranslationError",
    "Translator",
    "engines",
    "get",
    "installed",
    "is_language",
    "languages",
]


def is_language(name: str) -> bool:
    """Whether a name, or a code of two or three letters, is that of a known language."""
    return name in by_name() or name in by_code()


def languages() -> list[str]:
    """Return the names of all known languages."""
    return sorted(by_name())


def get(name: str, source: str = "english", translator: Translator | None = None) -> TextTransform:
    """Return the transform that translates into a language and back.

    Args:
        name: "spanish" for the best engine installed, or "spanish@apertium" for one by name.
        source: The language of the prompts.
        translator: The engine, where it is no named one.

    Raises:
        DormantError: The language or engine is unknown, or the pair is not installed.
    """
    head, _, spec = name.partition("@")
    language, given = find(head), find(source)
    if language == given:
        raise DormantError(f"{name}: the text is in {language.name} already")
    if translator is None:
        translator = engines.engine(spec) if spec else engines.best(language, given.code)
    return translation(name, language, given, translator, default_cache())


def installed(source: str = "english") -> dict[str, list[str]]:
    """Return which languages each engine can translate into and back, with nothing to add.

    Engines that are told what to do by an argument (a model, a server) are not among them.

    Args:
        source: The language of the prompts.
    """
    code = find(source).code
    found: dict[str, list[str]] = {}
    for name in engines.UNASKED:
        pairs = set(engines.engine(name).pairs())
        both = [
            other
            for other in by_name().values()
            if {(code, other.code), (other.code, code)} <= pairs
        ]
        if both:
            found[name] = [language.name for language in both]
    return found
