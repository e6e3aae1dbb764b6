"""What becomes of the texts of lm-evaluation-harness's requests under a transform.

A request is text only: a context, a continuation, strings at which generation stops. They are cut
into words and layout (`dormant.prompts.layout`), as `dormant audit` cuts the harness's prompts,
so the two put the same words to a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from dormant.errors import DormantError
from dormant.prompts.layout import Piece, by_line, joined, labels, pieces, up_to
from dormant.prompts.protect import find, images, invert_around
from dormant.prompts.text_transform import TextTransform

_WORD = re.compile(r"\w")
_LAST_WORD = re.compile(r"\s*\S+\Z")
_TAG = re.compile(r"<[^<>\s]+>|\[/?[A-Z]+\]")
"""What models and templates mark turns and ends with: "</s>", "<|im_end|>", "[/INST]"."""


class Rendered(str):
    """A prompt that a chat template made of messages which had been transformed.

    It is marked by its type, since the harness puts the template on before the model sees a
    request, and may keep requests on disk between runs (``--cache_requests``).

    Attributes:
        kept: Texts that the transform left alone in it.
    """

    kept: tuple[str, ...] = ()


Context: TypeAlias = Any
"""A prompt as the harness hands it over: a `str`, a `Rendered`, or, for the servers of chat
completions, an object of the harness's own that holds messages."""


class Generation(NamedTuple):
    """A prompt to be continued.

    Attributes:
        prompt: s(prompt).
        until: Where the model stops: s of the strings given, those it can render.
        kept: Texts that s left alone, and that s⁻¹ leaves alone where the model repeats them.
    """

    prompt: Context
    until: list[str]
    kept: tuple[str, ...]


class Conjugation:
    """s on requests and s⁻¹ on what a model writes.

    Args:
        transform: The pair (s, s⁻¹).
        keep: Whether numbers, URLs, code and the like stay as they are (`kept.find`).
    """

    def __init__(self, transform: TextTransform, *, keep: bool = False) -> None:
        self.transform = transform
        self.keep = keep
        self._images: dict[str, str | DormantError] = {}

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
        cut = [pieces(text, known) for text in texts]
        self._prepare(piece for one in cut for piece in one)
        return [self._sure(one) for one in cut]

    def documents(self, texts: Sequence[str]) -> list[str]:
        """Return s of texts that have nothing to do with one another.

        Raises:
            DormantError: One is outside the domain of s, or can't be rendered.
        """
        cut = [pieces(text, labels([text])) for text in texts]
        self._prepare(piece for one in cut for piece in one)
        return [self._sure(one) for one in cut]

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
        prompts = {context: _cut(context) for context in different}
        cut = [
            (prompts[context][1], pieces(continuation, prompts[context][0]))
            if _raw(context)
            else ([], pieces(continuation, frozenset()))
            for context, continuation in pairs
        ]
        joints = [_across(before, after) for before, after in cut]
        self._prepare(piece for both in cut for part in both for piece in part)
        self._prepare(piece for piece in joints if piece is not None)
        moved = [self._moved(before, after) for before, after in cut]
        self._prepare(piece for before, after in moved for piece in (*before, *after))
        return [
            (self._sure(before) if _raw(context) else context, self._continuation(before, after))
            for (context, _), (before, after) in zip(pairs, moved, strict=True)
        ]

    def generations(self, requests: Sequence[tuple[Context, Sequence[str]]]) -> list[Generation]:
        """Return s of prompts and of the strings at which their continuations stop.

        A string that s can't render is left out, since `undone` ends an answer there anyway; white
        space stands as it is; what looks like a model's own mark ("<|im_end|>") is looked for as it
        is too.

        Raises:
            DormantError: A prompt is outside the domain of s, or can't be rendered.
        """
        prompts = [
            _cut(context) if _raw(context) else (frozenset[str](), []) for context, _ in requests
        ]
        stops = [
            {stop: pieces(stop, known) for stop in until}
            for (known, _), (_, until) in zip(prompts, requests, strict=True)
        ]
        self._prepare(piece for _, cut in prompts for piece in cut)
        self._prepare(piece for cuts in stops for cut in cuts.values() for piece in cut)
        found: list[Generation] = []
        for (context, _), (_, cut), cuts in zip(requests, prompts, stops, strict=True):
            until: list[str] = []
            for stop, parts in cuts.items():
                image = joined(parts, self._images.__getitem__)
                until += [image] if isinstance(image, str) else []
                until += [stop] if _TAG.fullmatch(stop.strip()) else []
            kept = self._kept(cut) if _raw(context) else getattr(context, "kept", ())
            prompt = self._sure(cut) if _raw(context) else context
            found.append(Generation(prompt, list(dict.fromkeys(until)), kept))
        return found

    def kept(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return what s leaves alone in texts."""
        known = labels(texts)
        return self._kept([piece for text in texts for piece in pieces(text, known)])

    def undone(self, output: str, kept: Sequence[str], until: Sequence[str]) -> str | None:
        """Return s⁻¹ of what a model wrote, up to the first of `until`; `None` if there is none.

        Args:
            output: The model's own words.
            kept: See `Generation`.
            until: The strings at which the plain answer ends.
        """
        try:
            plain = by_line(lambda words: invert_around(self.transform, words, kept), output)
        except DormantError:
            return None
        return up_to(plain, until)

    # -- inside ---------------------------------------------------------------------------------

    def _prepare(self, cut: Iterable[Piece]) -> None:
        """Transform all words that aren't known yet, in one batch."""
        new = list(
            dict.fromkeys(
                piece.text
                for piece in cut
                if piece.role != "layout" and piece.text not in self._images
            )
        )
        if new:
            self._images |= images(self.transform, new, self.keep)

    def _sure(self, cut: Sequence[Piece]) -> str:
        text = joined(cut, self._images.__getitem__)
        if isinstance(text, DormantError):
            raise text
        return text

    def _kept(self, cut: Sequence[Piece]) -> tuple[str, ...]:
        if not self.keep:
            return ()
        words = [piece.text for piece in cut if piece.role != "layout"]
        found = [text[start:stop] for text in words for start, stop in find(text)]
        return tuple(dict.fromkeys(found))

    def _moved(self, before: list[Piece], after: list[Piece]) -> tuple[list[Piece], list[Piece]]:
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
        moved = [Piece(gap, "layout")] if gap else []
        return (
            [*before[:-1], *([Piece(head, before[-1].role)] if head else [])],
            [*moved, Piece(word + after[0].text, "text"), *after[1:]],
        )

    def _continuation(self, before: list[Piece], after: list[Piece]) -> str:
        both = _across(before, after)
        rest = self._split(before, both) if both is not None else None
        return self._sure(after) if rest is None else rest + self._sure(after[1:])

    def _split(self, before: list[Piece], both: Piece) -> str | None:
        """Return what s(both) has after s of the context's last piece; `None` if it differs."""
        head, whole = self._images[before[-1].text], self._images[both.text]
        if not (isinstance(head, str) and isinstance(whole, str)):
            return None
        return whole.removeprefix(head) if whole.startswith(head) and whole != head else None


def _raw(context: Context) -> bool:
    """Whether a context is the task's own words, not a template's rendering."""
    return isinstance(context, str) and not isinstance(context, Rendered)


def _cut(context: str) -> tuple[frozenset[str], list[Piece]]:
    known = labels([context])
    return known, pieces(context, known)


def _across(before: Sequence[Piece], after: Sequence[Piece]) -> Piece | None:
    """Return the piece in which context and continuation meet, if no white space parts them."""
    if not before or not after or "layout" in (before[-1].role, after[0].role):
        return None
    return Piece(before[-1].text + after[0].text, "text")
