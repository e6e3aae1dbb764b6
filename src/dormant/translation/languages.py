"""Languages by name and code."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from dormant.errors import unknown


@dataclass(frozen=True)
class Language:
    """A natural language.

    Attributes:
        name: In English, lower case: "spanish".
        code: ISO 639-1, or 639-3 where there is none: "es". As py3langid reports it.
        iso3: ISO 639-3: "spa".
        flores: FLORES-200 code, which NLLB models take: "spa_Latn"; `None` if it has none.
    """

    name: str
    code: str
    iso3: str
    flores: str | None = None


@cache
def by_name() -> dict[str, Language]:
    """Return all known languages by name."""
    text = files("dormant.translation").joinpath("languages.toml").read_text(encoding="utf-8")
    return {name: Language(name, **row) for name, row in tomllib.loads(text).items()}


@cache
def by_code() -> dict[str, Language]:
    """Return all known languages by either code."""
    both = {one.iso3: one for one in by_name().values()}
    return both | {one.code: one for one in by_name().values()}


def find(name: str) -> Language:
    """Return the language of a name or code.

    Raises:
        DormantError: There is none; the nearest name is suggested.
    """
    found = by_name().get(name.lower()) or by_code().get(name.lower())
    if found is None:
        raise unknown("language", name, by_name())
    return found
