"""Which models a server has: many answer under any name, with whatever they have loaded."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from dormant.errors import DormantError

SERVERS = ("local-completions", "local-chat-completions")
"""Backends of lm-evaluation-harness that ask a server at an address of the user's."""
_FIXED = ("vllm", "llamacpp")
"""Makers, as servers name them, of servers that have what they list and load nothing else."""
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
    request = urllib.request.Request(f"{root}/models")
    if key := os.environ.get("OPENAI_API_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            found = json.loads(answer.read())["data"]
            fixed = all(one.get("owned_by") in _FIXED for one in found)
            return [str(one["id"]) for one in found] if fixed else ()
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ()
