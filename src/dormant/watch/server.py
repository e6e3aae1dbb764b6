"""A run's page on this machine's loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from dormant.errors import DormantError, one_line
from dormant.watch.pages import Pages

HOST = "127.0.0.1"


class PageServer(ThreadingHTTPServer):
    """Serves pages on loopback, to GET and HEAD.

    Args:
        pages: What is served.
        port: Where; 0 for any that is free.
        trouble: Told, one line, why there is no page; the same not twice in a row.

    Raises:
        DormantError: The port is taken, or not for this user.
    """

    daemon_threads = True
    # On Unix, where another program's port is not taken over by it.
    allow_reuse_address = True

    def __init__(self, pages: Pages, port: int, trouble: Callable[[str], None]) -> None:
        self._pages, self._trouble, self._said = pages, trouble, ""
        # What has been read is kept between requests, which come in threads.
        self._lock = threading.Lock()
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise DormantError(
                f"port {port} of {HOST} can't be had ({error.strerror or error}): give another "
                "--port, or none for any that is free"
            ) from None

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"

    def server_bind(self) -> None:
        """Bind; the base class would ask the network for this machine's name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a reader go away in the middle of a page."""

    def answer(self, path: str) -> tuple[HTTPStatus, str, str]:
        """Return status, type and text for a path."""
        place = unquote(urlsplit(path).path).strip("/").removesuffix("report.html").rstrip("/")
        try:
            with self._lock:
                page = self._pages.page(place)
        except (DormantError, OSError) as error:
            return self._refused(HTTPStatus.NOT_FOUND, str(error))
        except Exception as error:
            why = f"the page can't be made: {type(error).__name__}: {one_line(error)}"
            return self._refused(HTTPStatus.INTERNAL_SERVER_ERROR, why)
        if page is None:
            return HTTPStatus.NOT_FOUND, "text/plain", f"no run is called {place!r} here\n"
        self._said = ""
        return HTTPStatus.OK, "text/html", page

    def _refused(self, status: HTTPStatus, line: str) -> tuple[HTTPStatus, str, str]:
        if line != self._said:
            self._trouble(line)
        self._said = line
        return status, "text/plain", f"{line}\n"


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "dormant", ""
    timeout = 30

    def do_GET(self) -> None:
        self._send(body=True)

    def do_HEAD(self) -> None:
        self._send(body=False)

    def _send(self, *, body: bool) -> None:
        # Another site's page may have a name that leads here; a browser says which it asked for.
        server = cast("PageServer", self.server)
        port = server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            status, kind, text = HTTPStatus.FORBIDDEN, "text/plain", "another host was asked for\n"
        else:
            status, kind, text = server.answer(self.path)
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the page asks every two seconds."""
