"""Standard output for one writer alone."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Generator
from typing import TypeAlias

Write: TypeAlias = Callable[[str], None]


@contextlib.contextmanager
def standard_output() -> Generator[Write]:
    """Give standard output to one writer; what anybody else prints goes to standard error.

    Libraries print where they like, some of them from C.

    Yields:
        What writes a text, ASCII alone, whole and at once; raises `OSError` where nobody reads it.
    """
    stream = sys.stdout
    stream.flush()
    try:
        ours, others = stream.fileno(), sys.stderr.fileno()
    except (OSError, ValueError):  # Not files: a notebook, a test.
        with contextlib.redirect_stdout(sys.stderr):
            yield lambda text: _print(stream, text)
        return
    kept = os.dup(ours)
    try:
        os.dup2(others, ours)
        with contextlib.redirect_stdout(sys.stderr):
            yield lambda text: _write(kept, text.encode("ascii"))
    finally:
        # What was printed in between and is kept in the stream goes where it belongs.
        with contextlib.suppress(OSError):
            stream.flush()
        os.dup2(kept, ours)
        os.close(kept)


def _print(stream: io.TextIOBase | object, text: str) -> None:
    print(text, end="", file=stream, flush=True)  # type: ignore[arg-type]


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
