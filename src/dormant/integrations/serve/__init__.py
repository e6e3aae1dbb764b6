"""An OpenAI-compatible server that conjugates each request (docs/serve.md).

A request's prompt is put under a transform s, a model answers it, and the answer is undone by s⁻¹
(`dormant.prompts.exchange`). The model is one that runs here, or another OpenAI-compatible server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from dormant.errors import DormantError


@contextlib.contextmanager
def server_packages() -> Generator[None]:
    """Say in one line what to install where importing a part of the server fails.

    Raises:
        DormantError: A package of the extra `serve` is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise DormantError(
            f"a server needs the package {error.name}, which is not installed: "
            "pip install 'dormant[serve]'"
        ) from error
