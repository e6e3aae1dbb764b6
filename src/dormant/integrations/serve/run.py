"""Starting the server: what it needs is checked before it listens."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ipaddress
import socket
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from dormant import transforms
from dormant.errors import DormantError
from dormant.integrations.serve import abilities
from dormant.integrations.serve.app import Served, app
from dormant.integrations.serve.engine import Engine
from dormant.integrations.serve.settings import ServeSettings
from dormant.integrations.serve.switch import Choice, Switch
from dormant.results import AuditResults

GRACE = 3
"""Seconds that requests under way have when the server is stopped."""
_SERVERS = (
    "local-completions", "local-chat-completions", "openai-completions", "openai-chat-completions",
)  # fmt: skip
"""The harness's models that are OpenAI-compatible servers."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A server that is about to listen.

    Attributes:
        engine: What answers.
        switch: What requests may choose from.
        socket: Where it will listen.
        warnings: What its user should know first.
    """

    engine: Engine
    switch: Switch
    socket: socket.socket
    warnings: Sequence[str] = field(default_factory=list[str])

    @property
    def address(self) -> str:
        """Where clients find it: what OpenAI's clients call the base URL."""
        host, port = self.socket.getsockname()[:2]
        host = "127.0.0.1" if host == "0.0.0.0" else "[::1]" if host == "::" else host
        return f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{port}/v1"


def prepare(settings: ServeSettings, engine: Engine | None = None) -> Ready:
    """Do all that may fail before a server listens.

    Args:
        settings: How it is run.
        engine: What answers, where that is there already.

    Raises:
        DormantError: A transform is unknown, the port is taken, the run can't be read, or the model
            can't be loaded.
    """
    offered = {name: transforms.get(name, settings.source) for name in settings.transforms}
    chosen: dict[str, Choice] = {}
    warnings: list[str] = []
    if settings.choose is not None:
        results = abilities.read(settings.choose)
        chosen = abilities.choose(results, settings.source)
        warnings += _of_other_model(results, settings)
    switch = Switch(offered=offered, abilities=chosen, keep=settings.keep)
    # A port that is taken is told before a model is loaded for minutes.
    bound = _bound(settings.host, settings.port)
    if not ipaddress.ip_address(bound.getsockname()[0]).is_loopback:
        warnings.append(f"whoever reaches {settings.host} may use the model: no key is asked for")
    try:
        answers = engine or _engine(settings)
        return Ready(engine=answers, switch=switch, socket=bound, warnings=warnings)
    except BaseException:
        bound.close()
        raise


def run(ready: Ready, note: Callable[[Served], None], listens: Callable[[], None]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        ready: What `prepare` returned.
        note: Told of every request.
        listens: Called once the server listens.

    Raises:
        DormantError: The port was taken in the meantime.
    """
    try:
        _server(ready, note, listens).run(sockets=[ready.socket])
    except KeyboardInterrupt:
        # uvicorn says it again once it has stopped in good order.
        pass
    finally:
        ready.socket.close()


@contextlib.contextmanager
def running(ready: Ready) -> Generator[str]:
    """Serve in a thread while a block lasts.

    Args:
        ready: What `prepare` returned.

    Yields:
        The address (`Ready.address`).

    Raises:
        DormantError: The port was taken in the meantime.
    """
    listens = threading.Event()
    server = _server(ready, lambda _: None, listens.set)
    # Engines of translation look for their device where they were named.
    here = contextvars.copy_context()
    thread = threading.Thread(target=here.run, args=(server.run, [ready.socket]))
    thread.start()
    try:
        while thread.is_alive() and not listens.wait(0.05):
            pass
        yield ready.address
    finally:
        server.should_exit = True
        thread.join()
        ready.socket.close()


def _server(
    ready: Ready, note: Callable[[Served], None], listens: Callable[[], None]
) -> uvicorn.Server:
    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                listens()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            closing = asyncio.create_task(_closed_after(ready.engine, GRACE))
            await super().shutdown(sockets)
            closing.cancel()

    try:
        ready.socket.listen(128)
    except OSError as error:
        host, port = ready.socket.getsockname()[:2]
        raise _taken(host, port, error) from None
    config = uvicorn.Config(
        app(ready.engine, ready.switch, note),
        log_level="critical",
        access_log=False,
        # For what has to say that it was broken off.
        timeout_graceful_shutdown=2 * GRACE,
    )
    return Server(config)


async def _closed_after(engine: Engine, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await engine.close()


def _engine(settings: ServeSettings) -> Engine:
    if settings.model.startswith(("http://", "https://")):
        from dormant.integrations.serve.upstream import UpstreamEngine, address_of

        return UpstreamEngine(address_of(settings.model), settings.timeout)
    from dormant.integrations.serve.local import LocalEngine
    from dormant.models.arguments import LoadOptions
    from dormant.models.load import load
    from dormant.models.spec import parse

    spec = parse(settings.model)
    if spec.backend in _SERVERS:
        raise DormantError(
            f"model {settings.model!r} is a server: give its address, as in "
            "dormant serve http://127.0.0.1:8000/v1"
        )
    lm = load(spec, LoadOptions(dtype=settings.dtype, device=settings.device))
    engine = LocalEngine(lm, settings.model, settings.max_new_tokens)
    engine.warm_up()
    return engine


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DormantError(f"--host {host!r} is no address of this machine ({error})") from None
    try:
        # A port that was served until a moment ago is free.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
    except (OSError, OverflowError) as error:
        bound.close()
        raise _taken(host, port, error) from None
    return bound


def _taken(host: str, port: int, error: Exception) -> DormantError:
    why = getattr(error, "strerror", None) or error
    return DormantError(f"can't listen at {host}:{port} ({why}): take another --port, or 0 for any")


def _of_other_model(results: AuditResults, settings: ServeSettings) -> list[str]:
    """Warn where another model was audited than is served."""
    if settings.model.startswith(("http://", "https://")) or results.tuned == settings.model:
        return []
    return [
        f"{settings.choose} audited {results.tuned}, and {settings.model} is served: what was "
        "found best there needn't be here"
    ]


def example(ready: Ready, model: str) -> str:
    """Return a command that asks the server."""
    name: Mapping[str, Any] = {} if ready.engine.forwards else {"model": model}
    wish = [f'"{key}": "{value}"' for key, value in name.items()]
    if ready.switch.offered:
        wish.append(f'"dormant": {{"transform": "{next(iter(ready.switch.offered))}"}}')
    fields = ", ".join([*wish, '"prompt": "Once upon a time"', '"max_tokens": 32'])
    return f"curl {ready.address}/completions -H 'Content-Type: application/json' -d '{{{fields}}}'"
