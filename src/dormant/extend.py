"""How other packages add to Dormant: entry points, read when a name is asked for.

A package names its additions in its ``pyproject.toml``::

    [project.entry-points."dormant.transforms"]
    shout = "my_package:shout"

The groups, and what an entry point must be:

- ``dormant.transforms``: a `dormant.transforms.TextTransform`, or a function of one optional
  argument (what follows the colon in ``NAME:ARGUMENT``) that returns one;
- ``dormant.translators``: a function of one optional argument (what follows the colon in
  ``LANGUAGE@NAME:ARGUMENT``) that returns a `dormant.translation.Translator`;
- ``dormant.tasks``: a function without arguments that returns a `dormant.tasks.Task`;
- ``dormant.treatments``: a function of `dormant.recovery.treatment.Given` that yields changes of
  weights, configured by its keyword arguments.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeAlias

from dormant.errors import DormantError

Group: TypeAlias = Literal[
    "dormant.transforms", "dormant.translators", "dormant.tasks", "dormant.treatments"
]


def installed(group: Group) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, without importing any of them.

    Where two packages use one name, the alphabetically first package has it.

    Args:
        group: What is added.
    """
    found = sorted(entry_points(group=group), key=lambda one: (one.name, _package(one)))
    return {one.name: one for one in reversed(found)}


def load(entry: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises:
        DormantError: It can't be imported; the package at fault is named.
    """
    try:
        return entry.load()
    except Exception as error:  # whatever a another package's module does when it is imported
        raise DormantError(
            f"{entry.name} of package {_package(entry)} can't be loaded ({entry.value}): "
            f"{type(error).__name__}: {error}"
        ) from error


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "?"
