"""Things to write about, as the object of "describe", for the abilities that ask for a text."""

from __future__ import annotations

from functools import cache

from dormant.tasks import data
from dormant.tasks.everyday.ability import ROOT

FOLDER = ROOT / "topics"
_KEYS = {"language", "code", "version", "origin", "topics"}


@cache
def topics(language: str) -> dict[str, str]:
    """Return the topics of a language by key.

    Raises:
        DormantError: An unknown language, or a malformed file (named with its line).
    """
    return data.language_file(FOLDER, language, _KEYS).strings("topics")
