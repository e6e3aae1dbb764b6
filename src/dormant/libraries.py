"""Keeping other people's libraries quiet while we use them."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Generator
from typing import Any

_LOGGERS = ("lm_eval", "lm-eval", "transformers", "gguf")


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
