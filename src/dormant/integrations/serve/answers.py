"""Responses in OpenAI's format, with one field more: "dormant", which says what was done."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from dormant.integrations.serve.engine import Written
from dormant.integrations.serve.requests import Asked
from dormant.integrations.serve.switch import Choice
from dormant.prompts.exchange import Exchange

END = "data: [DONE]\n\n"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The response to one request.

    Attributes:
        asked: The request.
        choice: The transform.
        put: The request under it.
        model: The model's name.
    """

    asked: Asked
    choice: Choice
    put: Exchange
    model: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(
        self, text: str | None, reason: str, written: Written, problem: str | None
    ) -> dict[str, Any]:
        """Return the response in one piece.

        Args:
            text: The answer; `None` where the model's words can't be undone.
            reason: Why it ended.
            written: What the model wrote.
            problem: Why there is no answer.
        """
        content: dict[str, Any] = {"text": text or ""}
        if self._chats:
            content = {"message": {"role": "assistant", "content": text, "refusal": None}}
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": reason}
        usage = {} if written.usage is None else {"usage": written.usage}
        kind = "chat.completion" if self._chats else "text_completion"
        said = {"dormant": self.told(written, problem)}
        return {**self._head(kind, written), "choices": [choice], **usage, **said}

    def begins(self) -> str:
        """Return a stream's first event: a chat's says who speaks."""
        if not self._chats:
            return ""
        return self._event({"delta": {"role": "assistant", "content": ""}})

    def piece(self, text: str) -> str:
        """Return an event with a piece of the answer."""
        return self._event({"delta": {"content": text}} if self._chats else {"text": text})

    def ends(self, reason: str, written: Written) -> str:
        """Return a stream's last events."""
        content: dict[str, Any] = {"delta": {}} if self._chats else {"text": ""}
        said = {"dormant": self.told(written, None)}
        last = self._event(content, reason, written, **said)
        if self.asked.counted:
            chunk = {**self._head(self._chunk, written), "choices": [], "usage": written.usage}
            last += event(chunk)
        return last + END

    def told(self, written: Written, problem: str | None) -> dict[str, Any]:
        """Say which transform was used, and what came of it.

        The model's own words are told where they can't be undone, or where they are asked for.
        """
        transform = self.choice.transform
        notes = [self.choice.note] if self.choice.note else []
        if not transform.exact:
            notes.append("a translation: the answer is undone as well as it can be, not exactly")
        if written.left_out:
            notes.append(f"left out, since not undone: {', '.join(written.left_out)}")
        words = {"prompt": list(self.put.texts), "output": written.output}
        shown = words if self.asked.wish.verbose else {}
        return {
            "transform": transform.name,
            "signature": transform.signature,
            "exact": transform.exact,
            "ability": self.choice.ability,
            "verdict": self.choice.verdict,
            "note": "; ".join(notes) or None,
            "problem": problem,
            **({"output": written.output} if problem else {}),
            **shown,
        }

    @property
    def _chats(self) -> bool:
        return self.asked.kind == "chat"

    @property
    def _chunk(self) -> str:
        return "chat.completion.chunk" if self._chats else "text_completion"

    def _head(self, kind: str, written: Written | None = None) -> dict[str, Any]:
        model = (written.model if written else None) or self.model
        name = f"{'chatcmpl' if self._chats else 'cmpl'}-{self.id}"
        return {"id": name, "object": kind, "created": self.created, "model": model}

    def _event(
        self,
        content: dict[str, Any],
        reason: str | None = None,
        written: Written | None = None,
        **more: Any,
    ) -> str:
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": reason}
        # Clients that ask for the usage expect the field in every event.
        usage = {"usage": None} if self.asked.counted else {}
        return event({**self._head(self._chunk, written), "choices": [choice], **usage, **more})


def event(body: dict[str, Any]) -> str:
    """Write an event of a stream."""
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
