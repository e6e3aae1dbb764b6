"""How long work will take, by its speed of late."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_SECONDS = 120.0
"""How far back speed is looked at, so that a change of model shows soon."""


class Pace:
    """Measures work that is told piece by piece.

    Args:
        clock: Tells seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.start(0, 0)

    def start(self, total: int, done: int) -> None:
        """Hear the whole amount, and how much of it took no time here."""
        self._total, self._done = total, done
        self._seen: deque[tuple[float, int]] = deque([(self._clock(), done)])

    def advance(self, amount: int) -> None:
        """Hear that a part is done."""
        self._done += amount
        now = self._clock()
        self._seen.append((now, self._done))
        # The last one that is older stays, as the beginning of the stretch that is looked at.
        while len(self._seen) > 2 and self._seen[1][0] < now - _SECONDS:
            self._seen.popleft()

    def reach(self, total: int, done: int) -> None:
        """Hear the whole amount, which may have grown, and how much of it is done by now."""
        self._total = total
        if done > self._done:
            self.advance(done - self._done)

    @property
    def share(self) -> float:
        """How much is done, in [0, 1]; 1 where there is nothing to do."""
        return min(1.0, self._done / self._total) if self._total else 1.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at that speed; `None` where nothing was done yet."""
        (began, before), (now, after) = self._seen[0], self._seen[-1]
        if after <= before or now <= began:
            return None if self._done < self._total else 0.0
        return max(0, self._total - self._done) * (now - began) / (after - before)
