"""The harness talks much while it loads; errors still pass."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Hold back the harness's advice and the data sets' progress bars; errors still pass."""
    import datasets

    loggers = [logging.getLogger(name) for name in ("lm_eval", "lm-eval")]
    levels = [logger.level for logger in loggers]
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()
