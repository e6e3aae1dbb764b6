"""Which items stand as demonstrations before another: drawn for each, or the same before all."""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import random
from collections.abc import Generator, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import TypeVar

from dormant.errors import DormantError

_One = TypeVar("_One")

_fixed = ContextVar("_fixed", default=False)


@contextlib.contextmanager
def same_for_all(on: bool = True) -> Generator[None]:
    """Let all items of a task have the same demonstrations, while cases are made in a block."""
    token = _fixed.set(on)
    try:
        yield
    finally:
        _fixed.reset(token)


def stream_of(task: str, item: str, seed: int) -> str:
    """Return what decides an item's demonstrations."""
    return f"{seed}/{task}" if _fixed.get() else f"{seed}/{task}/{item}"


def draw_demonstrations(
    task: str, item: str, pool: Sequence[_One], shots: int, seed: int
) -> list[_One]:
    """Choose `shots` demonstrations from `pool`; the same for one item in every language.

    Where they are drawn for each item (paper §3.1), which places of the pool are drawn depends on
    its length only, not on what stands there. Where all items have the same (`same_for_all`), they
    are the first by an order of their names; an item that is among them has the next one instead.

    Args:
        task: The task's name.
        item: The item that is asked.
        pool: What may stand before it.
        shots: How many.
        seed: Decides which.

    Raises:
        DormantError: The pool is too small, or `shots` is negative.
    """
    if not 0 <= shots <= len(pool):
        raise DormantError(f"{task}: {shots} demonstrations asked for, {len(pool)} available")
    stream = stream_of(task, item, seed)
    if _fixed.get():
        return heapq.nsmallest(shots, pool, key=lambda one: _place(stream, str(one)))
    return random.Random(stream).sample(pool, shots)


@lru_cache(maxsize=100_000)
def _place(stream: str, name: str) -> bytes:
    return hashlib.sha256(f"{stream}/{name}".encode()).digest()
