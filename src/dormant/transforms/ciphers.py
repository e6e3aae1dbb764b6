"""Substitutions of single letters: leetspeak, rot13."""

from __future__ import annotations

import codecs
import re

from dormant.transforms.text import TextTransform, each, everywhere

_LEET = dict(zip("aeiostAEIOST", "4310574310574"[:6] + "@€|Ø$†", strict=True))
_LETTERS = {sign: letter for letter, sign in _LEET.items()}
_ESCAPE = "\\"
_SPECIAL = re.compile(f"[{re.escape(''.join(_LETTERS))}{re.escape(_ESCAPE)}]")


def _to_leet(text: str) -> str:
    escaped = _SPECIAL.sub(lambda match: _ESCAPE + match[0], text)
    return "".join(_LEET.get(letter, letter) for letter in escaped)


def _from_leet(text: str) -> str:
    def read(match: re.Match[str]) -> str:
        return match[1] if match[1] is not None else _LETTERS[match[0]]

    signs = re.escape("".join(_LETTERS))
    return re.sub(rf"\\(.)|[{signs}]", read, text, flags=re.DOTALL)


LEETSPEAK = TextTransform(
    name="leetspeak",
    apply_batch=each(_to_leet),
    invert_batch=each(_from_leet),
    in_domain=everywhere,
    exact=True,
    signature="leetspeak-1",
    summary="letters as look-alike signs: wh47 15 7h15; signs already there get a backslash",
)

ROT13 = TextTransform(
    name="rot13",
    apply_batch=each(lambda text: codecs.encode(text, "rot13")),
    invert_batch=each(lambda text: codecs.decode(text, "rot13")),
    in_domain=everywhere,
    exact=True,
    signature="rot13-1",
    summary="every Latin letter 13 places on",
)
