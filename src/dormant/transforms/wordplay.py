"""Word games: pig latin, reversed words, reversed characters."""

from __future__ import annotations

import re
from collections.abc import Callable

import regex

from dormant.prompts.text_transform import TextTransform, cipher

MARK = "·"
"""Written where a word could not be read back otherwise; texts that hold it are out of domain."""

_VOWELS = frozenset("aeiouáàâäãåāăąæéèêëēęěíìîïīıóòôöõøōőœúùûüūůű")
_WORD = re.compile(rf"[^\W\d_]+(?:{MARK}[^\W\d_]+)?|{MARK}[^\W\d_]+")
_ONSET_LIST = (
    "b c d f g h j k l m n p q r s t v w x y z bl br ch chr cl cr dr dw fl fr gh gl gn gr kn kr "
    "ph phl phr pl pr ps qu rh sc sch scr sh shr sk sl sm sn sp sph spl spr squ st str sw th thr "
    "tr tw vl vr wh wr zw cs cz dz dzs gy ly ny sz ty zs ll ñ ç kl kw sj tj"
)
# The clusters that words begin with; reading back takes the longest that fits.
_BETWEEN = re.compile(r"(\s+)")
_CLUSTER = regex.compile(r"\X")
_ONSETS = frozenset(_ONSET_LIST.split())


def _shape(word: str, like: str) -> str:
    """Give `word` the capitals of `like`: all, the first, or none."""
    if len(like) > 1 and like.isupper():
        return word.upper()
    if like[:1].isupper():
        return word[:1].upper() + word[1:].lower()
    return word


def _split(word: str) -> tuple[str, str]:
    """Split a word into the consonants it begins with and the rest."""
    lower = word.lower()
    for index, letter in enumerate(lower):
        if letter in _VOWELS or (letter == "y" and index > 0):
            if letter == "u" and index > 0 and lower[index - 1] == "q":
                continue
            return word[:index], word[index:]
    return "", word


def _read(word: str) -> str | None:
    """Read an unmarked pig-latin word back, or return `None` if it is none."""
    lower = word.lower()
    if not lower.endswith("ay") or len(lower) < 3:
        return None
    if lower.endswith("yay") and len(lower) > 3:
        return word[:-3]
    stem = word[:-2]
    for size in (3, 2, 1):
        head, tail = stem[: len(stem) - size], stem[len(stem) - size :]
        if head and len(tail) == size and tail.lower() in _ONSETS:
            return _shape(tail.lower() + head.lower(), word)
    return None


def _encode_word(word: str) -> str:
    onset, rest = _split(word)
    if onset:
        # A mark alone says that the word began with the y of "yay": "ellow·yay" is "yellow".
        candidates = [_shape(f"{rest}{mark}{onset}ay".lower(), word) for mark in ("", MARK)]
    else:
        ending = "YAY" if len(word) > 1 and word.isupper() else "yay"
        candidates = [word + ending]
    for candidate in candidates:
        if _decode(candidate) == word:
            return candidate
    return MARK + word


def _decode_word(word: str) -> str:
    if word.startswith(MARK):
        return word[1:]
    rest, mark, tail = word.partition(MARK)
    if not mark:
        return _read(word) or word
    return _shape(f"{tail[:-2]}{rest}".lower(), rest if len(rest) > 1 else word)


def _encode(text: str) -> str:
    return _WORD.sub(lambda match: _encode_word(match[0]), text)


def _decode(text: str) -> str:
    return _WORD.sub(lambda match: _decode_word(match[0]), text)


def pig_latin() -> TextTransform:
    """Pig latin that can be read back: "igpay atinlay".

    The consonants that begin a word move to its end and "ay" follows; a word that begins with a
    vowel gets "yay". Capitals stay with the first letter or the whole word. Where reading back
    would give another word, a middle dot stands before what was moved ("est·way" is "west", since
    "estway" reads "twes"), or before a word that is left as it is.
    """
    return cipher(
        "pig-latin",
        _encode,
        _decode,
        summary="consonants that begin a word move to its end, and 'ay' after them: igpay atinlay",
        version=2,
        in_domain=lambda text: MARK not in text,
        domain=f"it holds {MARK!r}",
    )


def reversed_words() -> TextTransform:
    """The words of every line in reverse order; what parts them moves along."""
    return _reversed("reversed-words", _BETWEEN.split, "the words of a line in reverse order")


def reversed_characters() -> TextTransform:
    """Every line backwards, by grapheme clusters, so that accents stay with their letters.

    The domain is what reads the same when turned round twice: nearly everything but lines that
    begin with a combining mark, and clusters that join up in the other order.
    """
    return _reversed("reversed-characters", _CLUSTER.findall, "every line spelt backwards")


def _reversed(name: str, split: Callable[[str], list[str]], summary: str) -> TextTransform:
    def turn(text: str) -> str:
        return "\n".join("".join(reversed(split(line))) for line in text.split("\n"))

    return cipher(
        name,
        turn,
        turn,
        summary=summary,
        version=1,
        in_domain=lambda text: turn(turn(text)) == text,
        domain="its characters join up in reverse order",
        whole_text=True,
    )
