"""What servers leave out: which model answers, why they don't, a prompt's log-probabilities."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from dormant.errors import DormantError, one_line

SERVERS = ("local-completions", "local-chat-completions")
"""Backends of lm-evaluation-harness that ask a server at an address of the user's."""
_FIXED = ("vllm", "llamacpp")
"""Makers, as servers name them, of servers that have what they list and load nothing else."""
_ENDS = 3
"""Texts to stop at that a request may have: OpenAI's servers and vLLM's take four, and the harness
adds the token that ends a text."""
_SECONDS = 10.0
_SHOWN = 5


def refuse_other_model(text: str, arguments: Mapping[str, Any]) -> None:
    """Refuse a server that has not the model that is named.

    Servers that load a model when it is asked for are let be, as are those that list none or don't
    answer: what is wrong with them is told when they are asked.

    Args:
        text: What the user typed for the model.
        arguments: The backend's: "model" and "base_url".

    Raises:
        DormantError: The server lists its models, and this is none of them.
    """
    name, address = arguments.get("model"), arguments.get("base_url")
    if not isinstance(name, str) or not isinstance(address, str):
        return
    listed = _listed(address)
    if not listed or any(name in (one, PurePath(one).name, PurePath(one).stem) for one in listed):
        return
    shown = ", ".join(listed[:_SHOWN]) + (" …" if len(listed) > _SHOWN else "")
    raise DormantError(
        f"model {text!r}: the server has no {name!r}; it has {shown}: say model={listed[0]}, or "
        "start the server with the other one"
    )


def _listed(address: str) -> Sequence[str]:
    """Return the names of all that a server has; none where it doesn't list it, or loads more."""
    root = address.rstrip("/").removesuffix("/completions").removesuffix("/chat")
    try:
        with urllib.request.urlopen(_request(f"{root}/models"), timeout=_SECONDS) as answer:
            found = json.loads(answer.read())["data"]
            fixed = all(one.get("owned_by") in _FIXED for one in found)
            return [str(one["id"]) for one in found] if fixed else ()
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ()


def _request(address: str, body: Mapping[str, Any] | None = None) -> urllib.request.Request:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    if key := os.environ.get("OPENAI_API_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    return request


def adapt(lm: Any) -> None:
    """Have the harness's client ask what servers take, and tell what is wrong by one error.

    Args:
        lm: The client. Where it asks for several answers at once, it logs each try, and the event
            loop prints a traceback for each request that failed beside the first.
    """
    lm.generate_until = functools.partial(_written, lm.generate_until)
    lm.get_batched_requests = functools.partial(_in_silence, lm.get_batched_requests)
    lm._loglikelihood_tokens = functools.partial(_scored, lm, lm._loglikelihood_tokens)


def _written(
    plain: Callable[..., Sequence[str]], requests: Sequence[Any], disable_tqdm: bool = False
) -> list[str]:
    """Have texts written, and end them here where they have more ends than servers take."""
    from lm_eval.api.instance import Instance

    asked, ends = list(requests), [list[str]()] * len(requests)
    for place, one in enumerate(requests):
        prompt, settings, *rest = one.args
        until = settings.get("until")
        if isinstance(until, list) and len(until) > _ENDS:
            ends[place] = list(dict.fromkeys(until))
            settings = {**settings, "until": ends[place][:_ENDS]}
            asked[place] = Instance(one.request_type, one.doc, (prompt, settings, *rest), one.idx)
    texts = plain(asked, disable_tqdm=disable_tqdm)
    return [_ended(text, until) for text, until in zip(texts, ends, strict=True)]


def _ended(text: str, until: Sequence[str]) -> str:
    return text[: min((text.index(end) for end in until if end and end in text), default=None)]


async def _in_silence(plain: Callable[..., Awaitable[Any]], *given: Any, **named: Any) -> Any:
    # The loop is made for this call alone. Requests that failed are told of when they are collected
    # as garbage, which may be long after.
    asyncio.get_running_loop().set_exception_handler(lambda _, __: None)
    log = logging.getLogger("lm_eval.models.api_models")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        return await plain(*given, **named)
    finally:
        # What the first failure has left behind would speak after the silence.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        log.setLevel(level)


def _scored(lm: Any, plain: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Ask for log-probabilities of prompts, and say so where the server gives none.

    Raises:
        DormantError: It refuses to.
    """
    try:
        return plain(*given, **named)
    except Exception as error:
        words = _refusal(lm) if _answered(error) else None
        if words is None:
            raise
        raise DormantError(
            f"the server gives no log-probabilities of a prompt (asked for echo, it {words}): ask "
            "it abilities whose answers are written (-t everyday, -t refusal), name the model's "
            "files in its place, or have vLLM serve them"
        ) from error


def _answered(error: Exception) -> bool:
    """Whether a server answered, with a status of either client or with what can't be read."""
    answer = getattr(error, "response", None)
    status = getattr(error, "status", getattr(answer, "status_code", None))
    return isinstance(status, int) or isinstance(error, (LookupError, TypeError, AttributeError))


def _refusal(lm: Any) -> str | None:
    """Return what a server does when it is asked for ``echo``; `None` where it honours it.

    llama.cpp's refused it in a status whose words the harness drops, and ignores it since.
    """
    body = {"model": lm.model, "prompt": "One two", "max_tokens": 1, "logprobs": 1, "echo": True}
    try:
        with urllib.request.urlopen(_request(str(lm.base_url), body), timeout=_SECONDS) as answer:
            (choice,) = json.loads(answer.read())["choices"]
        # None of the prompt's tokens, or in a form that is no part of this interface.
        told = (choice["logprobs"] or {}).get("token_logprobs") or []
        return None if len(told) > 1 else "leaves out the prompt"
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        with contextlib.suppress(ValueError, LookupError, TypeError):
            told = json.loads(text)["error"]
            text = str(told["message"] if isinstance(told, dict) else told)
        return f"says: {one_line(text)}" if "echo" in text.lower() else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
