"""Reading what a model said: without its thinking, folded, its first paragraph, its JSON."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_OPENED_BEFORE = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_SHORT = 3
_APART = re.compile(r"[\W_]+")
_FENCE = re.compile(r"```[\w-]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)


def without_thinking(text: str) -> str:
    """Return an answer without what was thought aloud before it.

    A block that the prompt's template opened ends in the answer; one that doesn't end is all of it.
    """
    return _OPENED_BEFORE.sub("", _THOUGHT.sub("", text))


def paragraph(text: str) -> str:
    """Return the first paragraph of a text."""
    return re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0].strip()


def folded(text: str) -> str:
    """Return a text's words in lower case, without accents, with one space between them."""
    plain = unicodedata.normalize("NFD", text.casefold())
    letters = "".join(c for c in plain if not unicodedata.combining(c))
    return _APART.sub(" ", letters).strip()


def says(text: str, wanted: str, *, suffixes: bool = False) -> bool:
    """Whether a text holds some words, accents and letter case aside.

    Of a word of three letters or less, accents count and it may not go on: Hungarian "ón" (tin) is
    neither "on" nor the beginning of "önnel".

    Args:
        text: What was said.
        wanted: The words.
        suffixes: Whether the last of them may go on, as words do in Hungarian.
    """
    if len(wanted) <= _SHORT:
        return bool(re.search(rf"\b{re.escape(wanted.casefold())}\b", text.casefold()))
    words = folded(wanted)
    end = r"\w*" if suffixes and not words[-1:].isdigit() else ""
    return bool(words) and bool(re.search(rf"\b{re.escape(words)}{end}\b", folded(text)))


def unfenced(text: str) -> str:
    """Return what stands in a Markdown fence, or the text where there is none."""
    match = _FENCE.search(text)
    return (match[1] if match else text).strip()


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost JSON objects in a text, in order."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except ValueError:
            end = start + 1
        except RecursionError:
            return
        else:
            if isinstance(value, dict):
                yield value
        start = text.find("{", end)
