"""`dormant.serve`: a server for as long as a block lasts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Sequence
from typing import Unpack

from dormant.api.options import Model, ServeOptions
from dormant.devices import use
from dormant.integrations.serve import server_packages
from dormant.names import flat_names


@contextlib.contextmanager
def serve(
    model: Model, transforms: str | Sequence[str] = (), **options: Unpack[ServeOptions]
) -> Generator[str]:
    r"""Serve a model as OpenAI's API does, each request conjugated, while a block lasts.

    The server runs in a thread of this process, in notebooks too; ``dormant serve`` is the same as
    a program. A request's field ``dormant`` chooses between the transforms (docs/serve.md).

    Args:
        model: A model's name, the address of an OpenAI-compatible server, a pair (model,
            tokenizer), or an `LM` of lm-evaluation-harness. A model in memory takes requests for
            whatever model they name.
        transforms: What requests may choose from, the default first.
        options: See `ServeOptions`.

    Yields:
        The address that OpenAI's clients call the base URL.

    Raises:
        DormantError: A transform or an option is unknown, the port is taken, or the model can't be
            loaded.

    Example:
        >>> with dm.serve("smollm2", "leetspeak") as url:
        ...     client = openai.OpenAI(base_url=url, api_key="none")
        ...     client.completions.create(model="smollm2", prompt="Input: a\nOutput:")
    """
    with server_packages():
        from dormant.integrations.serve.local import LocalEngine
        from dormant.integrations.serve.run import prepare, running
        from dormant.integrations.serve.settings import ServeSettings
    named = isinstance(model, str | os.PathLike)
    settings = ServeSettings.of(
        {
            "model": os.fspath(model) if named else "",
            "transforms": flat_names([transforms] if isinstance(transforms, str) else transforms),
            "port": 0,
            **options,
        }
    )
    with use(settings.device), contextlib.ExitStack() as stack:
        engine = None
        if not named:
            from dormant.models.arguments import LoadOptions
            from dormant.models.live import LiveModel

            live, how = LiveModel.of(model), LoadOptions(settings.dtype, settings.device)
            live.refuse(how)
            engine = LocalEngine(stack.enter_context(live.open(how)), "", settings.max_new_tokens)
            stack.callback(engine.join)
        yield stack.enter_context(running(prepare(settings, engine)))
