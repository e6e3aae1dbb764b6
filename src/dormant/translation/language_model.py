"""A language model as translator: any that writes text, and OpenAI-compatible servers."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from dormant.errors import DormantError
from dormant.prompts.text_transform import all_or_raise, outcomes
from dormant.translation.engine import Pair, TranslationError, unavailable
from dormant.translation.languages import by_code, by_name
from dormant.translation.marks import restore, spell_out

Generate: TypeAlias = Callable[[Sequence[str]], list[str]]
"""Maps prompts to what a model writes after them; raises `BatchError` where only some fail."""

INSTRUCTION = (
    "Translate the {source} text into {target}. Answer with the translation only, on one line."
    "\n\n{source}: {text}\n{target}:"
)
"""The prompt: an instruction for tuned models, which ends as a completion for base models."""
_PROMPT_VERSION = 1
"""Raised whenever the prompt changes: translations are cached by it."""

BASE_URL, API_KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
"""Environment variables that OpenAI's own clients read."""

_SECONDS = 120.0
_ATTEMPTS = 3
_PAUSE_S = 0.25
_AT_ONCE = 8
_MAX_TOKENS = 1024


@dataclass(frozen=True)
class LanguageModel:
    """A translator made of anything that generates text.

    Attributes:
        generate: Writes on after prompts, deterministically.
        release: What identifies the model in records and in the cache.
        name: As written after the ``@``.
        prompt: Template with ``{source}``, ``{target}`` (names of languages) and ``{text}``.
    """

    generate: Generate = field(repr=False)
    release: str
    name: str = "lm"
    prompt: str = INSTRUCTION

    def pairs(self) -> list[Pair]:
        """Return every pair: a model may be asked for any; the checks see what comes of it."""
        codes = [one.code for one in by_name().values()]
        return [(one, other) for one in codes for other in codes if one != other]

    def version(self, source: str, target: str) -> str:
        """Return the model's own name, and a digest of the prompt if it is not the usual one."""
        del source, target
        if self.prompt == INSTRUCTION:
            return f"{self.release}-p{_PROMPT_VERSION}"
        return f"{self.release}-p{hashlib.sha256(self.prompt.encode()).hexdigest()[:8]}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate texts of one line each: the first line of what the model writes.

        Raises:
            BatchError: The model failed on some texts.
        """
        named = [by_code()[code].name.title() for code in (source, target)]
        spelt = [spell_out(text) for text in texts]
        prompts = [
            self.prompt.format(source=named[0], target=named[1], text=text) for text, _ in spelt
        ]
        written = outcomes(self.generate, prompts)
        return all_or_raise(
            [
                TranslationError(self.name, text, str(one))
                if isinstance(one, DormantError)
                else restore(_first_line(one, named[1]), names)
                for text, (_, names), one in zip(texts, spelt, written, strict=True)
            ]
        )


def server(model: str | None) -> LanguageModel:
    """Return a translator that asks an OpenAI-compatible server.

    Args:
        model: The model's name on the server. The server's address and key come from
            ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``.

    Raises:
        DormantError: No model is named, or httpx is not installed.
    """
    if not model:
        raise unavailable("openai", "name the server's model, as LANGUAGE@openai:MODEL")
    try:
        import httpx
    except ImportError as error:
        raise unavailable("openai", "pip install 'dormant[translate]'") from error
    base = os.environ.get(BASE_URL)
    if not base:
        raise unavailable("openai", f"set {BASE_URL} to the server's address, ending in /v1")
    key = os.environ.get(API_KEY, "")
    client = httpx.Client(
        base_url=base.rstrip("/") + "/",
        timeout=_SECONDS,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        transport=httpx.HTTPTransport(retries=_ATTEMPTS - 1),
    )

    def ask(prompt: str) -> str | DormantError:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": _MAX_TOKENS,
        }
        for attempt in itertools.count(1):
            try:
                reply = client.post("chat/completions", json=body)
            except httpx.HTTPError as error:
                return DormantError(f"{base} doesn't answer: {type(error).__name__}: {error}")
            # Too many requests, or the server's own trouble: worth another try.
            busy = reply.status_code == 429 or reply.status_code >= 500
            if not busy or attempt == _ATTEMPTS:
                return _content(base, reply.status_code, reply.text, reply)
            time.sleep(_PAUSE_S * 2**attempt)
        raise AssertionError("unreachable")

    def generate(prompts: Sequence[str]) -> list[str]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return all_or_raise(list(pool.map(ask, prompts)))

    # Two servers may give one name to different models.
    place = hashlib.sha256(base.rstrip("/").encode()).hexdigest()[:6]
    return LanguageModel(generate, release=f"{model}-{place}", name="openai")


def _content(base: str, status: int, text: str, reply: Any) -> str | DormantError:
    if status != 200:
        return DormantError(f"{base} answered {status}: {text[:200].strip()}")
    try:
        choice = reply.json()["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return DormantError(f"{base} answered without choices[0].message.content: {text[:200]}")
    if choice.get("finish_reason") == "length":
        return DormantError(f"the translation was cut off after {_MAX_TOKENS} tokens")
    return str(content or "")


def _first_line(written: str, target: str) -> str:
    line = next((line.strip() for line in written.splitlines() if line.strip()), "")
    return re.sub(rf"^{re.escape(target)}:\s*", "", line)
