"""Another OpenAI-compatible server, which gets each request transformed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

import httpx

from dormant.errors import DormantError, one_line
from dormant.integrations.serve.engine import Written
from dormant.integrations.serve.errors import Refused
from dormant.integrations.serve.requests import Asked

_CONNECT = 10.0
"""Seconds for a connection."""
_ENDPOINTS = ("/completions", "/chat/completions")
_DONE = "[DONE]"
_WORDS = ("reasoning_content", "reasoning", "refusal")
"""Texts beside an answer, in the words of s."""


def address_of(text: str) -> str:
    """Return a server's address, up to and without the slash before "chat/completions".

    Raises:
        DormantError: It is none.
    """
    try:
        parts = urlsplit(text)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, known = urlsplit(""), False
    if not known or parts.query or parts.fragment:
        raise DormantError(f"server {text!r}: write http://HOST:PORT/v1")
    path = parts.path.rstrip("/")
    for endpoint in sorted(_ENDPOINTS, key=len, reverse=True):
        path = path.removesuffix(endpoint)
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


class UpstreamEngine:
    """Hands requests on.

    Args:
        address: The server's, as `address_of` returns it.
        timeout: Seconds that the server may be silent.
    """

    forwards = True

    def __init__(self, address: str, timeout: float) -> None:
        self.name = address
        self._timeout = timeout
        limits = httpx.Limits(max_connections=None)
        waits = httpx.Timeout(timeout, connect=min(_CONNECT, timeout))
        # A proxy of the environment's is no matter of a server that is named by its address.
        self._client = httpx.AsyncClient(timeout=waits, limits=limits, trust_env=False)

    async def write(
        self, asked: Asked, texts: tuple[str, ...], stops: tuple[str, ...], key: str | None
    ) -> AsyncGenerator[Written]:
        """Let the server write; see `Engine`."""
        body = _body(asked, texts, stops)
        path = "/chat/completions" if asked.kind == "chat" else "/completions"
        try:
            if not asked.stream:
                yield _whole(self._json(await self._sent("POST", path, key, body)), asked)
                return
            async with self._client.stream(
                "POST", f"{self.name}{path}", json=body, headers=_headers(key)
            ) as response:
                if response.status_code != 200:
                    await response.aread()
                    self._refuse(response)
                async for written in self._streamed(response, asked):
                    yield written
        except httpx.HTTPError as error:
            self._failed(error)

    async def models(self, key: str | None) -> dict[str, Any]:
        """Return the server's list; see `Engine`."""
        try:
            return self._json(await self._sent("GET", "/models", key))
        except httpx.HTTPError as error:
            self._failed(error)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    # -- inside ---------------------------------------------------------------------------------

    async def _sent(
        self, method: str, path: str, key: str | None, body: object = None
    ) -> httpx.Response:
        content: dict[str, Any] = {} if body is None else {"json": body}
        return await self._client.request(
            method, f"{self.name}{path}", headers=_headers(key), **content
        )

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        if response.status_code != 200:
            self._refuse(response)
        return self._object(response.text)

    def _object(self, text: str) -> dict[str, Any]:
        try:
            found: object = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._odd(f"its answer is no JSON object ({one_line(text, 80)})")
        answer = cast("dict[str, Any]", found)
        if answer.get("error"):
            raise Refused(502, f"the server {self.name} failed: {_said(answer)}", code="upstream")
        return answer

    def _refuse(self, response: httpx.Response) -> NoReturn:
        """Hand on what the server says of a request that it doesn't answer."""
        try:
            said = _said(response.json())
        except ValueError:
            said = one_line(response.text, 200)
        # Its own faults are a gateway's to its client.
        status = response.status_code if 400 <= response.status_code < 500 else 502
        raise Refused(
            status,
            f"the server {self.name} says {response.status_code}: {said}",
            code="upstream",
        )

    def _failed(self, error: httpx.HTTPError) -> NoReturn:
        if isinstance(error, httpx.TimeoutException) and not isinstance(
            error, httpx.ConnectTimeout
        ):
            raise Refused(
                504,
                f"the server {self.name} was silent for {self._timeout:g} s (--timeout)",
                code="upstream_timeout",
            ) from error
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            why = f"the server {self.name} can't be reached: {one_line(error, 120)}"
        else:
            why = f"the server {self.name} broke off: {one_line(error, 120)}"
        raise Refused(502, why, code="upstream_unreachable") from error

    def _odd(self, why: str) -> Refused:
        return Refused(502, f"the server {self.name} can't be understood: {why}", code="upstream")

    async def _streamed(self, response: httpx.Response, asked: Asked) -> AsyncIterator[Written]:
        """Read events; the end is told once, with the usage that comes after it."""
        if "event-stream" not in response.headers.get("content-type", ""):
            await response.aread()
            self._object(response.text)
            raise self._odd("it was asked for a stream and sent none")
        output, reason, usage, model, done = "", None, None, None, False
        left_out: list[str] = []
        async for line in _lines(response):
            if not line.startswith("data:"):
                continue
            data = line.removeprefix("data:").strip()
            if data == _DONE:
                done = True
                break
            event = self._object(data)
            usage, model = event.get("usage") or usage, event.get("model") or model
            for choice in event.get("choices") or []:
                text, more = _text_of(choice, asked, "delta")
                left_out += more
                reason = choice.get("finish_reason") or reason
                if text:
                    output += text
                    yield Written(output=output)
        if reason is None:
            raise self._odd("it gave no reason to end" if done else "its stream ended too early")
        yield Written(
            output=output,
            reason=reason,
            usage=usage,
            model=model,
            left_out=tuple(dict.fromkeys(left_out)),
        )


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    """Yield an event stream's lines, which line breaks end, and not all that Unicode has of them.

    In JSON a text may hold such others as they are.
    """
    rest = ""
    async for text in response.aiter_text():
        *whole, rest = f"{rest}{text}".split("\n")
        for line in whole:
            yield line
    yield rest


def _body(asked: Asked, texts: tuple[str, ...], stops: tuple[str, ...]) -> dict[str, Any]:
    body: dict[str, Any] = dict(asked.handed_on)
    if asked.model is not None:
        body["model"] = asked.model
    if asked.kind == "completion":
        body["prompt"] = texts[0]
    else:
        body["messages"] = [
            {"role": role, "content": text} for role, text in zip(asked.roles, texts, strict=True)
        ]
    if stops:
        body["stop"] = list(stops)
    if asked.stream:
        body["stream"] = True
    if asked.counted:
        body["stream_options"] = {"include_usage": True}
    return body


def _headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": key}


def _said(answer: Any) -> str:
    """Return the message of a server's error, whatever its format."""
    error: Any = answer.get("error", answer) if isinstance(answer, dict) else answer
    message: Any = error.get("message", error) if isinstance(error, dict) else error
    return one_line(message if isinstance(message, str) else json.dumps(message), 300)


def _whole(answer: Mapping[str, Any], asked: Asked) -> Written:
    choices: Any = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise Refused(502, "the server's answer holds no choices", code="upstream")
    choice: dict[str, Any] = choices[0]
    text, left_out = _text_of(choice, asked, "message")
    return Written(
        output=text,
        reason=str(choice.get("finish_reason") or "stop"),
        usage=answer.get("usage"),
        model=answer.get("model"),
        left_out=left_out,
    )


def _text_of(choice: Mapping[str, Any], asked: Asked, within: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of a choice, and which other texts it holds."""
    if asked.kind == "completion":
        return _plain(choice.get("text")), ()
    message: Mapping[str, Any] = choice.get(within) or {}
    left_out = tuple(name for name in _WORDS if message.get(name))
    return _plain(message.get("content")), left_out


def _plain(text: object) -> str:
    if text is None or isinstance(text, str):
        return text or ""
    raise Refused(
        502, f"the server's answer is no text ({one_line(str(text), 80)})", code="upstream"
    )
