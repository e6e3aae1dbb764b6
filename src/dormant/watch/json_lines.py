"""Progress for other programs: one JSON object a line (docs/watch.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from dormant.results.events import EVENTS_SCHEMA, Advanced, Event, Note, Stage
from dormant.watch.pace import Pace


class JsonLines:
    """Writes each event as a line.

    Args:
        write: Writes a line whole; raises `OSError` where it can't.
        gone: Called once, with the reason, where nobody reads any more. The audit goes on: its
            results are worth more than who looked on.
    """

    def __init__(self, write: Callable[[str], None], gone: Callable[[str], None]) -> None:
        self._write, self._gone = write, gone
        self._open = True
        self._pace = Pace()
        self._stage = ""

    def tell(self, event: Event) -> None:
        """Write an event."""
        if not self._open:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"schema": EVENTS_SCHEMA, "time": now, "event": event.event}
        body = head | json.loads(event.model_dump_json())
        try:
            # ASCII: whatever reads it splits lines where we end them, in any encoding.
            self._write(f"{json.dumps(body, ensure_ascii=True, allow_nan=False)}\n")
        except OSError as error:
            self._open = False
            self._gone(error.strerror or str(error))

    def start(self, total: int, done: int) -> None:
        """Hear the whole amount of work, and how much of it an earlier run did."""
        self._pace.start(total, done)
        self._tell_pace()

    def stage(self, text: str) -> None:
        """Hear what is being done now; the same is not told twice in a row."""
        if text != self._stage:
            self._stage = text
            self.tell(Stage(text=text))

    def say(self, text: str) -> None:
        """Hear what people should know."""
        self.tell(Note(text=text))

    def advance(self, amount: int) -> None:
        """Hear that a part is done."""
        self._pace.advance(amount)
        self._tell_pace()

    def _tell_pace(self) -> None:
        left = self._pace.seconds_left
        self.tell(
            Advanced(
                share=round(self._pace.share, 4),
                seconds_left=None if left is None else round(left, 1),
            )
        )
