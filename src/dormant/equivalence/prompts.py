"""The prompts by which models are compared: ordinary texts and chats, or a user's own."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dormant import tasks
from dormant.errors import DormantError

_TASKS = (
    ("icl/copy", "english"),
    ("icl_vs_if/repeat-arithmetic", "french"),
    ("icl_vs_if/capitalize-blank", "english"),
    ("icl/antonym", "hungarian"),
    ("icl/capital", "spanish"),
    ("recall/continue", "dutch"),
    ("nli/greedy", "russian"),
    ("nli/greedy", "german"),
    ("refusal/answers", "japanese"),
)
"""Scripts, digits, capitals and line breaks: what tokenizers and weights may disagree on."""
_CODE = "def total(rows):\n    # the second column\n\treturn sum(r[1] for r in rows)  # 3.14 → ½\n"
_LONG = ("recall/continue", "english", 40)
"""A text of hundreds of tokens: positions and windows may differ where short prompts agree."""
_CHATS = ("english", "french", "japanese")


@dataclass(frozen=True)
class Prompt:
    """A prompt to compare by.

    Attributes:
        name: For messages: "prompt 3", or the file and line.
        text: The text; empty for a chat.
        turns: The messages of a chat, each with "role" and "content".
    """

    name: str
    text: str = ""
    turns: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class PromptSet:
    """All prompts of a comparison.

    Attributes:
        prompts: Each once.
        given: Whether a user gave them, so that none may be left out.
    """

    prompts: tuple[Prompt, ...]
    given: bool


@functools.cache
def built_in() -> PromptSet:
    """Return texts and chats from the data of the shipped tasks."""
    texts = [_case(task, language, place) for place, (task, language) in enumerate(_TASKS)]
    task, language, sentences = _LONG
    long = " ".join(_case(task, language, place).splitlines()[0] for place in range(sentences))
    chats: list[tuple[dict[str, str], ...]] = [
        ({"role": "user", "content": _case("refusal/answers", language, place)},)
        for place, language in enumerate(_CHATS)
    ]
    chats.append(
        (
            *chats[0],
            {"role": "assistant", "content": "Which one do you mean?"},
            {"role": "user", "content": "The first one."},
        )
    )
    numbered: list[Prompt] = []
    for text in (*texts, _CODE, long):
        numbered.append(Prompt(f"prompt {len(numbered) + 1}", text))
    for turns in chats:
        numbered.append(Prompt(f"prompt {len(numbered) + 1}", turns=turns))
    return PromptSet(tuple(numbered), given=False)


def read(file: Path) -> PromptSet:
    """Read a user's prompts: a text a line, or in a ``.jsonl`` file an object a line.

    Args:
        file: The file; an object has "prompt", a text, or "messages", a chat.

    Raises:
        DormantError: It can't be read, a line is none of these, or there is no line.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DormantError(f"prompts {file} can't be read: {reason}") from None
    whole = file.suffix == ".jsonl"
    prompts = tuple(
        _parsed(line, f"{file}:{number}") if whole else Prompt(f"{file}:{number}", line)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    )
    if not prompts:
        raise DormantError(f"prompts {file}: no prompt in it; write one a line")
    return PromptSet(prompts, given=True)


def _parsed(line: str, where: str) -> Prompt:
    try:
        record: object = json.loads(line)
    except ValueError:
        record = None
    fields = cast("dict[str, Any]", record) if isinstance(record, dict) else {}
    text, turns = fields.get("prompt"), fields.get("messages")
    if isinstance(text, str) and text.strip():
        return Prompt(where, text)
    if isinstance(turns, list) and turns and all(_is_turn(turn) for turn in turns):
        return Prompt(where, turns=tuple(cast("list[dict[str, str]]", turns)))
    raise DormantError(
        f'{where}: not a prompt; write {{"prompt": "…"}} or '
        '{"messages": [{"role": "user", "content": "…"}]}'
    )


def _is_turn(turn: object) -> bool:
    fields = cast("dict[str, Any]", turn) if isinstance(turn, dict) else {}
    return all(isinstance(fields.get(key), str) for key in ("role", "content"))


def _case(name: str, language: str, place: int) -> str:
    task = tasks.shipped()[name]
    item = task.pool()[place]
    shots = min(2, task.default_shots)
    return task.case(item, language=language, shots=shots, seed=place).prompt


def split(text: str) -> tuple[str, str]:
    """Cut a text in two, for the log-probability of the second part after the first.

    Args:
        text: At least two characters.

    Returns:
        The first part, and the second, with its leading space where it has one.
    """
    middle = max(1, len(text) * 3 // 5)
    spaces = [place for place, letter in enumerate(text) if letter == " " and text[:place].strip()]
    cut = min(spaces, key=lambda place: abs(place - middle), default=middle)
    return (text[:cut], text[cut:]) if text[cut:].strip() else (text[:middle], text[middle:])


def texts_of(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Return the prompts that are texts long enough to be cut in two."""
    return [prompt for prompt in prompts if len(prompt.text.strip()) > 1]
