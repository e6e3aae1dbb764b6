"""Names as users write them: lists of transforms and tasks; models, in the names of directories."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ARGUMENT = re.compile(r"\s*[^+@:=]*=")
"""KEY=…: how an argument begins, and no name."""


def split_names(text: str) -> list[str]:
    """Split a list of names at its commas, but not inside the arguments of a translation engine.

    A comma ends a name, except before ``KEY=VALUE`` after a name with an engine (``@``): that is
    one more argument of the engine's model. So ``spanish@lm:hf:pretrained=X,dtype=float32,rot13``
    is two transforms.

    Args:
        text: The list.

    Returns:
        The names, without white space around them; empty ones are left out.
    """
    names: list[str] = []
    for part in text.split(","):
        if names and "@" in names[-1] and _ARGUMENT.match(part):
            names[-1] += f",{part.strip()}"
        elif part.strip():
            names.append(part.strip())
    return names


def flat_names(values: Iterable[str]) -> tuple[str, ...]:
    """Return all names of a repeated option, each of whose values is a list; each name once."""
    return tuple(dict.fromkeys(name for value in values for name in split_names(value)))


def in_file_names(name: str) -> str:
    """Return a model's name with what names of files can't hold replaced."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")
