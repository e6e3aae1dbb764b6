"""Messages under a transform, and what providers make of raw prompts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from inspect_ai.model import ChatMessage, ChatMessageUser, Content, ContentText, Model
from inspect_ai.model._model import active_model

from dormant.errors import DormantError

_Message = TypeVar("_Message", bound=ChatMessage)


def texts(messages: Sequence[ChatMessage]) -> list[str]:
    """Return all texts of messages, in order."""
    found: list[str] = []
    for message in messages:
        rewritten(message, lambda text: found.append(text) or text)
    return found


def rewritten(message: _Message, change: Callable[[str], str]) -> _Message:
    """Return a message with its texts changed; images and the like stay.

    The message gets an identifier of its own: Inspect keeps one message for each.
    """
    content: str | list[Content]
    if isinstance(message.content, str):
        content = change(message.content)
    else:
        content = [
            part.model_copy(update={"text": change(part.text)})
            if isinstance(part, ContentText)
            else part
            for part in message.content
        ]
    return message.model_copy(update={"content": content, "id": uuid.uuid4().hex})


def refuse_contaminating(model: Model | None = None) -> None:
    """Refuse a provider that puts words of its own around the prompt of a base model.

    Inspect's providers of local models write ``user: `` before each message and a line break
    after it where there is no chat template: a base model then reads another prompt.

    Args:
        model: By default the one that is being evaluated, where one is.

    Raises:
        DormantError: The model's provider does; the message says what to use.
    """
    model = model or active_model()
    if model is None:
        return
    sent = ChatMessageUser(content="dormant: what becomes of this?")
    seen = _seen(model, sent)
    if seen is not None and seen == f"user: {sent.text}\n":
        raise DormantError(
            f"{model}: this provider writes 'user: ' before a prompt where there is no chat "
            "template, so a base model would not read the prompt itself: use --model "
            f"dormant/{model.name}, which gives the model the prompt and nothing else"
        )


def _seen(model: Model, message: ChatMessage) -> str | None:
    """Return what a local model would read of a message; `None` where that can't be told."""
    api: Any = model.api
    provider = str(model).split("/")[0]
    if provider == "hf":
        return str(api.hf_chat([message], []))
    if provider == "nnterp":
        return str(api._apply_chat_template([message]))
    # transformer_lens knows no chat templates at all.
    return f"{message.role}: {message.text}\n" if provider == "transformer_lens" else None
