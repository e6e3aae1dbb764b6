"""A Ray cluster for as long as a block lasts: joined where there is one, else of this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dormant.errors import DormantError, one_line, unknown

Backend: TypeAlias = Literal["local", "ray"]

_SECONDS = 10.0
"""How long a cluster may take to answer at all."""
_BACKENDS: tuple[Backend, ...] = ("local", "ray")


def known_backend(name: str) -> Backend:
    """Return where work is done, as a user names it.

    Raises:
        DormantError: There is no such place; the nearest name is suggested.
    """
    for backend in _BACKENDS:
        if backend == name:
            return backend
    raise unknown("backend", name, _BACKENDS)


@contextlib.contextmanager
def joined() -> Generator[Any]:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine, and leave it again.

    A cluster that this process has joined before is taken as it is.

    Yields:
        The package ``ray``.

    Raises:
        DormantError: Ray is not installed, or there is no such cluster.
    """
    # Ray tells its makers of its use, and warns of a change to come, unless these say otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if os.environ.get("RAY_ADDRESS") and _has_token():
        # `ray start` asks for it wherever one is there; joining doesn't bring it by itself. Read
        # when Ray is imported.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError:
        raise DormantError("backend ray is not installed: pip install 'dormant[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS")
    with _own_signals():
        try:
            _knock(address)
            # By itself Ray would wait for the last cluster of this machine, dead or alive.
            ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            # Processes, sockets and other machines: anything may fail, in Ray's own words.
            where = f"at RAY_ADDRESS={address}" if address else "on this machine"
            advice = "check that `ray status` finds it" if address else "see Ray's log for more"
            raise DormantError(f"no Ray cluster {where}: {one_line(error)}; {advice}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _has_token() -> bool:
    """Whether this machine has a token for Ray's clusters, where Ray looks for one."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return (Path(named) if named else Path.home() / ".ray" / "auth_token").is_file()


def _knock(address: str | None) -> None:
    """See that somebody answers at an address: Ray itself waits there for ever.

    Raises:
        OSError: Nobody does.
    """
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()


@contextlib.contextmanager
def _own_signals() -> Generator[None]:
    """Undo what Ray does to SIGTERM: the command line ends work by it in its own way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
