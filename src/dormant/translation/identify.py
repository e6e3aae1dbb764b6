"""Which language a text is in, by py3langid, whose wheel carries its model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from dormant.errors import DormantError

CONFIDENT = 0.5
"""Probability below which the language counts as unknown."""


class Guess(NamedTuple):
    """A language, by its ISO 639-1 code, and the probability that a text is in it."""

    code: str
    probability: float


def identify(text: str, among: Sequence[str] = ()) -> str | None:
    """Return the ISO 639-1 code of a text's language.

    Args:
        text: The text; a few words at least, for a reliable answer.
        among: Codes to choose from; none means all 97 that the model knows.

    Returns:
        The code, or `None` where the text holds no letters or no language is likely.

    Raises:
        DormantError: py3langid is not installed.
    """
    if not any(character.isalpha() for character in text):
        return None
    likeliest = guess(text, among)
    return likeliest.code if likeliest.probability >= CONFIDENT else None


def guess(text: str, among: Sequence[str] = ()) -> Guess:
    """Return the likeliest language of any text, however unlikely it is.

    Args:
        text: The text.
        among: As of `identify`; with a code that the model doesn't know, all are compared.

    Raises:
        DormantError: py3langid is not installed.
    """
    code, probability = _model(tuple(sorted(among))).classify(text)
    return Guess(str(code), float(probability))


def probability(text: str, code: str) -> float:
    """Return how likely a text is in a language; 1 where the model doesn't know the language.

    Raises:
        DormantError: py3langid is not installed.
    """
    return next((float(p) for known, p in _model(()).rank(text) if known == code), 1.0)


@cache
def _model(among: tuple[str, ...]) -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise DormantError(
            "languages are identified by py3langid, which isn't installed: pip install py3langid"
        ) from error
    model: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if among and set(among) <= {str(code) for code, _ in model.rank("a")}:
        model.set_languages(list(among))
    return model
