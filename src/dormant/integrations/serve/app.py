"""The server's endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dormant.errors import DormantError, one_line
from dormant.integrations.serve.answers import Answer, event
from dormant.integrations.serve.engine import Engine, Written
from dormant.integrations.serve.errors import Refused, invalid
from dormant.integrations.serve.requests import Kind, read
from dormant.integrations.serve.switch import Switch
from dormant.prompts.conjugate import Conjugation
from dormant.prompts.exchange import Streamed, exchange

MOST_BYTES = 16 * 2**20
"""Of a request's body."""

_log = logging.getLogger(__name__)


class Served(NamedTuple):
    """What became of a request, for whoever watches the server.

    Attributes:
        status: The HTTP status.
        path: The endpoint.
        transform: Its name; `None` where the request was refused before one was chosen.
        seconds: What it took.
        problem: What went wrong; `None` where nothing did.
    """

    status: int
    path: str
    transform: str | None
    seconds: float
    problem: str | None


def app(engine: Engine, switch: Switch, note: Callable[[Served], None] | None = None) -> Starlette:
    """Make the server's application (ASGI).

    Args:
        engine: What answers.
        switch: The transforms that requests may choose from.
        note: Told of every request that was answered or refused.
    """
    return _Endpoints(engine, switch, note or (lambda _: None)).application()


class _Endpoints:
    def __init__(self, engine: Engine, switch: Switch, note: Callable[[Served], None]) -> None:
        self.engine = engine
        self.switch = switch
        self.note = note
        # One at a time: engines of translation are not made for more.
        self._words = asyncio.Lock()

    def application(self) -> Starlette:
        post, get = ["POST"], ["GET"]
        return Starlette(
            routes=[
                Route("/health", self.health, methods=get),
                Route("/v1/models", self.models, methods=get),
                Route("/v1/completions", self.complete, methods=post),
                Route("/v1/chat/completions", self.chat, methods=post),
            ],
            exception_handlers={
                Refused: _refused,
                HTTPException: _not_found,
                Exception: _failed,
            },
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self.engine.close()

    async def health(self, _: Request) -> Response:
        offered = {"transforms": [*self.switch.offered], "abilities": [*self.switch.abilities]}
        return JSONResponse({"status": "ok", "model": self.engine.name, **offered})

    async def models(self, request: Request) -> Response:
        return JSONResponse(await self.engine.models(request.headers.get("authorization")))

    async def complete(self, request: Request) -> Response:
        return await self._watch("completion", request)

    async def chat(self, request: Request) -> Response:
        return await self._watch("chat", request)

    async def _watch(self, kind: Kind, request: Request) -> Response:
        watched = _Watched(self.note, request.url.path)
        try:
            return await self._answer(kind, request, watched)
        except Refused as refused:
            watched.tell(refused.status, refused.message)
            raise

    async def _answer(self, kind: Kind, request: Request, watched: _Watched) -> Response:
        asked = read(await _body(request), kind, forwarded=self.engine.forwards)
        choice = self.switch.choose(asked.wish)
        watched.transform = choice.transform.name
        keep = self.switch.keep if asked.wish.keep is None else asked.wish.keep
        try:
            put = await self._run(
                exchange, Conjugation(choice.transform, protect=keep), asked.texts, asked.until
            )
        except DormantError as error:
            where = "messages" if kind == "chat" else "prompt"
            raise invalid(str(error), where, "transform") from error
        made = Answer(asked=asked, choice=choice, put=put, model=asked.model or self.engine.name)
        key = request.headers.get("authorization")
        writing = self.engine.write(asked, put.texts, put.stops, key)
        # What is refused is refused before a stream begins.
        written = await _while_connected(request, writing)
        if asked.stream:
            events = self._events(made, written, writing, watched)
            return StreamingResponse(events, media_type="text/event-stream")
        await writing.aclose()
        return await self._whole(made, written, watched)

    async def _whole(self, made: Answer, written: Written, watched: _Watched) -> Response:
        undone = Streamed(made.put)
        text = problem = None
        try:
            text = await self._run(undone.rest, written.output)
        except DormantError as error:
            problem = str(error)
        watched.tell(200, problem)
        reason = "stop" if undone.cut else str(written.reason)
        return JSONResponse(made.whole(text, reason, written, problem))

    async def _events(
        self, made: Answer, first: Written, writing: AsyncGenerator[Written], watched: _Watched
    ) -> AsyncIterator[str]:
        undone = Streamed(made.put)
        written = first
        try:
            async with contextlib.aclosing(writing):
                if begins := made.begins():
                    yield begins
                while written.reason is None and not undone.ended:
                    if piece := await self._run(undone.more, written.output):
                        yield made.piece(piece)
                    if not undone.ended:
                        written = await anext(writing)
                if not undone.ended and (piece := await self._run(undone.rest, written.output)):
                    yield made.piece(piece)
            yield made.ends("stop" if undone.cut else str(written.reason), written)
            watched.tell(200, None)
        except DormantError as error:
            refused = Refused(
                500,
                f"the answer under {made.choice.transform.name} can't be undone any further: "
                f"{error}",
                code="not_undone",
                more={"dormant": made.told(written, str(error))},
            )
            yield event(refused.body)
            watched.tell(200, refused.message)
        except Refused as refused:
            yield event(refused.body)
            watched.tell(200, refused.message)

    async def _run(self, work: Callable[..., Any], *given: Any) -> Any:
        async with self._words:
            return await asyncio.to_thread(work, *given)


class _Watched:
    """A request on its way."""

    def __init__(self, note: Callable[[Served], None], path: str) -> None:
        self._note = note
        self._path = path
        self._began = time.monotonic()
        self.transform: str | None = None

    def tell(self, status: int, problem: str | None) -> None:
        seconds = time.monotonic() - self._began
        self._note(Served(status, self._path, self.transform, seconds, problem))


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise Refused(413, f"the request is larger than {MOST_BYTES // 2**20} MB")
        parts.append(part)
    return b"".join(parts)


async def _while_connected(request: Request, writing: AsyncGenerator[Written]) -> Written:
    """Return what is written first, unless nobody waits for it any more.

    Raises:
        Refused: The client has gone.
    """

    async def first() -> Written:
        return await anext(writing)

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    answer, left = asyncio.create_task(first()), asyncio.create_task(gone())
    try:
        await asyncio.wait((answer, left), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise Refused(499, "the client has gone")
    finally:
        answer.cancel()
        left.cancel()
        await asyncio.gather(answer, left, return_exceptions=True)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.response()


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}: {error.detail}"
    known = "GET /health, GET /v1/models, POST /v1/completions, POST /v1/chat/completions"
    return Refused(error.status_code, f"{what}; known: {known}").response()


async def _failed(_: Request, error: Exception) -> Response:
    _log.error("a request failed", exc_info=error)
    return Refused(500, f"{type(error).__name__}: {one_line(error)}").response()
