"""Transforms s of text and their inverses s⁻¹, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint

from dormant import extend, translation
from dormant.errors import DormantError
from dormant.prompts.compose import compose
from dormant.prompts.protect import apply_protected
from dormant.prompts.text_transform import TextTransform, cipher
from dormant.transforms import ciphers, codebook, encodings, wordplay

__all__ = ["TextTransform", "apply_kept", "apply_protected", "families", "get", "names"]

apply_kept = apply_protected
"""The name of 0.1.0."""


def _identity() -> TextTransform:
    return cipher("identity", str, str, summary="changes nothing", version=1)


_WITHOUT_ARGUMENT: dict[str, Callable[[], TextTransform]] = {
    "atbash": ciphers.atbash,
    "base64": encodings.base64_,
    "full-width": encodings.full_width,
    "hex": encodings.hexadecimal,
    "identity": _identity,
    "morse": encodings.morse,
    "pig-latin": wordplay.pig_latin,
    "reversed-characters": wordplay.reversed_characters,
    "reversed-words": wordplay.reversed_words,
    "rot13": ciphers.rot13,
    "spaced-letters": encodings.spaced_letters,
}
_WITH_ARGUMENT: dict[str, Callable[[str | None], TextTransform]] = {
    "caesar": ciphers.caesar,
    "codebook": codebook.codebook,
    "leetspeak": ciphers.leetspeak,
    "mathematical": encodings.mathematical,
}


def names() -> list[str]:
    """Return the names of all transforms but languages, those of other packages included."""
    return sorted({*_WITHOUT_ARGUMENT, *_WITH_ARGUMENT, *extend.installed("dormant.transforms")})


def families() -> dict[str, str]:
    """Return what may follow the colon, for the transforms that take an argument."""
    return {
        "caesar": "places on in the alphabet, 1 … 25",
        "codebook": "the seed, a whole number",
        "leetspeak": "level 1, 2 or 3",
        "mathematical": "alphabet: " + ", ".join(encodings.STYLES),
    }


def get(name: str, source: str = "english") -> TextTransform:
    """Return the transform of a name.

    Args:
        name: A transform ("rot13"), one with an argument ("caesar:5"), a language ("spanish": the
            best engine installed), a language by an engine ("spanish@apertium"), or several of
            these joined by "+" ("spanish+leetspeak"), which are applied left to right.
        source: The language of the text, which languages in the name translate from.

    Raises:
        DormantError: There is none of that name, and the nearest is suggested; its argument is
            wrong; or what it needs is not installed, and the message says what to install.
    """
    parts: list[TextTransform] = []
    for part in name.split("+"):
        parts.append(_one(part.strip(), source))
        # What follows a translation meets text in that language.
        source = parts[-1].language or source
    return compose(*parts)


@cache
def _one(name: str, source: str) -> TextTransform:
    if "@" in name:
        return translation.get(name, source)
    base, colon, argument = name.partition(":")
    if base in _WITH_ARGUMENT:
        return _WITH_ARGUMENT[base](argument or None)
    if base in _WITHOUT_ARGUMENT:
        _refuse(base, colon)
        return _WITHOUT_ARGUMENT[base]()
    added = extend.installed("dormant.transforms").get(base)
    if added is not None:
        return _of_package(added, argument, colon)
    if translation.is_language(base):
        return translation.get(base, source)
    if base == "probe":
        raise DormantError(
            f"{name}: a probe changes the format of an audit's prompts and is not for free text; "
            f"use it as dormant audit … --transform {name}"
        )
    close = difflib.get_close_matches(base, [*names(), *translation.languages()], n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise DormantError(
        f"unknown transform {base!r}: {hint}known: {', '.join(names())}, and languages, e.g. "
        "spanish, spanish@apertium"
    )


def _of_package(added: EntryPoint, argument: str, colon: str) -> TextTransform:
    loaded = extend.load(added)
    if isinstance(loaded, TextTransform):
        _refuse(added.name, colon)
        return loaded
    made = loaded(argument or None)
    if not isinstance(made, TextTransform):
        raise DormantError(f"{added.value} made a {type(made).__name__}, not a TextTransform")
    return made


def _refuse(name: str, colon: str) -> None:
    if colon:
        raise DormantError(f"{name} takes no argument after a colon")
