"""Signs that a translation is none: empty, unchanged, in the wrong language, cut off."""

from __future__ import annotations

import re

from dormant.translation import identify

_WORD = re.compile(r"[^\W\d_]+")
_PRIVATE = re.compile("[\ue000-\uf8ff]")
# Languages that say in few characters what others say in many.
_DENSE = frozenset({"zh", "ja", "ko", "yue", "wuu"})

SURE = 0.99
"""Probability from which the identified language counts as certain."""
LONG_ENOUGH = 20
"""Letters below which the language of a text is not judged. With these two, none of 520 sentences
in four languages and of Apertium's 390 into three was held to be in another, and 108 to 129 of 130
English ones were caught (docs/transforms.md)."""


def problem(text: str, translation: str, source: str, target: str) -> str | None:
    """Return what is visibly wrong with a translation, or `None`.

    Args:
        text: What was to be translated, in language `source`.
        translation: What came out, which should be in language `target`.
        source: Code of a language.
        target: Code of a language.
    """
    if not translation.strip():
        return "its translation is empty"
    words = _WORD.findall(text)
    if len(words) >= 3 and text.split() == translation.split():
        return "it came back untranslated"
    given, made = _letters(text), _letters(translation)
    if given >= 40:
        dense = source in _DENSE or target in _DENSE
        if made < given * (0.1 if dense else 0.35):
            return f"its translation is cut off ({made} of {given} letters)"
        if made > given * (10 if dense else 4):
            return f"its translation runs on ({made} letters for {given})"
    return wrong_language(translation, source, target)


def wrong_language(translation: str, source: str, target: str) -> str | None:
    """Return a complaint if a text is certainly not in `target`.

    Near relatives (Galician and Portuguese) are told apart too seldom to be sure, so the verdict
    needs certainty: either that of {source, target} it is the source, or that it is some third
    language and the target all but impossible.
    """
    if _letters(translation) < LONG_ENOUGH:
        return None
    plain = _PRIVATE.sub(" ", translation)
    of_two, sure = identify.guess(plain, (source, target))
    if of_two == source and sure >= SURE:
        return f"its translation is still in {source!r}, not {target!r}"
    spoken, sure = identify.guess(plain, ())
    if spoken != target and sure >= SURE and identify.probability(plain, target) < 1e-6:
        return f"its translation is in {spoken!r}, not {target!r}"
    return None


def detected(text: str) -> str | None:
    """Return the code of the language that a text is all but certainly in, or `None`."""
    if _letters(text) < LONG_ENOUGH:
        return None
    code, sure = identify.guess(_PRIVATE.sub(" ", text), ())
    return code if sure >= SURE else None


def _letters(text: str) -> int:
    return sum(character.isalpha() for character in text)
