"""The one place where a transform s meets a prompt, and where its answer is undone (paper §3).

A prompt is a row of segments: those of a task's `Case`, of a chat's messages, of a request of
lm-evaluation-harness, or what `dormant.prompts.layout.cut` makes of free text. s changes the words
of each line; layout and protected spans stay. s⁻¹ reads an answer line by line, as s has written
the prompt, and leaves alone the protected texts that the model repeats. So an audit, ``dormant
ask``, `dormant.conjugate`, the harness's model and Inspect's solver say the same of one answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from dormant.conjugation import Predictor
from dormant.errors import DormantError
from dormant.prompts.layout import cut, lines, text_of
from dormant.prompts.protect import Outcome, apply_all, find, invert_all, occurrences
from dormant.prompts.segment import Segment, Span
from dormant.prompts.text_transform import TextTransform

_TAG = re.compile(r"<[^<>\s]+>|\[/?[A-Z]+\]")
"""What models and templates mark turns and ends with: "</s>", "<|im_end|>", "[/INST]"."""

WayBack: TypeAlias = Callable[[str], str]
"""An `Undo`, or any other function that undoes an answer or raises `DormantError`."""
_Key: TypeAlias = tuple[str, tuple[Span, ...]]
"""What decides the image of words: their text and protected spans, whatever they are for."""


class Conjugated(NamedTuple):
    """A prompt under a transform, and the way back.

    Attributes:
        segments: s(prompt), in the prompt's own order.
        undo: s⁻¹, for what a model writes after it.
    """

    segments: tuple[Segment, ...]
    undo: Undo


@dataclass(frozen=True)
class Undo:
    """s⁻¹ for answers to one prompt.

    Attributes:
        transform: The pair (s, s⁻¹).
        protected: Texts that s left alone in the prompt, and that s⁻¹ leaves alone where the model
            repeats them as whole words.
        before: What is undone after this, where s met a prompt that was transformed already.
    """

    transform: TextTransform
    protected: tuple[str, ...] = ()
    before: WayBack | None = None

    def __call__(self, answer: str, /) -> str:
        """Return s⁻¹(answer), line by line.

        Raises:
            DormantError: A line can't be read back.
        """
        (undone,) = undo_all([self], [answer])
        if isinstance(undone, DormantError):
            raise undone
        return undone


class Conjugation:
    """s on many prompts: every different text is transformed once, many of them in one batch.

    Args:
        transform: The pair (s, s⁻¹).
        protect: Whether s leaves alone numbers, URLs, code and the like too, in segments that
            declare no protected spans of their own (`dormant.prompts.protect.find`).
    """

    def __init__(self, transform: TextTransform, *, protect: bool = False) -> None:
        self.transform = transform
        self.protect = protect
        self._images: dict[_Key, Outcome] = {}

    def prepare(self, segments: Iterable[Segment]) -> None:
        """Transform all words that are not known yet, in one batch; errors are kept for `image`."""
        words = (_key(part) for segment in segments for part in self._cut(segment))
        new = [key for key in dict.fromkeys(words) if key not in self._images]
        if new:
            done = apply_all(self.transform, [text for text, _ in new], [spans for _, spans in new])
            self._images.update(zip(new, done, strict=True))

    def image(self, segment: Segment) -> Outcome:
        """Return s(segment), or why there is none: outside the domain, or not to be rendered."""
        if segment.role == "layout":
            return segment
        self.prepare([segment])
        return _joined(segment, self._cut(segment, layout=True), self._images)

    def conjugate(self, segments: Sequence[Segment], before: WayBack | None = None) -> Conjugated:
        """Return s(prompt), and s⁻¹ for what a model writes after it.

        Args:
            segments: The prompt; answers to be scored may be among them.
            before: The way back of what was applied before.

        Raises:
            DormantError: A text is outside the domain of s, or can't be rendered.
        """
        self.prepare(segments)
        images = tuple(_sure(self.image(segment)) for segment in segments)
        return Conjugated(images, Undo(self.transform, protected_texts(images), before))

    def stops(self, until: Iterable[str], known: frozenset[str] = frozenset()) -> list[str]:
        """Return what a model under s stops at where it would stop at one of `until`.

        A string that s can't render is left out, so an answer has to be cut once more when it is
        undone (`dormant.prompts.layout.up_to`). White space stands as it is; what looks like a
        model's own mark (``<|im_end|>``) is looked for as it is, too.

        Args:
            until: Texts at which the plain answer ends.
            known: The prompt's labels.
        """
        parts = {stop: cut(stop, known) for stop in until}
        self.prepare(segment for some in parts.values() for segment in some)
        images: list[str] = []
        for stop, some in parts.items():
            rendered = [self.image(segment) for segment in some]
            sure = [one for one in rendered if isinstance(one, Segment)]
            images += [text_of(sure)] if len(sure) == len(rendered) else []
            images += [stop] if _TAG.fullmatch(stop.strip()) else []
        return list(dict.fromkeys(images))

    def _cut(self, segment: Segment, *, layout: bool = False) -> list[Segment]:
        parts = [part for part in lines(segment) if layout or part.role != "layout"]
        if not self.protect or segment.protected:
            return parts
        return [
            part if part.role == "layout" else replace(part, protected=find(part.text))
            for part in parts
        ]


def conjugate(
    transform: TextTransform, segments: Sequence[Segment], protect: bool = False
) -> Conjugated:
    """Put one prompt under a transform.

    Args:
        transform: The pair (s, s⁻¹).
        segments: The prompt.
        protect: See `Conjugation`, which serves many prompts at once.

    Returns:
        s(prompt) in segments, and s⁻¹ for what a model writes after it.

    Raises:
        DormantError: A text is outside the domain of s, or can't be rendered.
    """
    return Conjugation(transform, protect=protect).conjugate(segments)


def conjugated(predict: Predictor[str, str], transform: TextTransform) -> Predictor[str, str]:
    """Return s⁻¹ ∘ predict ∘ s over free text, as ``dormant ask`` puts it to a model."""

    def conjugated(prompt: str) -> str:
        segments, undo = conjugate(transform, cut(prompt))
        return undo(predict(text_of(segments)))

    return conjugated


def undo_all(ways: Sequence[WayBack], answers: Sequence[str]) -> list[str | DormantError]:
    """Undo many answers; those under one transform go back in one batch.

    Args:
        ways: The way back of each.
        answers: What a model wrote.

    Returns:
        For every answer s⁻¹ of it, or why it can't be read back.
    """
    results: list[str | DormantError] = list(answers)
    going = dict(enumerate(ways))
    while going:
        alike: dict[TextTransform, dict[int, Segment]] = {}
        for place, way in going.items():
            text = str(results[place])
            if isinstance(way, Undo):
                spans = occurrences(text, way.protected)
                alike.setdefault(way.transform, {})[place] = Segment(text, protected=spans)
            else:
                results[place] = _called(way, text)
        for transform, written in alike.items():
            for place, plain in zip(written, restored(transform, written.values()), strict=True):
                results[place] = plain.text if isinstance(plain, Segment) else plain
        going = {
            place: way.before
            for place, way in going.items()
            if isinstance(way, Undo) and way.before is not None and isinstance(results[place], str)
        }
    return results


def _called(way: WayBack, answer: str) -> str | DormantError:
    try:
        return way(answer)
    except DormantError as error:
        return error


def restored(transform: TextTransform, images: Iterable[Segment]) -> list[Outcome]:
    """Return s⁻¹ of texts whose protected spans are known, line by line, in one batch."""
    images = list(images)
    parts = [lines(image) for image in images]
    words = list(
        dict.fromkeys(_key(part) for some in parts for part in some if part.role != "layout")
    )
    done = invert_all(transform, [Segment(text, protected=spans) for text, spans in words])
    known = dict(zip(words, done, strict=True))
    return [_joined(image, some, known) for image, some in zip(images, parts, strict=True)]


def protected_texts(segments: Iterable[Segment]) -> tuple[str, ...]:
    """Return the different texts that stand in protected spans."""
    spans = ((segment.text, span) for segment in segments for span in segment.protected)
    return tuple(dict.fromkeys(text[start:stop] for text, (start, stop) in spans))


def _key(segment: Segment) -> _Key:
    return segment.text, segment.protected


def _joined(whole: Segment, parts: Sequence[Segment], images: Mapping[_Key, Outcome]) -> Outcome:
    """Put a segment together of the images of its words; the first error takes its place."""
    text, spans = "", list[Span]()
    for part in parts:
        image = part if part.role == "layout" else images[_key(part)]
        if isinstance(image, DormantError):
            return image
        spans += [(len(text) + start, len(text) + stop) for start, stop in image.protected]
        text += image.text
    return replace(whole, text=text, protected=tuple(spans))


def _sure(image: Outcome) -> Segment:
    if isinstance(image, DormantError):
        raise image
    return image
