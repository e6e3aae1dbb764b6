"""A case: one item as it is put to a model, with the answers to be scored."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from dormant.errors import DormantError
from dormant.prompts.segment import Segment

Style: TypeAlias = Literal["raw", "chat"]
"""How a prompt is put to a model: as it is, or in the model's chat template."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One item as it is put to a model.

    Attributes:
        item: The source item: the same in every language and under every transform; the unit of
            resampling.
        segments: The prompt; its text is theirs, joined by nothing.
        target: The answer of the ability under test.
        distractor: The answer of the reading that fine-tuning favours, if the task has one.
        others: Further wrong answers, scored too (multiple choice).
        target_words: How many leading words of the (transformed) target are scored; `None`
            scores all of it. The paper scores the first word (§3.1).
        answer_prefix: What stands between a raw prompt and its answer. Chat templates put the
            answer on its own, so nothing does there.
        content_free: The prompt with its content taken out ("N/A"), whose answers' probabilities
            calibrate the case's; empty for tasks that don't calibrate.
        style: Whether the prompt goes raw or into the model's chat template, where a probe decides
            that; `None` leaves it to the audit's settings.
        turns: For a chat of several turns: who speaks, and the place of what is said among the
            segments; a model without a chat template reads the segments as they are.
        given: The case before a transform other than native text was applied to it; `None` if
            none was.
        undo: The s⁻¹ of all that was applied since, for text that the model generates; `None` if
            none was.
    """

    item: str
    segments: tuple[Segment, ...]
    target: Segment
    distractor: Segment | None = None
    others: tuple[Segment, ...] = ()
    target_words: int | None = None
    answer_prefix: str = " "
    content_free: tuple[Segment, ...] = ()
    style: Style | None = None
    turns: tuple[tuple[str, int], ...] = ()
    given: Case | None = field(default=None, repr=False)
    undo: Callable[[str], str] | None = field(default=None, compare=False, repr=False)

    @property
    def prompt(self) -> str:
        """The prompt's text, as a model without a chat template reads it."""
        return "".join(segment.text for segment in self.segments)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as a chat template takes it."""
        if not self.turns:
            return [{"role": "user", "content": self.prompt}]
        return [{"role": role, "content": self.segments[place].text} for role, place in self.turns]

    @property
    def content_free_prompt(self) -> str:
        """The content-free prompt's text; empty where there is none."""
        return "".join(segment.text for segment in self.content_free)

    @property
    def scored_target(self) -> str:
        """The part of the target that is scored, without the answer prefix."""
        return leading_words(self.target.text, self.target_words)

    @property
    def answers(self) -> tuple[str, ...]:
        """All answers to score: target, distractor if any, others; without the prefix."""
        rest = (self.distractor, *self.others) if self.distractor else self.others
        return (self.scored_target, *(segment.text for segment in rest))

    def lead(self, style: Style) -> str:
        """Return what stands before an answer where a prompt is put in `style`, unless it says."""
        return self.answer_prefix if (self.style or style) == "raw" else ""

    def undone(self, output: str) -> str | None:
        """Return s⁻¹ of what the model generated; `None` where s⁻¹ can't make anything of it."""
        if self.undo is None:
            return output
        try:
            return self.undo(output)
        except DormantError:
            return None

    @property
    def parts(self) -> tuple[Segment, ...]:
        """All that a transform meets: prompt, answers, content-free prompt; layout included."""
        distractor = (self.distractor,) if self.distractor else ()
        return (*self.segments, self.target, *distractor, *self.others, *self.content_free)

    def of_parts(self, parts: Sequence[Segment]) -> Case:
        """Return the case with other segments in the place of its `parts`, in their order."""
        rest = iter(parts)
        changed = replace(
            self,
            segments=tuple(itertools.islice(rest, len(self.segments))),
            target=next(rest),
            distractor=next(rest) if self.distractor else None,
            others=tuple(itertools.islice(rest, len(self.others))),
            content_free=tuple(itertools.islice(rest, len(self.content_free))),
        )
        assert next(rest, None) is None  # as many as there were
        return changed

    def map(self, change: Callable[[Segment], Segment]) -> Case:
        """Return the case with `change` applied to every segment and answer but layout."""
        return self.of_parts(
            [part if part.role == "layout" else change(part) for part in self.parts]
        )


def leading_words(text: str, count: int | None) -> str:
    """Return the first `count` words of `text`, or all of it for `None`."""
    return text if count is None else " ".join(text.split()[:count])


def few_shot(
    *,
    item: str,
    instruction: str,
    input_label: str,
    output_label: str,
    demonstrations: Sequence[tuple[Segment, Segment]],
    query: Segment,
    target: Segment,
    distractor: Segment | None = None,
    target_words: int | None = None,
) -> Case:
    """Lay out a few-shot prompt as the paper does (§3.1).

    Instruction and blocks are separated by a blank line; a block is ``Input: …`` and
    ``Output: …`` on two lines; the last output is left open, without a trailing space.

    Args:
        item: The source item's id.
        instruction: First paragraph; left out with its separator when empty.
        input_label: Label of the input field, without its colon.
        output_label: Label of the output field, without its colon.
        demonstrations: Pairs of input and output.
        query: The input to answer.
        target: See `Case`.
        distractor: See `Case`.
        target_words: See `Case`.
    """
    layout = _layout
    parts: list[Segment] = []
    if instruction:
        parts += [Segment(instruction, "instruction"), layout("\n\n")]
    for given, answer in demonstrations:
        parts += [
            Segment(input_label, "label"),
            layout(": "),
            replace(given, role="input"),
            layout("\n"),
            Segment(output_label, "label"),
            layout(": "),
            replace(answer, role="output"),
            layout("\n\n"),
        ]
    parts += [
        Segment(input_label, "label"),
        layout(": "),
        replace(query, role="query"),
        layout("\n"),
        Segment(output_label, "label"),
        layout(":"),
    ]
    return Case(
        item=item,
        segments=tuple(parts),
        target=target,
        distractor=distractor,
        target_words=target_words,
    )


def _layout(text: str) -> Segment:
    return Segment(text, "layout")
