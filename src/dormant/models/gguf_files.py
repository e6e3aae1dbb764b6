"""Loading GGUF checkpoints without doing the same work several times."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator
from typing import Any

_REPEATED = ("GGUFReader", "get_tensor_name_map")
"""What Transformers imports from the package gguf whenever it wants one."""


@contextlib.contextmanager
def read_once() -> Generator[None]:
    """Let Transformers parse a GGUF file once while a model and its tokenizer are loaded.

    Its loader parses the header, vocabulary and all, for the configuration, the tokenizer and the
    weights apart, and makes one table of names for every module of the model, always the same. For
    a small model that is most of the time that loading takes. Both are functions of their
    arguments alone, so their results are kept until the block ends.
    """
    import gguf

    library: Any = gguf
    before = {name: getattr(library, name) for name in _REPEATED if hasattr(library, name)}
    for name, function in before.items():
        setattr(library, name, functools.cache(function))
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(library, name, function)
