"""Protected spans in the words of a neural translator, which would drop private-use characters."""

from __future__ import annotations

import re

_MARK = re.compile("[\ue000-\uf8ff]")


def spell_out(text: str) -> tuple[str, dict[str, str]]:
    """Put names such as "X1" in the place of private-use characters.

    Translators copy what looks like the name of a product. Names that the text holds already are
    left out.

    Args:
        text: The text with marks.

    Returns:
        The text with names, and the mark that each name stands for.
    """
    names: dict[str, str] = {}
    number = 0
    for mark in dict.fromkeys(_MARK.findall(text)):
        number += 1
        while f"X{number}" in text:
            number += 1
        names[f"X{number}"] = mark
    back = {mark: name for name, mark in names.items()}
    return _MARK.sub(lambda match: back[match[0]], text), names


def restore(translation: str, names: dict[str, str]) -> str:
    """Put the marks back in the place of their names; a name that was lost stays lost."""
    for name, mark in names.items():
        spelling = rf"(?<!\w){name[0]}[ \-]?{name[1:]}(?!\w)"
        translation = re.sub(spelling, mark, translation, flags=re.IGNORECASE)
    return translation
