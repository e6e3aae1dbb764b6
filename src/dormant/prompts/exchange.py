"""Free texts that a model reads under s, and s⁻¹ on what it writes after them, also bit by bit."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dormant.errors import DormantError
from dormant.prompts.conjugate import Conjugation, Undo
from dormant.prompts.layout import cut, labels, text_of, up_to


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A prompt, or the messages of a chat, under s.

    Attributes:
        texts: s of each text.
        stops: Where the model is to stop: s of `until`, as far as it can be rendered.
        until: Where the plain answer ends.
        undo: s⁻¹, for what the model writes.
    """

    texts: tuple[str, ...]
    stops: tuple[str, ...]
    until: tuple[str, ...]
    undo: Undo

    def answer(self, output: str) -> str:
        """Return s⁻¹ of what the model wrote, up to the first of `until`.

        Raises:
            DormantError: It can't be read back.
        """
        # The end may be one that s could not render, so no model has stopped there.
        return up_to(self.undo(output), self.until)


def exchange(s: Conjugation, texts: Sequence[str], until: Iterable[str] = ()) -> Exchange:
    """Put texts under s, field labels that repeat in them alike throughout.

    Args:
        s: The transform.
        texts: A prompt, or a chat's messages.
        until: Texts at which the plain answer ends.

    Raises:
        DormantError: A text is outside the domain of s, or can't be rendered.
    """
    known = labels(texts)
    parts = [cut(text, known) for text in texts]
    until = tuple(until)
    # One prompt: all words go to the transform together.
    segments, undo = s.conjugate([part for some in parts for part in some])
    images = iter(segments)
    return Exchange(
        texts=tuple(text_of(itertools.islice(images, len(some))) for some in parts),
        stops=tuple(s.stops(until, known)),
        until=until,
        undo=undo,
    )


class Streamed:
    """The answer of an exchange while the model is still writing.

    s⁻¹ reads line by line, so each line is undone once it has ended; under the identity nothing
    waits. What may be the beginning of a stop is held back until it is none. All pieces join to
    `Exchange.answer` of the whole output.

    Attributes:
        ended: Whether no more will come.
        cut: Whether that is since the answer has reached one of `Exchange.until`, or the model one
            of `Exchange.stops`.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.ended = self.cut = False
        self._exchange = exchange
        self._at_once = exchange.undo.transform.name == "identity"
        self._read = ""
        self._plain = ""
        self._given = 0

    def more(self, output: str) -> str:
        """Return what can be told by now and was not told before.

        Args:
            output: All that the model has written so far.

        Raises:
            DormantError: A line can't be read back.
        """
        if self._read.startswith(output):
            # Its writing has begun anew, where memory ran out.
            return ""
        sure = up_to(output, self._exchange.stops)
        stopped = len(sure) < len(output)
        if not stopped:
            sure = sure[: len(sure) - _held(sure, self._exchange.stops)]
        self._undo(sure, len(sure) if self._at_once or stopped else sure.rfind("\n") + 1)
        piece = self._piece(final=stopped)
        self.cut |= stopped
        return piece

    def rest(self, output: str) -> str:
        """Return what remains once the model has ended.

        Args:
            output: All that the model has written.

        Raises:
            DormantError: It can't be read back, or it isn't what was streamed.
        """
        self._undo(output, len(output))
        return self._piece(final=True)

    def _undo(self, output: str, end: int) -> None:
        if self.ended:
            return
        if not output.startswith(self._read):
            raise DormantError("the model has taken back what it had written: ask without stream")
        if end > len(self._read):
            self._plain += self._exchange.undo(output[len(self._read) : end])
            self._read = output[:end]

    def _piece(self, *, final: bool) -> str:
        until = self._exchange.until
        sure = up_to(self._plain, until)
        self.cut |= len(sure) < len(self._plain)
        self.ended = final or self.cut
        if not self.ended:
            sure = sure[: len(sure) - _held(sure, until)]
        piece = sure[self._given :]
        self._given += len(piece)
        return piece


def _held(text: str, stops: Iterable[str]) -> int:
    """Return how many characters at a text's end may be the beginning of a stop."""
    return max(
        (
            size
            for stop in stops
            for size in range(1, min(len(stop) - 1, len(text)) + 1)
            if text.endswith(stop[:size])
        ),
        default=0,
    )
