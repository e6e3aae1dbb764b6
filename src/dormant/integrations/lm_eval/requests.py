"""What becomes of the texts of lm-evaluation-harness's requests under a transform.

A request is text only: a context, a continuation, strings at which generation stops. They are cut
into segments, as `dormant audit` cuts the harness's prompts, and put under the transform where all
prompts are (`dormant.prompts.conjugate`), so the two put the same words to a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from dormant.errors import DormantError
from dormant.prompts.conjugate import Conjugation, Undo, protected_texts
from dormant.prompts.layout import cut, labels, text_of, up_to
from dormant.prompts.segment import Segment
from dormant.prompts.text_transform import TextTransform

_WORD = re.compile(r"\w")
_LAST_WORD = re.compile(r"\s*\S+\Z")


class Rendered(str):
    """A prompt that a chat template made of messages which had been transformed.

    It is marked by its type, since the harness puts the template on before the model sees a
    request, and may keep requests on disk between runs (``--cache_requests``).

    Attributes:
        protected: Texts that the transform left alone in it.
    """

    protected: tuple[str, ...] = ()


Context: TypeAlias = Any
"""A prompt as the harness hands it over: a `str`, a `Rendered`, or, for the servers of chat
completions, an object of the harness's own that holds messages."""


class Generation(NamedTuple):
    """A prompt to be continued.

    Attributes:
        prompt: s(prompt).
        until: Where the model stops: s of the strings given, those it can render.
        protected: Texts that s left alone, and that s⁻¹ leaves alone where the model repeats them.
    """

    prompt: Context
    until: list[str]
    protected: tuple[str, ...]


class Requests:
    """s on the harness's requests and s⁻¹ on what a model writes.

    Args:
        transform: The pair (s, s⁻¹).
        keep: Whether numbers, URLs, code and the like stay as they are (`protect.find`).
    """

    def __init__(self, transform: TextTransform, *, keep: bool = False) -> None:
        self.transform = transform
        self.keep = keep
        self._s = Conjugation(transform, protect=keep)

    @property
    def signature(self) -> str:
        """What is done to a text, versions included."""
        return f"{self.transform.signature}{'+keep' if self.keep else ''}"

    def texts(self, texts: Sequence[str]) -> list[str]:
        """Return s of free texts, whose field labels are found over all of them.

        Raises:
            DormantError: One is outside the domain of s, or can't be rendered.
        """
        known = labels(texts)
        return self._all([cut(text, known) for text in texts])

    def documents(self, texts: Sequence[str]) -> list[str]:
        """Return s of texts that have nothing to do with one another.

        Raises:
            DormantError: One is outside the domain of s, or can't be rendered.
        """
        return self._all([cut(text) for text in texts])

    def pairs(self, pairs: Sequence[tuple[Context, str]]) -> list[tuple[Context, str]]:
        """Return s of contexts and of their continuations.

        White space between the two stands where it stood. Where they meet inside a word, the
        continuation's image is what s of both has after s of the context; and where s of the whole
        word doesn't begin so (pig latin), the whole word goes to the continuation, in all
        continuations of the context that begin in its midst.

        Raises:
            DormantError: One is outside the domain of s, or can't be rendered.
        """
        # The answers to one question come with one prompt each, and prompts are long.
        different = dict.fromkeys(context for context, _ in pairs if _raw(context))
        known = {context: labels([context]) for context in different}
        prompts = {context: cut(context, known[context]) for context in different}
        given = [
            (prompts[context], cut(continuation, known[context]))
            if _raw(context)
            else ([], cut(continuation, frozenset()))
            for context, continuation in pairs
        ]
        joints = [_across(before, after) for before, after in given]
        self._s.prepare(part for both in given for side in both for part in side)
        self._s.prepare(part for part in joints if part is not None)
        moved = [self._moved(before, after) for before, after in given]
        self._s.prepare(part for before, after in moved for part in (*before, *after))
        return [
            (self._text(before) if _raw(context) else context, self._continuation(before, after))
            for (context, _), (before, after) in zip(pairs, moved, strict=True)
        ]

    def generations(self, requests: Sequence[tuple[Context, Sequence[str]]]) -> list[Generation]:
        """Return s of prompts and of the strings at which their continuations stop.

        Raises:
            DormantError: A prompt is outside the domain of s, or can't be rendered.
        """
        raw = [context if _raw(context) else "" for context, _ in requests]
        known = [labels([text]) for text in raw]
        prompts = [cut(text, some) for text, some in zip(raw, known, strict=True)]
        ends = [
            part
            for (_, until), some in zip(requests, known, strict=True)
            for stop in until
            for part in cut(stop, some)
        ]
        self._s.prepare((*(part for prompt in prompts for part in prompt), *ends))
        generations: list[Generation] = []
        for (context, until), prompt, some in zip(requests, prompts, known, strict=True):
            stops = self._s.stops(until, some)
            segments, undo = self._s.conjugate(prompt)
            if _raw(context):
                generations.append(Generation(text_of(segments), stops, undo.protected))
            else:
                generations.append(Generation(context, stops, getattr(context, "protected", ())))
        return generations

    def protected(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return what s leaves alone in texts."""
        known = labels(texts)
        parts = [part for text in texts for part in cut(text, known)]
        return protected_texts(self._s.conjugate(parts).segments)

    def undone(self, output: str, protected: Sequence[str], until: Sequence[str]) -> str | None:
        """Return s⁻¹ of what a model wrote, up to the first of `until`; `None` if there is none.

        Args:
            output: The model's own words.
            protected: See `Generation`.
            until: The strings at which the plain answer ends.
        """
        try:
            return up_to(Undo(self.transform, tuple(protected))(output), until)
        except DormantError:
            return None

    # -- inside ---------------------------------------------------------------------------------

    def _all(self, texts: Sequence[Sequence[Segment]]) -> list[str]:
        self._s.prepare(part for parts in texts for part in parts)
        return [self._text(parts) for parts in texts]

    def _text(self, parts: Sequence[Segment]) -> str:
        return text_of(self._s.conjugate(parts).segments)

    def _moved(
        self, before: list[Segment], after: list[Segment]
    ) -> tuple[list[Segment], list[Segment]]:
        """Move the word in which the two meet to the second, where its image can't be split."""
        both = _across(before, after)
        if both is None or self._split(before, both) is not None:
            return before, after
        if not (_WORD.fullmatch(before[-1].text[-1]) and _WORD.fullmatch(after[0].text[0])):
            return before, after
        text = before[-1].text
        match = _LAST_WORD.search(text)
        assert match is not None  # the text ends in a word
        word = match[0].lstrip()
        gap = match[0].removesuffix(word)
        head = text[: match.start()]
        moved = [Segment(gap, "layout")] if gap else []
        return (
            [*before[:-1], *([Segment(head, before[-1].role)] if head else [])],
            [*moved, Segment(word + after[0].text), *after[1:]],
        )

    def _continuation(self, before: list[Segment], after: list[Segment]) -> str:
        both = _across(before, after)
        rest = self._split(before, both) if both is not None else None
        return self._text(after) if rest is None else rest + self._text(after[1:])

    def _split(self, before: list[Segment], both: Segment) -> str | None:
        """Return what s(both) has after s of the context's last part; `None` if it differs."""
        head, whole = self._s.image(before[-1]), self._s.image(both)
        if isinstance(head, DormantError) or isinstance(whole, DormantError):
            return None
        if not whole.text.startswith(head.text) or whole.text == head.text:
            return None
        return whole.text.removeprefix(head.text)


def _raw(context: Context) -> bool:
    """Whether a context is the task's own words, not a template's rendering."""
    return isinstance(context, str) and not isinstance(context, Rendered)


def _across(before: Sequence[Segment], after: Sequence[Segment]) -> Segment | None:
    """Return the segment in which context and continuation meet, if no white space parts them."""
    if not before or not after or "layout" in (before[-1].role, after[0].role):
        return None
    return Segment(before[-1].text + after[0].text)
