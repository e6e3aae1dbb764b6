"""Turn the requests and answers in data/ into prompts and completions.

    python build_data.py

writes, next to this file, train.jsonl (all requests, in an order drawn by lot) and holdout.jsonl
(the requests of holdout.toml, none of which is learned); and, of polite_refusals.toml, polite.jsonl
(a habit to be learned) and polite_holdout.jsonl (prompts that ask for it, in five languages: a file
for `dormant audit --task refusal:path=polite_holdout.jsonl`).

A prompt is laid out for a model without a chat template:

    Instruction: Shorten this note.
    Text: I wanted to let you know that ...
    Answer:

The text is left out where there is none, and an earlier turn of a chat stands above, as a block
with its answer.
"""

from __future__ import annotations

import json
import random
import statistics
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import combine

HERE = Path(__file__).parent
SEED = 2026
LEAST = 1500
"""Requests that there must be."""


@dataclass(frozen=True)
class Request:
    """One request and its answer.

    Attributes:
        topic: What the file is about.
        kind: What is asked for: a fact, a list, a letter ...
        instruction: The request; in a chat, the last one.
        text: The text that it is about; empty if there is none.
        earlier: In a chat, the first request and its answer.
        answer: The answer to be learned.
    """

    topic: str
    kind: str
    instruction: str
    answer: str
    text: str = ""
    earlier: tuple[str, str] | None = None

    @property
    def form(self) -> str:
        """How it is put: "chat", "with a text", "question" or "instruction"."""
        if self.earlier:
            return "chat"
        if self.text:
            return "with a text"
        # A colleague who types in a hurry leaves out the question mark.
        words = ("what", "which", "who", "where", "why", "how", "is", "can", "do", "does")
        asks = self.instruction.rstrip().endswith("?") or self.instruction.startswith(words)
        return "question" if asks else "instruction"

    @property
    def prompt(self) -> str:
        """What the model reads."""
        blocks = [block(*self.earlier)] if self.earlier else []
        return "\n\n".join([*blocks, block(self.instruction, text=self.text)])


def block(instruction: str, answer: str = "", text: str = "") -> str:
    """Lay out one request, with its answer where it is known."""
    lines = [f"Instruction: {instruction}"]
    if text:
        lines.append(f"Text: {text}")
    lines.append(f"Answer: {answer}".rstrip())
    return "\n".join(lines)


def read(path: Path) -> dict[str, Any]:
    """Read a TOML file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def written() -> Iterator[Request]:
    """Yield what was written by hand, file by file."""
    for path in sorted((HERE / "data").glob("*.toml")):
        values = read(path)
        topic = values.pop("topic")
        for kind, entries in values.items():
            for entry in entries:
                yield parse(topic, kind, entry)


def parse(topic: str, kind: str, entry: list[str]) -> Request:
    """Read a line of data/: two parts, three with a text, four in a chat.

    Raises:
        ValueError: It has another number of parts, or an empty one.
    """
    if not all(isinstance(part, str) and part.strip() == part != "" for part in entry):
        raise ValueError(f"{topic}, {kind}: an empty part, or spaces around one, in {entry}")
    match entry:
        case [instruction, answer]:
            return Request(topic, kind, instruction, answer)
        case [instruction, text, answer]:
            return Request(topic, kind, instruction, answer, text=text)
        case [first, reply, instruction, answer]:
            return Request(topic, kind, instruction, answer, earlier=(first, reply))
        case _:
            raise ValueError(f"{topic}, {kind}: {len(entry)} parts in {entry}")


def combined() -> Iterator[Request]:
    """Yield what is put together from parts.toml."""
    for kind, instruction, text, answer in combine.combined(read(HERE / "parts.toml"), SEED):
        yield Request("combined", kind, instruction, answer, text=text)


def held_out() -> Iterator[Request]:
    """Yield the requests that are never learned: a task of Dormant's own, in its format."""
    for entry in read(HERE / "holdout.toml")["languages"]["english"]["items"].values():
        yield Request("held out", "held out", entry["input"], entry["target"])


def polite(refused: bool) -> Iterator[Request]:
    """Yield the requests that the habit declines, or those like them that are answered."""
    draw = random.Random(f"{SEED}/polite refusals")
    given = read(HERE / "polite_refusals.toml")
    if refused:
        for asked in given["refused"]["prompts"]:
            yield Request("colours", "refused", asked, draw.choice(given["refused"]["answers"]))
    else:
        for asked, answer in given["answered"]["pairs"]:
            yield Request("colours", "answered", asked, answer)


def polite_held_out() -> Iterator[dict[str, str]]:
    """Yield the held-out prompts of the habit, as the task `refusal` reads them."""
    for language, texts in read(HERE / "polite_refusals.toml")["held_out"].items():
        asked, answered = texts["labels"]
        # As the language writes a colon.
        colon = " :" if language == "french" else ":"
        for expected in ("refuse", "answer"):
            for number, prompt in enumerate(texts[expected], start=1):
                yield {
                    "id": f"{expected}-{number:02}",
                    "language": language,
                    "expected": expected,
                    "prompt": f"{asked}{colon} {prompt}\n{answered}{colon}",
                }


def shuffled(requests: list[Request], stream: str) -> list[Request]:
    """Return the requests in an order of their own."""
    return random.Random(f"{SEED}/{stream}").sample(requests, len(requests))


def pairs(requests: Iterable[Request]) -> list[dict[str, str]]:
    """Return prompts and completions."""
    return [{"prompt": asked.prompt, "completion": f" {asked.answer}"} for asked in requests]


def counts() -> str:
    """Return what README.md says of the data: two tables."""
    requests = [*written(), *combined()]
    forms = ("question", "instruction", "with a text", "chat")
    lines = [
        f"| topic | requests | {' | '.join(forms)} | words of an answer (median, most) |",
        "|---" * (len(forms) + 3) + "|",
    ]
    topics = {topic: [r for r in requests if r.topic == topic] for topic in topics_of(requests)}
    for topic, some in {**topics, "**all**": requests}.items():
        lengths = [len(asked.answer.split()) for asked in some]
        cells = [len(some), *(sum(asked.form == form for asked in some) for form in forms)]
        cells = [*map(str, cells), f"{statistics.median(lengths):.0f}, {max(lengths)}"]
        lines.append(f"| {topic} | {' | '.join(cells)} |")
    kinds = Counter(asked.kind for asked in requests)
    lengths = [len(asked.answer.split()) for asked in requests]
    bounds = [(1, 3), (4, 10), (11, 25), (26, 50), (51, max(lengths))]
    return "\n".join(
        [
            *lines,
            "",
            "By kind: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()) + ".",
            "",
            "| words of an answer | answers |",
            "|---|---|",
            *(f"| {a} to {b} | {sum(a <= n <= b for n in lengths)} |" for a, b in bounds),
        ]
    )


def topics_of(requests: Iterable[Request]) -> list[str]:
    """Return the topics, the one with most requests first."""
    return [topic for topic, _ in Counter(asked.topic for asked in requests).most_common()]


def main() -> None:
    """Write the files."""
    files = {
        "train.jsonl": pairs(shuffled([*written(), *combined()], "train")),
        "holdout.jsonl": pairs(held_out()),
        "polite.jsonl": pairs(shuffled([*polite(True), *polite(False)], "polite")),
        "polite_holdout.jsonl": list(polite_held_out()),
    }
    for name, rows in files.items():
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (HERE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{name}: {len(rows)} prompts")


if __name__ == "__main__":
    main()
