"""ASGI applications on loopback, and an OpenAI-compatible server that says what it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route


@contextlib.contextmanager
def serving(app):
    """Serve an application while the context lasts; give its base URL."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


class Upstream:
    """Another server, which answers `says`, or misbehaves as the model's name tells it to.

    Models: "slow" (too late), "busy" (429), "ill" (500), "html", "empty" (no choices), "broken" (a
    stream that breaks off), "plain" (no stream), "wrong" (an error in a stream), "thinks",
    "parts" (of a text).
    """

    def __init__(self):
        self.says = ""
        self.bodies, self.keys = [], []

    def app(self):
        """Return the application."""
        paths = ("/v1/completions", "/v1/chat/completions")
        routes = [Route(path, self.answer, methods=["POST"]) for path in paths]
        return Starlette(routes=[*routes, Route("/v1/models", self.models)])

    async def models(self, _):
        """List a model."""
        return JSONResponse({"object": "list", "data": [{"id": "theirs", "object": "model"}]})

    async def answer(self, request):
        """Complete."""
        body = json.loads(await request.body())
        self.bodies.append(body)
        self.keys.append(request.headers.get("authorization"))
        model, chat = body.get("model"), "chat" in request.url.path
        if model == "slow":
            await asyncio.sleep(1)
        if model == "busy":
            return JSONResponse({"error": {"message": "not now"}}, 429)
        if model == "ill":
            return PlainTextResponse("oh no", 500)
        if model == "html":
            return PlainTextResponse("<html>")
        usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        if not body.get("stream") or model == "plain":
            content = {"message": {"content": self.says}} if chat else {"text": self.says}
            if model == "thinks":
                content["message"]["reasoning_content"] = "hmm"
            if model == "parts":
                content["message"]["content"] = [{"type": "text", "text": self.says}]
            choices = [] if model == "empty" else [{"finish_reason": "stop", **content}]
            return JSONResponse({"model": "theirs-1", "choices": choices, "usage": usage})
        return StreamingResponse(self.events(model, chat, usage), media_type="text/event-stream")

    async def events(self, model, chat, usage):
        """Say it in pieces of three characters."""
        pieces = [self.says[place : place + 3] for place in range(0, len(self.says), 3)]
        for piece in pieces:
            content = {"delta": {"content": piece}} if chat else {"text": piece}
            yield f"data: {json.dumps({'choices': [content]}, ensure_ascii=False)}\n\n"
            await asyncio.sleep(0)
        if model == "wrong":
            yield f"data: {json.dumps({'error': {'message': 'out of memory'}})}\n\n"
        if model != "broken":
            last = {"choices": [{"finish_reason": "length"}], "model": "theirs-1", "usage": usage}
            yield f": a comment\n\ndata: {json.dumps(last)}\n\ndata: [DONE]\n\n"
