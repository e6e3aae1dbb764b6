"""Training examples as people keep them: JSON lines of prompts and answers, or of chats.

A file may hold any of these, one object a line:

- ``prompt`` or ``question``, and ``completion``, ``answer`` or ``response``: texts, or (TRL) lists
  of messages;
- ``messages``: the turns of a chat, each with its ``role`` and ``content``;
- ``conversations``: the same as ShareGPT writes it, with ``from`` and ``value``;
- ``instruction``, perhaps ``input``, and ``output``: Alpaca's fields.

``system``, a text beside any but the first, is a system turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

from dormant.tasks.tables import Row, read_rows

Speaker: TypeAlias = Literal["system", "user", "assistant"]

Render: TypeAlias = Callable[[Sequence[Mapping[str, str]]], str]
"""A model's chat template: from turns to the text after which it answers; raises a `DormantError`
where it has none."""

_SPEAKERS: Mapping[str, Speaker] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
"""What the formats call who speaks."""

_PROMPTS = ("prompt", "question")
_ANSWERS = ("completion", "answer", "response")
FIELDS = (*_PROMPTS, "messages", "conversations", "instruction")
"""What tells an example from anything else: the field of its prompt."""
_KNOWN = (
    "`prompt` and `completion` (or `answer`), `messages`, `conversations`, or `instruction` and "
    "`output`"
)

ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\n{instruction}\n\n### Response:\n"
)
ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)
"""How Alpaca's fields are put to a model without a chat template (R. Taori et al. 2023, Stanford
Alpaca, README)."""


@dataclass(frozen=True)
class Turn:
    """One message of a chat.

    Attributes:
        role: Who speaks.
        text: What is said.
    """

    role: Speaker
    text: str


@dataclass(frozen=True)
class Example:
    """One training example.

    Attributes:
        turns: What the model reads before it answers, as turns of a chat; the last is a user's.
        completion: What it should answer, with its leading space if it has one.
        text: The prompt as a model without a chat template reads it; `None` for chats, which say
            nothing of that.
        chat: Whether it goes into the chat template of a model that has one: chats and Alpaca's
            fields do, prompts that are texts stand as they are.
        row: Where it was read, for messages.
    """

    turns: tuple[Turn, ...]
    completion: str
    text: str | None
    chat: bool
    row: Row

    @property
    def lead(self) -> str:
        """The white space with which the completion begins."""
        return self.completion[: len(self.completion) - len(self.completion.lstrip())]

    @property
    def messages(self) -> list[dict[str, str]]:
        """The turns as chat templates take them."""
        return [{"role": turn.role, "content": turn.text} for turn in self.turns]


def read_examples(path: Path) -> list[Example]:
    """Read training examples, or others of their kind.

    Args:
        path: A file ending in .jsonl (or a table that `read_rows` reads, with these columns).

    Returns:
        At least one example, in the file's order.

    Raises:
        DormantError: The file can't be read, or a line is of no known form; file and line are
            named.
    """
    return [example_of(row) for row in read_rows(path)]


def example_of(row: Row) -> Example:
    """Read one example.

    Raises:
        DormantError: It is of no known form; file and line are named.
    """
    values = row.values
    for column in ("messages", "conversations"):
        if column in values:
            return _chat(row, _turns(row, column))
    if "instruction" in values and "output" in values:
        return _alpaca(row)
    prompt = next((name for name in _PROMPTS if name in values), None)
    answer = next((name for name in _ANSWERS if name in values), None)
    if prompt is None or answer is None:
        found = ", ".join(map(repr, values)) or "nothing"
        raise row.error(f"no training example: expected {_KNOWN}, found {found}")
    if isinstance(values[prompt], list):
        last = values[answer]
        said = _turns(row, answer) if isinstance(last, list) else [_said(row, answer)]
        return _chat(row, [*_turns(row, prompt), *said])
    text = row.text(prompt)
    completion = row.text(answer).rstrip()
    return Example((Turn("user", text),), completion, text, chat=False, row=row)


def _chat(row: Row, turns: Sequence[Turn]) -> Example:
    if turns[0].role != "system":
        turns = [*_system(row), *turns]
    *before, last = turns
    if last.role != "assistant":
        raise row.error(f"the last turn is a {last.role}'s: the assistant's answer is missing")
    if not before or before[-1].role != "user":
        raise row.error("a user's turn must stand before the assistant's last one")
    return Example(tuple(before), last.text.rstrip(), None, chat=True, row=row)


def _alpaca(row: Row) -> Example:
    instruction, completion = row.text("instruction"), row.text("output").rstrip()
    given = row.values.get("input")
    if given is not None and not isinstance(given, str):
        raise row.error(f"'input' must be a text, not {given!r}")
    if given and given.strip():
        text = ALPACA_WITH_INPUT.format(instruction=instruction, input=given)
        asked = f"{instruction}\n{given}"
    else:
        text, asked = ALPACA.format(instruction=instruction), instruction
    turns = (*_system(row), Turn("user", asked))
    return Example(turns, completion, text, chat=True, row=row)


def _turns(row: Row, column: str) -> list[Turn]:
    given = row.values[column]
    if not isinstance(given, list) or not given:
        raise row.error(f"{column!r} must be a list of turns, not {given!r}")
    return [_turn(row, column, turn) for turn in cast("list[object]", given)]


def _said(row: Row, column: str) -> Turn:
    return Turn("assistant", row.text(column))


def _turn(row: Row, column: str, given: object) -> Turn:
    fields = cast("Mapping[str, object]", given if isinstance(given, dict) else {})
    who = fields.get("role", fields.get("from"))
    role = _SPEAKERS.get(who.casefold()) if isinstance(who, str) else None
    if role is None:
        speakers = ", ".join(dict.fromkeys(_SPEAKERS))
        raise row.error(f"a turn of {column!r} is by {who!r}: expected one of {speakers}")
    text = _content(fields.get("content", fields.get("value")))
    if text is None or not text.strip():
        raise row.error(f"a {role}'s turn of {column!r} has no text: `content` must be one")
    return Turn(role, text)


def _content(given: object) -> str | None:
    """Return a turn's text; some write it in parts, of which only texts can be put to a model."""
    if isinstance(given, list):
        parts = cast("list[Mapping[str, object] | object]", given)
        texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
        return "".join(map(str, texts)) if all(isinstance(text, str) for text in texts) else None
    return given if isinstance(given, str) else None


def _system(row: Row) -> list[Turn]:
    given = row.values.get("system")
    return [Turn("system", given)] if isinstance(given, str) and given.strip() else []


def labels_of(examples: Sequence[Example], most: int = 20) -> tuple[str, ...]:
    """Return the answers among which examples choose, where these are labels.

    Labels are few, short, and repeated: at most `most` different answers of at most five words,
    each given three times on average.

    Args:
        examples: Training examples.
        most: How many different answers may be labels.

    Returns:
        The labels, the commonest first; none where the answers are texts of their own.
    """
    counts: dict[str, int] = {}
    for example in examples:
        said = example.completion.strip()
        counts[said] = counts.get(said, 0) + 1
    few = len(counts) <= most and 3 * len(counts) <= len(examples)
    if not few or any(len(said.split()) > 5 for said in counts):
        return ()
    return tuple(sorted(counts, key=lambda said: (-counts[said], said)))
