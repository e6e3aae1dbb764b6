"""Which tokens of a prompt count: all but those of the answers in it.

The answers of demonstrations are what the ability is about. A model that lost it finds them less
likely, so with them closeness would measure the loss that it is to explain.
"""

from __future__ import annotations

from typing import NamedTuple

from dormant.errors import DormantError
from dormant.prompts.case import Case
from dormant.prompts.segment import Span


class Stretch(NamedTuple):
    """A piece of a prompt whose likelihood counts.

    Attributes:
        context: What stands before it, answers included; empty at the prompt's beginning.
        text: The piece itself.
    """

    context: str
    text: str


def stretches(case: Case, prompt: str) -> list[Stretch]:
    """Cut the demonstrations' answers out of a prompt.

    Args:
        case: The case.
        prompt: Its prompt as a model reads it: raw, or in a chat template.

    Returns:
        What is left, in order.

    Raises:
        DormantError: The chat template writes an answer otherwise than it was given.
    """
    found: list[Stretch] = []
    start = 0
    for low, high in _answers(case, prompt):
        # A space before an answer is read with its first word.
        end = len(prompt[:low].rstrip(" "))
        if end > start:
            found.append(Stretch(prompt[:start], prompt[start:end]))
        start = high
    if prompt[start:]:
        found.append(Stretch(prompt[:start], prompt[start:]))
    return found


def _answers(case: Case, prompt: str) -> list[Span]:
    """Return where the demonstrations' answers stand."""
    whole = prompt.find(case.prompt)
    place = max(whole, 0)
    spans: list[Span] = []
    for segment in case.segments:
        # Where a template writes the prompt otherwise, what it leaves of it is looked for in order.
        text = segment.text if whole >= 0 else segment.text.strip()
        low = place if whole >= 0 else prompt.find(text, place)
        if segment.role == "output":
            if low < 0:
                raise DormantError(
                    f"item {case.item}: the chat template changes the demonstrations' answers, "
                    "which closeness leaves out: use raw prompts, or leave --closeness out"
                )
            spans.append((low, low + len(text)))
        if low >= 0:
            place = low + len(text)
    return spans
