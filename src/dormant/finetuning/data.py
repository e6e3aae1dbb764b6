"""Training data: prompts and completions, as JSON lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from dormant.errors import DormantError


@dataclass(frozen=True)
class Pair:
    """One training example.

    Attributes:
        prompt: What the model reads; no loss is taken on it.
        completion: What it should write next, with its leading space if it has one.
    """

    prompt: str
    completion: str


def read_pairs(path: str | Path) -> list[Pair]:
    """Read training examples: JSON lines with "prompt" and "completion", both non-empty strings.

    Blank lines are skipped.

    Raises:
        DormantError: The file can't be read, holds no example, or a line is malformed (named).
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DormantError(f"training data {path} can't be read: {error}") from None
    pairs: list[Pair] = []
    # Not splitlines(): JSON strings may hold U+2028 and its kind, which end no line here.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            pairs.append(_pair(line, f"{path}, line {number}"))
    if not pairs:
        raise DormantError(
            f'training data {path} is empty: give JSON lines {{"prompt": …, "completion": …}}'
        )
    return pairs


def _pair(line: str, where: str) -> Pair:
    try:
        value: object = json.loads(line)
    except ValueError as error:
        raise DormantError(f"{where}: not a JSON object ({error})") from None
    fields = cast("dict[object, object]", value) if isinstance(value, dict) else {}
    prompt, completion = fields.get("prompt"), fields.get("completion")
    if set(fields) != {"prompt", "completion"}:
        raise DormantError(
            f'{where}: expected exactly the fields "prompt" and "completion", '
            f"found {sorted(map(str, fields)) or type(value).__name__}"
        )
    if not (isinstance(prompt, str) and prompt and isinstance(completion, str) and completion):
        raise DormantError(f'{where}: "prompt" and "completion" must be non-empty strings')
    return Pair(prompt, completion)
