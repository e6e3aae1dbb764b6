"""Calling other people's harness models: their noise, their errors, their memory."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import re
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dormant.errors import DormantError, one_line
from dormant.libraries import quiet

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM

_Result = TypeVar("_Result")

_HINTS: tuple[tuple[str, str], ...] = (
    (r"\b429\b", "ask less at once (num_concurrent=1) or try more often (max_retries=10)"),
    ("timeout", "give it more time (timeout=SECONDS) or ask less at once"),
    ("timed out", "give it more time (timeout=SECONDS) or ask less at once"),
    ("connect", "check that the server runs and that base_url is right"),
    ("disconnected", "check the server's log"),
)

_ADDRESS = re.compile(r"https?://[^\s']+")

BATCH_SIZE = 16
"""Prompts a forward pass on the harness's own path, where nothing else is said; halved where
memory runs out."""

_log = logging.getLogger(__name__)


def call(lm: LM, method: Callable[..., list[Any]], requests: Sequence[Instance]) -> list[Any]:
    """Put requests to a harness model: quietly, within memory, its errors in one line.

    Args:
        lm: The model.
        method: One of its methods.
        requests: N requests.

    Returns:
        N answers.

    Raises:
        DormantError: The backend failed.
    """
    if "disable_tqdm" in inspect.signature(method).parameters:
        method = functools.partial(method, disable_tqdm=True)
    with quiet(), _errors_in_one_line(lm):
        return with_smaller_batches(lm, lambda: list(method(list(requests))))


def with_smaller_batches(lm: Any, work: Callable[[], _Result]) -> _Result:
    """Do the harness's work again with half the batch size for as long as memory runs out.

    Args:
        lm: The harness's Hugging Face model, whose batch size is halved for good; others have
            none that could be set.
        work: What is done.

    Raises:
        DormantError: A single prompt is too much.
    """
    while True:
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            from dormant.scoring import memory  # loads PyTorch, which servers don't need

            if not memory.out_of_memory(error):
                raise
        size: object = vars(lm).get("batch_size_per_gpu")
        if not isinstance(size, int) or size <= 1:
            raise memory.too_much()
        # Outside the handler, so that the traceback no longer holds the tensors.
        memory.free()
        lm.batch_size_per_gpu = size // 2
        _log.warning("out of memory: going on with %d prompts a batch", size // 2)


@contextlib.contextmanager
def _errors_in_one_line(lm: LM) -> Generator[None]:
    """Turn whatever a backend raises into one line; what was scored before is on disk."""
    try:
        yield
    except DormantError:
        raise
    except Exception as error:
        # Foreign code, and often a network below it: anything may come.
        reason = f"{type(error).__name__}: {one_line(error)}"
        # An address has a port, and any words: it is no sign of what is wrong.
        signs = _ADDRESS.sub("", reason.lower())
        fits = (hint for sign, hint in _HINTS if re.search(sign, signs))
        advice = next(fits, "check its arguments")
        raise DormantError(
            f"the model's backend ({type(lm).__name__}) failed: {reason}; {advice}, then start "
            "again: finished work is kept"
        ) from error
