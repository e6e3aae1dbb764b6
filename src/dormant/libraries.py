"""Keeping other people's libraries quiet while we use them."""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import re
import sys
import warnings
from collections.abc import Generator
from typing import Any

from dormant.errors import one_line

_LOGGERS = ("lm_eval", "lm-eval", "transformers", "gguf")
_HEARD = ("lm_eval", "transformers", "peft", "gguf")
_NOISE = re.compile(
    "deprecat|future version|LOAD REPORT|already-initialized|not of type `str`|gradient checkpoint"
    "|missing adapter keys|use_cache|loss_type|CUDA extension|speed up|merg"
)
"""What says nothing about the model that was loaded, or is told in our own words elsewhere."""


def import_ahead(*names: str) -> None:
    """Import large libraries with the garbage collector paused.

    Importing makes millions of objects and hardly a cycle; looking for cycles among them took 12 to
    20 % of the time that Transformers takes (`benchmarks/startup.py` times the whole).

    Args:
        names: Modules that are about to be used.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        if collects:
            gc.enable()


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Hold back the libraries' progress bars and advice; errors still pass.

    Bars are held back in the libraries that are loaded: import what is to be quiet before.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with contextlib.ExitStack() as stack:
        for logger, level in zip(loggers, levels, strict=True):
            stack.callback(logger.setLevel, level)
            logger.setLevel(logging.ERROR)
        if "transformers" in sys.modules:
            import transformers.utils.logging as transformers_logging

            if transformers_logging.is_progress_bar_enabled():
                stack.callback(transformers_logging.enable_progress_bar)
                transformers_logging.disable_progress_bar()
        if "datasets" in sys.modules:
            datasets: Any = sys.modules["datasets"]
            if not datasets.are_progress_bars_disabled():
                stack.callback(datasets.enable_progress_bars)
                datasets.disable_progress_bars()
        stack.enter_context(warnings.catch_warnings())
        # PEFT asks Transformers by a name that the latter is about to drop.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


@contextlib.contextmanager
def collecting(lines: list[str]) -> Generator[None]:
    """Keep the libraries `quiet`, and note what they warn of.

    Args:
        lines: Takes one line for each warning, each once; advice to programmers is left out.
    """

    def heard(text: str) -> None:
        # The first sentences: advice and addresses come last.
        line = one_line(text, 240) if len(text) <= 240 else one_line(text, 240).rpartition(". ")[0]
        line = line or one_line(text, 240)
        if line and not _NOISE.search(text) and line not in lines:
            lines.append(line)

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard(record.getMessage())

    with quiet(), warnings.catch_warnings(record=True) as caught, contextlib.ExitStack() as stack:
        warnings.simplefilter("always")
        listener = Listener(logging.WARNING)
        for logger in map(logging.getLogger, _HEARD):
            stack.callback(_restore, logger, logger.level, logger.handlers, logger.propagate)
            logger.handlers, logger.propagate = [listener], False
            logger.setLevel(logging.WARNING)
        _say_again()
        yield
    for warning in caught:
        if warning.category is UserWarning or warning.category.__module__.startswith("peft"):
            heard(str(warning.message))


def _restore(
    logger: logging.Logger, level: int, handlers: list[logging.Handler], propagate: bool
) -> None:
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


def _say_again() -> None:
    """Let Transformers warn of a second model as it did of the first."""
    if "transformers" in sys.modules:
        import transformers.utils.logging as transformers_logging

        once: Any = transformers_logging.warning_once
        getattr(once, "cache_clear", lambda: None)()
