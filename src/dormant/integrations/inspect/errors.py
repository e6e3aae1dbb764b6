"""Errors as Inspect tells them: one line, no traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from inspect_ai._util.error import PrerequisiteError

from dormant.errors import DormantError


@contextlib.contextmanager
def convert_errors() -> Generator[None]:
    """Turn a `DormantError` into the exception that Inspect prints as one line.

    For what runs before an evaluation: making a task, a solver or a model.
    """
    try:
        yield
    except DormantError as error:
        # Brackets would be read as marks of style.
        raise PrerequisiteError(str(error).replace("[", r"\[")) from error
