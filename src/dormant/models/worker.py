"""One thread that answers requests, those that wait together: a model has one batch at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from dormant.errors import DormantError

_R = TypeVar("_R")
_A = TypeVar("_A")

_GATHER = 0.03
"""Seconds that a batch waits for company."""


class Worker(Generic[_R, _A]):
    """Answers requests from any thread, one batch after the other.

    Args:
        answer: Returns an answer to each of some requests. Where it fails on several, each is put
            to it alone, so that one at fault spoils no other.
        name: The thread's.
    """

    def __init__(self, answer: Callable[[Sequence[_R]], Sequence[_A]], name: str) -> None:
        self._answer = answer
        self._waiting: list[tuple[_R, Future[_A]]] = []
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def submit(self, request: _R) -> Future[_A]:
        """Put a request in line; cancelling what is returned takes it out of it."""
        future: Future[_A] = Future()
        with self._lock:
            self._waiting.append((request, future))
        self._thread.submit(self._next)
        return future

    def close(self) -> None:
        """Answer no more requests."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            future.cancel()

    def join(self) -> None:
        """Answer no more requests, and wait for the batch under way."""
        self.close()
        self._thread.shutdown(wait=True)

    def _next(self) -> None:
        """Answer all that are waiting."""
        time.sleep(_GATHER)
        with self._lock:
            waiting, self._waiting = self._waiting, []
        wanted = [pair for pair in waiting if pair[1].set_running_or_notify_cancel()]
        if wanted:
            self._settle(wanted)

    def _settle(self, wanted: Sequence[tuple[_R, Future[_A]]]) -> None:
        try:
            answers = self._answer([request for request, _ in wanted])
        except DormantError as error:
            if len(wanted) == 1:
                wanted[0][1].set_exception(error)
                return
            for one in wanted:
                self._settle([one])
        except BaseException as error:
            for _, future in wanted:
                future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            for (_, future), answer in zip(wanted, answers, strict=True):
                future.set_result(answer)
