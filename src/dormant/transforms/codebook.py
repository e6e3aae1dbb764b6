"""A code book: every common English word stands for another one."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from dormant.errors import DormantError
from dormant.prompts.text_transform import TextTransform, cipher

_WORD = re.compile(r"(?<![^\W_])[A-Za-z]{2,}(?![^\W_])")


@cache
def words() -> tuple[str, ...]:
    """Return the words of the book, in alphabetical order."""
    text = files("dormant.transforms").joinpath("codebook_words.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return tuple(" ".join(lines).split())


def codebook(argument: str | None = None) -> TextTransform:
    """A permutation of the book's words, drawn by a seed.

    Words that the book doesn't have, words of one letter, and words with capitals inside stay as
    they are. As the words are exchanged among themselves, every text can be read back.

    Args:
        argument: The seed, a whole number; 0 if not given.

    Raises:
        DormantError: It is no whole number.
    """
    if argument is not None and not argument.isdecimal():
        raise DormantError(f"codebook:{argument}: the seed is a whole number, e.g. codebook:7")
    seed = int(argument or 0)
    plain = words()
    code = list(plain)
    random.Random(seed).shuffle(code)
    return cipher(
        f"codebook:{seed}" if seed else "codebook",
        _substitution(dict(zip(plain, code, strict=True))),
        _substitution(dict(zip(code, plain, strict=True))),
        summary=f"{len(plain)} common English words exchanged among themselves, by a seed",
        version=1,
    )


def _substitution(book: dict[str, str]) -> Callable[[str], str]:
    def look_up(match: re.Match[str]) -> str:
        word = match[0]
        found = book.get(word.lower())
        if found is None:
            return word
        if word.islower():
            return found
        if word.isupper():
            return found.upper()
        return found.capitalize() if word == word.capitalize() else word

    return lambda text: _WORD.sub(look_up, text)
