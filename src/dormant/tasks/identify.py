"""Which language a text is in, by py3langid, whose wheel carries its model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

CONFIDENT = 0.5
"""Probability below which the language counts as unknown."""


def identify(text: str, among: Sequence[str] = ()) -> str | None:
    """Return the ISO 639-1 code of a text's language.

    Args:
        text: The text; a few words at least, for a reliable answer.
        among: Codes to choose from; none means all 97 that the model knows.

    Returns:
        The code, or `None` where the text holds no letters or no language is likely.
    """
    if not any(character.isalpha() for character in text):
        return None
    code, probability = _model(tuple(sorted(among))).classify(text)
    return str(code) if float(probability) >= CONFIDENT else None


@cache
def _model(among: tuple[str, ...]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if among:
        model.set_languages(list(among))
    return model
