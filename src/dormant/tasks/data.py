"""Task data: one TOML file a language, with errors that name file and line."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, cast

from dormant.errors import DormantError, unknown

SHIPPED = Path(__file__).parent / "data"


@dataclass(frozen=True)
class DataFile:
    """A parsed TOML file that remembers where its values stand.

    Attributes:
        path: The file.
        text: Its text.
        values: Its contents.
    """

    path: Path
    text: str
    values: Mapping[str, Any]

    def line_of(self, *keys: str) -> int:
        """Return the line (from 1) on which the value under `keys` is set, or 1 if nowhere."""
        table, name = list(keys[:-1]), keys[-1]
        current: list[str] = []
        for number, line in enumerate(self.text.splitlines(), start=1):
            if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
                current = [part.strip().strip("\"'") for part in header[1].split(".")]
                if current == list(keys):
                    return number
            elif current == table and re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=", line):
                return number
        return 1

    def error(self, message: str, *keys: str) -> DormantError:
        """Return an error that points at the value under `keys`."""
        line = self.line_of(*keys) if keys else 1
        return DormantError(f"{self.path}:{line}: {message}")

    def string(self, *keys: str) -> str:
        """Return the non-empty string under `keys`.

        Raises:
            DormantError: It is missing, empty or not a string.
        """
        value = self._find(keys)
        if not isinstance(value, str) or not value.strip():
            raise self.error(f"{'.'.join(keys)} must be a non-empty string, not {value!r}", *keys)
        return value

    def template(self, fields: Collection[str], *keys: str) -> str:
        """Return the string under `keys`, in which each of the fields must stand once.

        Raises:
            DormantError: One doesn't, or there are other braces.
        """
        text = self.string(*keys)
        try:
            names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
        except ValueError:
            names = []  # a brace without its other
        if sorted(names) != sorted(fields):
            wanted = ", ".join(f"{{{name}}}" for name in fields)
            raise self.error(
                f"{'.'.join(keys)} must hold {wanted} once and no other braces: {text!r}", *keys
            )
        return text

    def strings(self, *keys: str) -> dict[str, str]:
        """Return the table of non-empty strings under `keys`."""
        return {name: self.string(*keys, name) for name in self.table(*keys)}

    def listed(self, *keys: str) -> tuple[str, ...]:
        """Return the non-empty list of non-empty strings under `keys`."""
        value = self._find(keys)
        if not isinstance(value, list) or not value:
            raise self.error(f"{'.'.join(keys)} must be a list of texts, not {value!r}", *keys)
        texts = cast("list[object]", value)
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise self.error(f"{'.'.join(keys)} must hold non-empty texts only", *keys)
        return tuple(map(str, texts))

    def pairs(self, *keys: str) -> dict[str, tuple[str, str]]:
        """Return the table of [input, output] pairs under `keys`."""
        by_name: dict[str, tuple[str, str]] = {}
        for name, value in self.table(*keys).items():
            match value:
                case [str(given), str(answer)] if given.strip() and answer.strip():
                    by_name[name] = (given, answer)
                case _:
                    raise self.error(
                        f'{".".join((*keys, name))} must be ["input", "output"], not {value!r}',
                        *keys,
                        name,
                    )
        return by_name

    def table(self, *keys: str) -> dict[str, Any]:
        """Return the non-empty table under `keys`."""
        value = self._find(keys)
        if not isinstance(value, dict) or not value:
            raise self.error(f"[{'.'.join(keys)}] must be a table with entries", *keys)
        return cast(dict[str, Any], value)

    def _find(self, keys: tuple[str, ...]) -> Any:
        value: Any = self.values
        for depth, key in enumerate(keys):
            if not isinstance(value, dict) or key not in value:
                raise self.error(f"missing {'.'.join(keys[: depth + 1])}", *keys[:depth])
            value = cast(dict[str, Any], value)[key]
        return value


@functools.cache
def read(path: Path) -> DataFile:
    """Read a TOML file.

    Raises:
        DormantError: The file can't be read, is not UTF-8, is empty, or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DormantError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise DormantError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise DormantError(f"{path}: can't be read: {error.strerror}") from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        line = re.search(r"at line (\d+)", message)
        where = line[1] if line else len(text.splitlines())
        raise DormantError(f"{path}:{where}: not valid TOML: {message}") from None
    if not values:
        raise DormantError(f"{path}:1: the file is empty")
    return DataFile(path, text, values)


def languages(folder: Path) -> tuple[str, ...]:
    """Return the names of the languages for which `folder` has a file, English first."""
    names = sorted(file.stem for file in folder.glob("*.toml"))
    return tuple(sorted(names, key=lambda name: name != "english"))


def language_file(folder: Path, language: str, keys: Collection[str] = ()) -> DataFile:
    """Return the data of `language` from `folder`.

    Args:
        folder: Where the files are, one a language.
        language: Which.
        keys: The top-level keys that the file may have; none means any.

    Raises:
        DormantError: There is no such file (the nearest name is suggested), or it has another key
            (the line is named).
    """
    known = languages(folder)
    if language not in known:
        raise unknown(f"language of {folder.name}", language, known)
    file = read(folder / f"{language}.toml")
    for key in file.values if keys else ():
        if key not in keys:
            raise file.error(str(unknown("key", key, keys)), key)
    return file
