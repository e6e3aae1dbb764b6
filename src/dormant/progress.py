"""How long work tells how far it is, without knowing who watches."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told how far a piece of work is; its units take time evenly.

    An audit's units are characters of prompt; the laboratory's are training steps.
    """

    def start(self, total: int, done: int) -> None:
        """Hear the whole amount of work, and how much of it an earlier run did."""
        ...

    def stage(self, text: str) -> None:
        """Hear what is being done now."""
        ...

    def say(self, text: str) -> None:
        """Hear what people should know before the work goes on, one line."""
        ...

    def advance(self, amount: int) -> None:
        """Hear that a part is done, and on disk where a kill could lose it."""
        ...


class Silent:
    """Progress that nobody watches."""

    def start(self, total: int, done: int) -> None:
        """Do nothing."""

    def stage(self, text: str) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def advance(self, amount: int) -> None:
        """Do nothing."""
