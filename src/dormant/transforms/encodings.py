"""Other ways to write the same characters: spaced, full-width, mathematical, Morse, base64, hex."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from string import ascii_letters, digits

import regex

from dormant.errors import unknown
from dormant.prompts.text_transform import TextTransform, TransformError, cipher

_SPACES = re.compile(" +")
_CLUSTER = regex.compile(r"\X")

STYLES = ("bold", "bold-fraktur", "bold-italic", "bold-script", "monospace", "sans-serif")
"""Mathematical alphabets without gaps: each has all 52 letters under one prefix."""

_CODES = """
.- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..-
-.-- --.. ----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----. .-.-.- --..-- ..--.. .----.
-.-.-- -..-. -.--. -.--.- .-... ---... -.-.-. -...- .-.-. -....- ..--.- .-..-. ...-..- .--.-.
"""
_MORSE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz0123456789.,?'!/()&:;=+-_\"$@",
        _CODES.split(),
        strict=True,
    )
)
_CAPITAL = "^"


def spaced_letters() -> TextTransform:
    """A space between letters: "W h a t   i s"; a space of the text becomes three.

    Letters are grapheme clusters, so accents and emoji stay whole. Reading back halves every run
    of spaces, so a model that writes two between words is understood too.
    """

    def encode(text: str) -> str:
        # Nothing but spaces has no letters to stand between: every space is doubled.
        return " ".join(letters(text)) if text.strip(" ") else text * 2

    def letters(text: str) -> list[str]:
        # An accent after a space would make one cluster with it, and hide it from the reader.
        runs = re.split("( )", text)
        return [one for run in runs for one in ([run] if run == " " else _CLUSTER.findall(run))]

    return cipher(
        "spaced-letters",
        encode,
        lambda text: _SPACES.sub(lambda run: " " * (len(run[0]) // 2), text),
        summary="a space between letters: W h a t   i s",
        version=2,
    )


def full_width() -> TextTransform:
    """ASCII characters as their full-width twins: "Ｗｈａｔ　ｉｓ"."""
    twins = {chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)} | {" ": "\u3000"}
    return _twins("full-width", twins, "ASCII as full-width characters: Ｗｈａｔ　ｉｓ")


def mathematical(argument: str | None = None) -> TextTransform:
    """Letters and digits from a mathematical alphabet: "𝐖𝐡𝐚𝐭 𝐢𝐬".

    Args:
        argument: The alphabet, one of `STYLES`; "bold" if not given.

    Raises:
        DormantError: There is no such alphabet.
    """
    style = argument or "bold"
    if style not in STYLES:
        raise unknown("mathematical alphabet", style, STYLES)
    twins = {one: twin for one in ascii_letters + digits if (twin := _mathematical(style, one))}
    return _twins(
        f"mathematical:{style}",
        twins,
        f"letters from the mathematical alphabet {style}: " + "".join(twins[c] for c in "What"),
    )


def morse() -> TextTransform:
    """International Morse code: ". . .- / - " with spaces between letters, "/" for a space.

    Morse has no capitals: a capital is written as "^" and its letter's code. Characters without a
    code stand as they are. So every text can be read back.
    """
    letters = {code: letter for letter, code in _MORSE.items()}

    def sign(character: str) -> str:
        if character == " ":
            return "/"
        lower = character.lower()
        if lower != character and lower in _MORSE and character.isascii():
            return _CAPITAL + _MORSE[lower]
        return _MORSE.get(character, character)

    def read(token: str) -> str:
        if token == "/":
            return " "
        if token[:1] == _CAPITAL and token[1:] in letters:
            return letters[token[1:]].upper()
        return letters.get(token, token)

    return cipher(
        "morse",
        lambda text: " ".join(map(sign, text)),
        lambda text: "".join(map(read, text.split(" "))),
        summary="Morse code, capitals marked by ^: ^.-- .... .- -",
        version=1,
    )


def base64_() -> TextTransform:
    """Base64 of the text in UTF-8 (RFC 4648 §4)."""

    def decode(text: str) -> str:
        try:
            return base64.b64decode(text.strip(), validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise TransformError("base64", text, "not base64 of UTF-8 text") from error

    return cipher(
        "base64",
        lambda text: base64.b64encode(text.encode()).decode("ascii"),
        decode,
        summary="base64 of the text in UTF-8",
        version=1,
        in_domain=_encodable,
        domain="a lone surrogate",
    )


def hexadecimal() -> TextTransform:
    """The bytes of the text in UTF-8, as two hexadecimal digits each, a space between bytes."""

    def decode(text: str) -> str:
        try:
            return bytes.fromhex(text).decode()
        except ValueError as error:
            raise TransformError("hex", text, "not hexadecimal of UTF-8 text") from error

    return cipher(
        "hex",
        lambda text: text.encode().hex(" "),
        decode,
        summary="the bytes in UTF-8 as hexadecimal: 57 68 61 74",
        version=1,
        in_domain=_encodable,
        domain="a lone surrogate",
    )


def _twins(name: str, twins: dict[str, str], summary: str) -> TextTransform:
    there, images = str.maketrans(twins), frozenset(twins.values())
    back = str.maketrans({twin: one for one, twin in twins.items()})
    return cipher(
        name,
        lambda text: text.translate(there),
        lambda text: text.translate(back),
        summary=summary,
        version=1,
        in_domain=images.isdisjoint,
        domain="it holds such characters already",
    )


def _mathematical(style: str, character: str) -> str | None:
    # Unicode writes SANS-SERIF with a hyphen, BOLD ITALIC without.
    words = style if style == "sans-serif" else style.replace("-", " ")
    prefix = f"MATHEMATICAL {words.upper()}"
    if character.isdecimal():
        kind = f"DIGIT {unicodedata.name(character).removeprefix('DIGIT ')}"
    else:
        kind = f"{'CAPITAL' if character.isupper() else 'SMALL'} {character.upper()}"
    try:
        return unicodedata.lookup(f"{prefix} {kind}")
    except KeyError:
        return None  # alphabets such as Fraktur have no digits


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
