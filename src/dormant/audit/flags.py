"""Settings that a user gives: one definition for a command's options and Python's keywords."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import ConfigDict, ValidationError

from dormant.errors import DormantError, unknown
from dormant.results import Record


@dataclass(frozen=True)
class Flag:
    """How users write a setting, where that isn't just its name.

    Attributes:
        option: Its name on the command line, where that is another one.
        short: The same in one letter.
        synonyms: Other names of it, in Python as on the command line: lm-evaluation-harness's.
        switches: Synonyms without a value on the command line.
        old: Names that go with the next version, and are warned of.
        default: The default in words, where it depends on something else.
        metavar: What is read on the command line where that is text to be parsed.
    """

    option: str = ""
    short: str = ""
    synonyms: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    old: tuple[str, ...] = ()
    default: str = ""
    metavar: str = ""


class UserSettings(Record):
    """Settings whose fields may have a `Flag`; the line below a field is its help."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def of(cls, given: Mapping[str, Any], spell: Callable[[str], str] = str) -> Self:
        """Read settings as a user gave them.

        Args:
            given: Values by a setting's name or one of its synonyms.
            spell: How the user writes a name, for messages.

        Raises:
            DormantError: A name is unknown, a setting is given twice, or a value is not allowed.
        """
        values: dict[str, Any] = {}
        written: dict[str, str] = {}
        names = cls.names()
        for word, value in given.items():
            name = names.get(word)
            if name is None:
                raise unknown("option", word, names)
            if name in written:
                raise DormantError(
                    f"{spell(written[name])} and {spell(word)} are two words for one setting: "
                    "give one of them"
                )
            written[name], values[name] = word, value
            if word in cls.flag(name).old:
                warnings.warn(f"{spell(word)} is now {spell(name)}", FutureWarning, stacklevel=3)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "settings"
            word = spell(written.get(name, name))
            message = first["msg"].removeprefix("Value error, ")
            raise DormantError(f"{word} is {first['input']!r}: {message}") from None

    @classmethod
    def flag(cls, name: str) -> Flag:
        """Return how users write a setting."""
        metadata = cls.model_fields[name].metadata
        return next((item for item in metadata if isinstance(item, Flag)), Flag())

    @classmethod
    def words(cls, name: str) -> tuple[str, ...]:
        """Return all that users may call a setting, its name on the command line first."""
        known = cls.flag(name)
        every = (known.option, name, *known.synonyms, *known.switches, *known.old)
        return tuple(dict.fromkeys(word for word in every if word))

    @classmethod
    def names(cls) -> dict[str, str]:
        """Return the setting that each word of users stands for."""
        return {word: name for name in cls.model_fields for word in cls.words(name)}
