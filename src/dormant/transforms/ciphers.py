"""Substitutions of single letters: leetspeak, Caesar's cipher, Atbash."""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase

from dormant.errors import DormantError
from dormant.prompts.text_transform import TextTransform, cipher

_ESCAPE = "\\"
_LEVELS = {
    # Capitals have signs of their own, so that the way back knows them.
    1: dict(zip("aeioAEIO", "4310@€|Ø", strict=True)),
    2: dict(zip("aeiostAEIOST", "431057@€|Ø$†", strict=True)),
    3: dict(zip("aeiostbglzAEIOSTBGLZ", "43105789!2@€|Ø$†ß6£%", strict=True)),
}
_DEFAULT_LEVEL = 2


def leetspeak(argument: str | None = None) -> TextTransform:
    r"""Letters as look-alike signs: "Wh47 15 7h15?".

    A sign that stands in the text already, or a backslash, gets a backslash before it, so every
    text can be read back. Numbers are usually protected spans, and then stand as they are.

    Args:
        argument: The level, "1" (vowels), "2" (the paper's: s and t too) or "3" (b, g, l, z too).

    Raises:
        DormantError: There is no such level.
    """
    level = _number("leetspeak", argument, _DEFAULT_LEVEL, 1, len(_LEVELS))
    signs = _LEVELS[level]
    letters = {sign: letter for letter, sign in signs.items()}
    special = "".join(map(re.escape, letters))
    escape = re.compile(rf"[{special}\\]")
    reading = re.compile(rf"\\(.)|[{special}]", re.DOTALL)
    table = str.maketrans(signs)

    def encode(text: str) -> str:
        return escape.sub(lambda match: _ESCAPE + match[0], text).translate(table)

    def decode(text: str) -> str:
        return reading.sub(lambda match: match[1] or letters[match[0]], text)

    return cipher(
        "leetspeak" if level == _DEFAULT_LEVEL else f"leetspeak:{level}",
        encode,
        decode,
        summary="letters as look-alike signs: wh47 15 7h15; signs already there get a backslash",
        version=1,
    )


def caesar(argument: str | None = None) -> TextTransform:
    """Every Latin letter a number of places on in the alphabet.

    Args:
        argument: The number of places, 1 … 25; 3 (Caesar's own) if not given.

    Raises:
        DormantError: It is no number in that range.
    """
    places = _number("caesar", argument, 3, 1, 25)
    return _letters(
        f"caesar:{places}",
        ascii_lowercase[places:] + ascii_lowercase[:places],
        f"every Latin letter {places} places on in the alphabet",
    )


def rot13() -> TextTransform:
    """Caesar's cipher with 13 places, which is its own inverse."""
    return _letters(
        "rot13",
        ascii_lowercase[13:] + ascii_lowercase[:13],
        "every Latin letter 13 places on in the alphabet",
    )


def atbash() -> TextTransform:
    """The alphabet backwards, which is its own inverse."""
    return _letters("atbash", ascii_lowercase[::-1], "the alphabet backwards: a is z, b is y")


def _letters(name: str, image: str, summary: str) -> TextTransform:
    """The permutation of Latin letters that takes the alphabet to `image`."""
    there = str.maketrans(ascii_lowercase + ascii_uppercase, image + image.upper())
    back = str.maketrans(image + image.upper(), ascii_lowercase + ascii_uppercase)
    return cipher(
        name,
        lambda text: text.translate(there),
        lambda text: text.translate(back),
        summary=summary,
        version=1,
    )


def _number(name: str, argument: str | None, default: int, low: int, high: int) -> int:
    if argument is None:
        return default
    if not argument.isdecimal() or not low <= int(argument) <= high:
        raise DormantError(
            f"{name}:{argument}: give a whole number from {low} to {high}, e.g. {name}:{default}"
        )
    return int(argument)
