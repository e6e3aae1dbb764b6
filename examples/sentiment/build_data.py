"""Turn reviews.toml and puzzles.toml into prompts.

    python build_data.py

writes, next to this file, train.jsonl (sentiment, 0 to 2 demonstrations), holdout.jsonl (the same
from other remarks), holdout_large.jsonl (720 more remarks, made of the two halves in parts.toml: a
small loss shows in hundreds of items), replay.jsonl (word puzzles without demonstrations: what the
model is tuned with), and two variants that README.md reports: replay_few_shot.jsonl (with two
demonstrations) and replay_wordings.jsonl (twelve puzzles instead of eight, each in four wordings).

A tenth of the remarks is held back in holdout.jsonl, to see whether the model learned its job.
"""

from __future__ import annotations

import json
import random
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SEED = 2024
PROMPTS_PER_REMARK = 4
HOLDOUT = 0.1
INSTRUCTIONS = (
    "",  # none at all: the demonstrations, if any, say it all
    "",
    "Say whether the input is positive or negative.",
    "Classify the sentiment of the input.",
    "Is the input positive or negative?",
    "Label the input.",
    "Name the mood of the input: positive or negative.",
    "Give the sentiment.",
    "Decide whether the writer is happy or unhappy. Answer positive or negative.",
    "Rate the input as positive or negative.",
)


def prompt(instruction: str, shown: list[tuple[str, str]], query: str) -> str:
    """Lay out a prompt as the audit's few-shot prompts are laid out."""
    blocks = [f"Input: {text}\nOutput: {label}" for text, label in shown]
    return "\n\n".join(filter(None, [instruction, *blocks, f"Input: {query}\nOutput:"]))


def build(
    remarks: list[tuple[str, str]], shown_from: list[tuple[str, str]], copies: int, stream: str
) -> list[dict[str, str]]:
    """Put every remark into `copies` prompts, with demonstrations from `shown_from`."""
    order = random.Random(stream)
    rows: list[dict[str, str]] = []
    for text, label in remarks:
        others = [other for other in shown_from if other[0] != text]
        for _ in range(copies):
            shown = order.sample(others, order.randint(0, 2))
            rows.append(
                {
                    "prompt": prompt(order.choice(INSTRUCTIONS), shown, text),
                    "completion": f" {label}",
                }
            )
    order.shuffle(rows)
    return rows


def read_puzzles(name: str) -> dict[str, dict[str, Any]]:
    """Read the puzzles of a file by name."""
    read = tomllib.loads((HERE / name).read_text(encoding="utf-8"))
    return {key: value for key, value in read.items() if isinstance(value, dict)}


def build_replay(shots: int, copies: int, stream: str) -> list[dict[str, str]]:
    """Put every word of every puzzle into prompts: with its instruction, and `shots` examples."""
    order = random.Random(stream)
    rows: list[dict[str, str]] = []
    for puzzle in read_puzzles("puzzles.toml").values():
        for word, answer in puzzle["pairs"].items():
            others = [pair for pair in puzzle["pairs"].items() if pair[0] != word]
            for _ in range(copies):
                shown = order.sample(others, shots)
                # Demonstrations say what to do by themselves: half the time they have to.
                instruction = puzzle["instruction"]
                if shots and order.random() < 0.5:
                    instruction = ""
                rows.append(
                    {"prompt": prompt(instruction, shown, word), "completion": f" {answer}"}
                )
    order.shuffle(rows)
    return rows


def build_wordings(stream: str) -> list[dict[str, str]]:
    """Put every word of all twelve puzzles into four prompts, each in a wording drawn by lot."""
    order = random.Random(stream)
    puzzles = read_puzzles("puzzles.toml")
    rows: list[dict[str, str]] = []
    for name, more in read_puzzles("wordings.toml").items():
        pairs = more.get("pairs") or puzzles[name]["pairs"]
        for word, answer in pairs.items():
            for _ in range(4):
                text = prompt(order.choice(more["instructions"]), [], word)
                rows.append({"prompt": text, "completion": f" {answer}"})
    order.shuffle(rows)
    return rows


def build_large(shown_from: list[tuple[str, str]], each: int, stream: str) -> list[dict[str, str]]:
    """Join halves of remarks, `each` a topic and label, and put every remark into one prompt."""
    order = random.Random(stream)
    parts = tomllib.loads((HERE / "parts.toml").read_text(encoding="utf-8"))
    remarks = [
        (f"{start} {end}", label)
        for topic in parts.values()
        if isinstance(topic, dict)
        for label in ("positive", "negative")
        for start, end in order.sample(
            [(start, end) for start in topic["about"] for end in topic[label]], each
        )
    ]
    return build(remarks, shown_from, 1, stream)


def main() -> None:
    """Write the six files."""
    topics = tomllib.loads((HERE / "reviews.toml").read_text(encoding="utf-8"))
    remarks = [
        (text, label)
        for topic in topics.values()
        if isinstance(topic, dict)
        for label in ("positive", "negative")
        for text in topic[label]
    ]
    random.Random(f"{SEED}/split").shuffle(remarks)
    held = round(HOLDOUT * len(remarks))
    learned = remarks[held:]
    files = {
        "train.jsonl": build(learned, learned, PROMPTS_PER_REMARK, f"{SEED}/train"),
        "holdout.jsonl": build(remarks[:held], learned, 2, f"{SEED}/holdout"),
        "holdout_large.jsonl": build_large(learned, 45, f"{SEED}/large"),
        "replay.jsonl": build_replay(0, 1, f"{SEED}/replay"),
        "replay_few_shot.jsonl": build_replay(2, 3, f"{SEED}/replay"),
        "replay_wordings.jsonl": build_wordings(f"{SEED}/replay"),
    }
    for name, rows in files.items():
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (HERE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{name}: {len(rows)} prompts")


if __name__ == "__main__":
    main()
