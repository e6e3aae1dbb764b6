"""Going on after running out of memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from dormant.errors import DormantError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out.

    On GPUs PyTorch raises its own type; its CPU allocator a `RuntimeError` that says so.
    """
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and any(text in str(error) for text in ("can't allocate memory", "not enough memory"))
    )


def free() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def too_much() -> DormantError:
    """Return the error of a single prompt for which memory doesn't suffice."""
    return DormantError("out of memory on a single prompt: use a smaller model or dtype bfloat16")


def within_memory(
    batch: Sequence[_Item],
    work: Callable[[Sequence[_Item]], _Result],
    *,
    halved: Callable[[], None],
) -> Iterator[tuple[Sequence[_Item], _Result]]:
    """Do a batch's work, in halves where memory doesn't suffice.

    Args:
        batch: The items.
        work: Called with some of them.
        halved: Told about each halving.

    Yields:
        Parts of the batch in order, each with its result.

    Raises:
        DormantError: A single prompt is too much.
    """
    waiting: list[Sequence[_Item]] = [batch]
    while waiting:
        part = waiting.pop(0)
        try:
            result = work(part)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        else:
            yield part, result
            continue
        # Outside the handler, so that the traceback no longer holds the tensors.
        free()
        if len(part) == 1:
            raise too_much()
        halved()
        half = len(part) // 2
        waiting[:0] = [part[:half], part[half:]]
