"""The one exception that users see: what went wrong, where, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable


class DormantError(Exception):
    """Bad input, in one line.

    The command line prints it without a traceback and exits with code 2. Raise it where the
    cause is known; say what was given, where (file and line, if a file), and what to do.
    """


class Terminated(BaseException):
    """SIGTERM, as an exception: whatever cleans up after Ctrl-C cleans up after it too."""


def unknown(kind: str, name: str, known: Iterable[str]) -> DormantError:
    """An error for a name that is not among the `known` ones, suggesting the nearest.

    Args:
        kind: What the name should have been, for the message: "task", "transform", …
        name: The name given.
        known: The names that would have been accepted.

    Returns:
        The error, to be raised by the caller.
    """
    import difflib  # for mistakes alone

    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return DormantError(f"unknown {kind} {name!r}: {hint}known: {', '.join(names) or 'none'}")


def one_line(error: BaseException | str, limit: int = 240) -> str:
    """Return what an error says as one line of at most `limit` characters.

    Args:
        error: The error, whose type's name is taken where it says nothing, or its text.
        limit: Characters.
    """
    text = " ".join(str(error).split())
    return text[:limit] or type(error).__name__
