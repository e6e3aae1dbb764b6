"""Watching a text while a model writes it, and ending it early."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias

Watch: TypeAlias = Callable[[int, Sequence[int]], bool]
"""Told a request's place among those of its call, and all tokens written for it so far, after each
one; says whether to go on. Where work is done anew, a text begins anew."""


class Ended(Exception):
    """A text that is watched is to go no further.

    Attributes:
        written: Its tokens.
    """

    def __init__(self, written: Sequence[int]) -> None:
        super().__init__()
        self.written = list(written)


class Streamer:
    """Hands on what Transformers' `generate` tells of one text.

    Args:
        watch: Told all tokens so far; says whether to go on.
    """

    def __init__(self, watch: Callable[[Sequence[int]], bool]) -> None:
        self._watch = watch
        self._written: list[int] | None = None

    def put(self, value: Any) -> None:
        """Take the prompt first, and then each token.

        Raises:
            Ended: The text is to go no further.
        """
        if self._written is None:
            self._written = []
            return
        written = [*self._written, *value.flatten().tolist()]
        self._written = written
        if not self._watch(written):
            raise Ended(written)

    def end(self) -> None:
        """Do nothing: the whole text is returned."""


@contextlib.contextmanager
def watching(lm: Any, watch: Watch | None) -> Generator[None]:
    """Let a function watch what a model generates, where the model can tell.

    Args:
        lm: Any harness model; only Dormant's own (`dormant.scoring.scorer.FastLM`) tells.
        watch: The function.
    """
    if watch is None or not hasattr(lm, "watch"):
        yield
        return
    lm.watch = watch
    try:
        yield
    finally:
        lm.watch = None
