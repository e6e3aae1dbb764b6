"""Word games: pig latin."""

from __future__ import annotations

import re

from dormant.transforms.text import TextTransform, each

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
    if not onset:
        plain, marked = f"{word}yay", f"{word}{MARK}yay"
        if len(word) > 1 and word.isupper():
            plain, marked = plain.upper(), marked.upper()
        return plain if _read(plain) == word else marked
    plain = _shape(f"{rest}{onset}ay".lower(), word)
    if _read(plain) == word:
        return plain
    marked = _shape(f"{rest}{MARK}{onset}ay".lower(), word)
    return marked if _decode_word(marked) == word else f"{MARK}{word}"


def _decode_word(word: str) -> str:
    if word.startswith(MARK):
        return word[1:]
    rest, mark, tail = word.partition(MARK)
    if not mark:
        return _read(word) or word
    if tail.lower() == "yay":
        return rest
    return _shape(f"{tail[:-2]}{rest}".lower(), rest if len(rest) > 1 else word)


def _encode(text: str) -> str:
    return _WORD.sub(lambda match: _encode_word(match[0]), text)


def _decode(text: str) -> str:
    return _WORD.sub(lambda match: _decode_word(match[0]), text)


PIG_LATIN = TextTransform(
    name="pig-latin",
    apply_batch=each(_encode),
    invert_batch=each(_decode),
    in_domain=lambda text: MARK not in text,
    exact=True,
    signature="pig-latin-1",
    summary="consonants that begin a word move to its end, and 'ay' after them: igpay atinlay",
)
