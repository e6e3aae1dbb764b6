"""A model that runs in this process: requests wait in one line, and are written side by side."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dormant.errors import DormantError, one_line
from dormant.integrations.serve.engine import Written
from dormant.integrations.serve.errors import Refused, invalid
from dormant.integrations.serve.requests import Asked
from dormant.models import generate as generation
from dormant.models.generate import Sampling, Wanted
from dormant.models.worker import Worker
from dormant.scoring.encoding import encode_together
from dormant.scoring.generation import ends_of

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_WARM_ROOM = 32
"""Tokens that a word takes at most, with those of any tokenizer before it."""
_LEAST_TEMPERATURE = 0.01
"""Below, logits over it overflow."""


def _stopping() -> Refused:
    return Refused(503, "the server is stopping", code="stopping")


@dataclass(eq=False, kw_only=True)
class _Job:
    """A text to be written.

    Attributes:
        prompt: As the model reads it.
        max_tokens: Tokens asked for; `None` for the server's default.
        stops: Where the model stops.
        sampling: How it is drawn.
        tell: Takes the text after each token; `None` where nobody waits for that.
        dropped: Set where nobody waits for the text any more.
        tokens: What is written so far.
    """

    prompt: str
    max_tokens: int | None
    stops: tuple[str, ...]
    sampling: Sampling | None
    tell: Callable[[Written], None] | None = None
    dropped: threading.Event = field(default_factory=threading.Event)
    tokens: list[int] = field(default_factory=list[int])


class LocalEngine:
    """Writes with a model of lm-evaluation-harness's interface.

    Args:
        lm: The model. Dormant's own count tokens, stream and draw; others write the likeliest text
            and tell nothing more.
        name: Its name; without one it takes requests for whatever model they name.
        max_tokens: Tokens of an answer where a request doesn't say.
    """

    forwards = False

    def __init__(self, lm: LM, name: str, max_tokens: int) -> None:
        self.name = name or "model"
        self._is_named = bool(name)
        self._lm: Any = lm
        self._max_tokens = max_tokens
        self._tells = hasattr(lm, "watch")
        self._worker: Worker[_Job, Written | Refused] = Worker(self._answered, "dormant-serve")
        self._closed = threading.Event()
        self._ends: set[Callable[[None], None]] = set()

    def warm_up(self) -> None:
        """Have answers of usual length checked now, so that no request waits for it.

        Raises:
            DormantError: The model can't write.
        """
        if self._tells:
            length = max(1, min(self._max_tokens, self._lm.max_length - _WARM_ROOM))
            hello = Wanted("Hello", length)
            generation.generate_each(self._lm, [hello], lambda _place, _text: False)

    async def write(
        self, asked: Asked, texts: tuple[str, ...], stops: tuple[str, ...], key: str | None
    ) -> AsyncGenerator[Written]:
        """Write an answer; see `Engine`."""
        del key
        if self._is_named and asked.model not in (None, self.name):
            raise Refused(
                404,
                f"no model {asked.model!r} here: {self.name!r} is served",
                param="model",
                code="model_not_found",
            )
        job = _Job(
            prompt=self._rendered(asked, texts),
            max_tokens=asked.max_tokens,
            stops=stops,
            sampling=self._sampling(asked),
        )
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Written | None] = asyncio.Queue()

        def tell(written: Written | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(told.put_nowait, written)

        if self._closed.is_set():
            raise _stopping()
        if asked.stream:
            job.tell = tell
        future = self._worker.submit(job)
        future.add_done_callback(lambda _: tell(None))
        self._ends.add(tell)
        try:
            while (written := await told.get()) is not None:
                while written is not None and not told.empty():
                    # Each holds all that the one before it held.
                    written = told.get_nowait()
                if written is None:
                    break
                yield written
            if not future.done() or future.cancelled():
                raise _stopping()
            last = future.result()
            if isinstance(last, Refused):
                raise last
            yield last
        except DormantError as error:
            raise Refused(500, str(error), code="model_failed") from error
        finally:
            job.dropped.set()
            future.cancel()
            self._ends.discard(tell)

    async def models(self, key: str | None) -> dict[str, Any]:
        """List the one model; see `Engine`."""
        del key
        one = {"id": self.name, "object": "model", "created": 0, "owned_by": "dormant"}
        return {"object": "list", "data": [one]}

    async def close(self) -> None:
        """End all texts; see `Engine`."""
        self._closed.set()
        self._worker.close()
        for end in self._ends:
            end(None)

    def join(self) -> None:
        """Wait, after `close`, until the model is left alone."""
        self._worker.join()

    # -- requests -------------------------------------------------------------------------------

    def _rendered(self, asked: Asked, texts: Sequence[str]) -> str:
        if asked.kind == "completion":
            return texts[0]
        if "developer" in asked.roles:
            place = asked.roles.index("developer")
            raise invalid(
                "models that run here know no developer: write system", f"messages[{place}].role"
            )
        turns = [
            {"role": role, "content": text} for role, text in zip(asked.roles, texts, strict=True)
        ]
        try:
            rendered = generation.render_chat(self._lm, turns)
            left_out = generation.leaves_out_system(self._lm, turns, rendered)
        except DormantError:
            raise invalid(
                f"{self.name!r} has no chat template: ask at /v1/completions", "messages"
            ) from None
        except Exception as error:
            # Templates are programs: they raise whatever they like.
            raise invalid(f"the chat template refuses it: {one_line(error)}", "messages") from error
        if left_out:
            raise invalid("the chat template has no place for a system message", "messages")
        return rendered

    def _sampling(self, asked: Asked) -> Sampling | None:
        if not asked.temperature:
            if asked.top_p not in (None, 1):
                raise invalid(
                    "top_p needs a temperature above 0: without one the likeliest tokens are taken",
                    "top_p",
                )
            return None
        if not self._tells:
            raise invalid(
                f"{self.name!r} writes the likeliest text only: leave temperature out",
                "temperature",
            )
        if asked.temperature < _LEAST_TEMPERATURE:
            raise invalid(f"temperature is 0, or at least {_LEAST_TEMPERATURE}", "temperature")
        seed = secrets.randbits(63) if asked.seed is None else asked.seed
        return Sampling(asked.temperature, asked.top_p or 1.0, seed)

    # -- in the worker's thread -----------------------------------------------------------------

    def _answered(self, jobs: Sequence[_Job]) -> list[Written | Refused]:
        counts: dict[int, int | None] = {}
        found: dict[int, Written | Refused] = {}
        wanted: list[Wanted] = []
        for place, job in enumerate(jobs):
            try:
                counts[place], length = self._room(job)
            except Refused as refused:
                found[place] = refused
                continue
            wanted.append(Wanted(job.prompt, length, job.stops, job.sampling))
        asked = list(counts)

        def watch(place: int, tokens: Sequence[int]) -> bool:
            job = jobs[asked[place]]
            job.tokens = list(tokens)
            if job.tell is not None and not job.dropped.is_set():
                usage = self._usage(counts[asked[place]], job)
                job.tell(Written(output=self._said(tokens), usage=usage))
            return not (job.dropped.is_set() or self._closed.is_set())

        outputs = generation.generate_each(self._lm, wanted, watch)
        for place, one, output in zip(asked, wanted, outputs, strict=True):
            if self._closed.is_set():
                found[place] = _stopping()
                continue
            found[place] = Written(
                output=output,
                reason=self._reason(jobs[place], one),
                usage=self._usage(counts[place], jobs[place]),
            )
        return [found[place] for place in range(len(jobs))]

    def _room(self, job: _Job) -> tuple[int | None, int]:
        """Return a prompt's tokens, where they are known, and how many may be written."""
        if not self._tells:
            return None, job.max_tokens or self._max_tokens
        lm = self._lm
        ids = encode_together(lm, [job.prompt], getattr(lm.tokenizer, "bos_token", None))
        count = len(ids[job.prompt])
        room = lm.max_length - count
        if room < (job.max_tokens or 1):
            raise invalid(
                f"{count} tokens of prompt leave no room for {job.max_tokens or 1} more in the "
                f"model's context of {lm.max_length}",
                "max_tokens",
                "context_length_exceeded",
            )
        return count, job.max_tokens or min(self._max_tokens, room)

    def _said(self, tokens: Sequence[int]) -> str:
        # What is left of a character whose bytes are still coming.
        return self._lm.tok_decode(list(tokens)).rstrip("\ufffd")

    def _reason(self, job: _Job, wanted: Wanted) -> str:
        """Say why a text ended; a backend that tells nothing is taken to have ended it itself."""
        if len(job.tokens) < wanted.max_new_tokens:
            return "stop"
        ends = ends_of(self._lm.model) or frozenset()
        said = self._lm.tok_decode(job.tokens, skip_special_tokens=False)
        by_itself = job.tokens[-1] in ends or any(stop in said for stop in job.stops)
        return "stop" if by_itself else "length"

    def _usage(self, prompt: int | None, job: _Job) -> dict[str, int] | None:
        if prompt is None:
            return None
        written = len(job.tokens)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
        }
