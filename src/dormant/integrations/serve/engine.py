"""What answers a transformed request: a model that runs here, or another server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dormant.integrations.serve.requests import Asked


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a model has written so far.

    Attributes:
        output: All of it, in the words of s.
        reason: Why it ended: "stop", "length", or another server's own word; `None` while it goes
            on.
        usage: Tokens of prompt and answer, as OpenAI counts them; `None` where nobody tells.
        model: The model's name, where another server told it.
        left_out: Fields of another server's answer that could not be undone, and were left out.
    """

    output: str
    reason: str | None = None
    usage: Mapping[str, Any] | None = None
    model: str | None = None
    left_out: tuple[str, ...] = ()


class Engine(Protocol):
    """Answers requests whose texts are transformed already."""

    @property
    def name(self) -> str:
        """The model's name, for responses and for the list of models."""
        ...

    @property
    def forwards(self) -> bool:
        """Whether another server answers, which gets fields that don't touch the text."""
        ...

    def write(
        self, asked: Asked, texts: tuple[str, ...], stops: tuple[str, ...], key: str | None
    ) -> AsyncGenerator[Written]:
        """Let the model write.

        Closing the generator ends it.

        Args:
            asked: The request.
            texts: s of its texts.
            stops: Where the model stops.
            key: The request's own authorisation, for another server.

        Yields:
            What is written so far, the last with its `reason`; one alone where no stream is asked
            for.

        Raises:
            Refused: It can't be answered.
        """
        ...

    async def models(self, key: str | None) -> dict[str, Any]:
        """Return the list of models, as OpenAI lists them.

        Raises:
            Refused: Another server has it, and can't be reached.
        """
        ...

    async def close(self) -> None:
        """End what is being written, and answer no more."""
        ...
