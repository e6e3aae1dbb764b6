"""The wrapping of the training data: from `--trained-as` to the fifth cell of every ability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dormant.audit.lazy_cases import LazyCases, some
from dormant.audit.settings import Style
from dormant.audit.transformed import TransformedCases
from dormant.errors import DormantError
from dormant.prompts.wrapping import Wrapping, common_wrapping, commonest_beginning
from dormant.tasks.examples import Example, Render

TEMPLATE = "template"
"""What names the fine-tuned model's own chat template in the place of a file."""

_PLACE = "DORMANT-PUTS-THE-PROMPT-HERE"
_NEARLY_ALL = 0.9


def template_wrapping(render: Render, plain: Style) -> Wrapping:
    """Return the fine-tuned model's chat template as a wrapping.

    Args:
        render: The template.
        plain: How plain prompts are put to the fine-tuned model.

    Raises:
        DormantError: There is no template, or plain prompts stand in it already.
    """
    if plain == "chat":
        raise DormantError(
            "--trained-as template: plain prompts go into the chat template already; ask them raw "
            "(--prompts raw), or give a file of training examples"
        )
    return _in_template(render, "", "", "", "chat template")


def wrapping_of_examples(
    examples: Sequence[Example], path: Path, render: Render, plain: Style
) -> Wrapping:
    """Find the wrapping of training examples.

    Args:
        examples: The examples, of one form.
        path: Their file, for messages.
        render: The fine-tuned model's chat template, for examples that are chats.
        plain: How plain prompts are put to the fine-tuned model.

    Raises:
        DormantError: They are too few, of several forms, or without a wrapping; chats, and the
            model has no chat template; or plain prompts stand in the wrapping already.
    """
    chats = [example for example in examples if example.chat]
    if chats and len(chats) < len(examples):
        other = next(example for example in examples if not example.chat)
        raise other.row.error("a prompt that is a text, in a file of chats: give one form only")
    if chats and not _can_render(chats, render):
        chats = []
    if chats:
        system = _system(chats)
        asked = [
            next(turn.text for turn in example.turns if turn.role == "user") for example in chats
        ]
        before, after = _common(asked, path)
        if plain == "chat" and not (system or before or after):
            raise DormantError(
                f"{path}: its chats have no system turn or other wrapping that plain prompts in "
                "the chat template lack: leave --trained-as out, or ask raw (--prompts raw)"
            )
        return _in_template(render, system, before, after, path.name)
    texts = [example.text or "" for example in examples]
    before, after = _common(texts, path)
    if not (before or after) and plain == "raw":
        text, share = commonest_beginning(texts)
        raise DormantError(
            f"{path}: {len(texts)} prompts have no common wrapping: they begin and end each in "
            f"its own way (the commonest beginning, {text!r}, has {100 * share:.0f}% of them); "
            "give the examples of one format, or --trained-as template"
        )
    return Wrapping(before, after, _lead(examples), path.name)


def as_trained_cases(plain: TransformedCases, wrapping: Wrapping) -> TransformedCases:
    """Put an ability's plain cases into a wrapping."""
    return TransformedCases(
        cases=LazyCases(
            plain.cases, lambda items: [*map(wrapping.put_on, some(plain.cases, items))]
        ),
        signature=wrapping.signature,
    )


def _can_render(examples: Sequence[Example], render: Render) -> bool:
    """Whether a chat template takes these examples.

    Raises:
        DormantError: It doesn't, and they can't be read without one either.
    """
    try:
        render(examples[0].messages)
    except DormantError:
        if examples[0].text is None:
            raise
        return False
    return True


def _in_template(render: Render, system: str, before: str, after: str, source: str) -> Wrapping:
    turns = [{"role": "system", "content": system}] if system else []
    text = render([*turns, {"role": "user", "content": f"{before}{_PLACE}{after}"}])
    head, found, tail = text.partition(_PLACE)
    if not found:
        raise DormantError(
            "the fine-tuned model's chat template leaves out the user's words: fix it, or give "
            "training examples whose prompts are texts"
        )
    return Wrapping(head, tail, "", source)


def _common(texts: Sequence[str], path: Path) -> tuple[str, str]:
    try:
        return common_wrapping(texts)
    except DormantError as error:
        raise DormantError(f"{path}: {error}") from None


def _system(examples: Sequence[Example]) -> str:
    """Return the system turn that nearly all chats share; empty where they don't."""
    turns = Counter(
        example.turns[0].text if example.turns[0].role == "system" else "" for example in examples
    )
    text, count = turns.most_common(1)[0]
    return text if count >= _NEARLY_ALL * len(examples) else ""


def _lead(examples: Sequence[Example]) -> str:
    """Return the white space with which most answers begin."""
    leads = Counter(example.lead for example in examples)
    return leads.most_common(1)[0][0]
