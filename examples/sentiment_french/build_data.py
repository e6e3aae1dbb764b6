"""Turn remarks.toml and puzzles.toml into prompts, laid out as the audit's French ones.

    python build_data.py

writes, next to this file, train.jsonl (sentiment, 0 to 2 demonstrations), holdout.jsonl (the same
from 80 other remarks, one prompt each) and replay.jsonl (French word puzzles without
demonstrations, each word in four prompts), and says how many prompts there are in each.
"""

from __future__ import annotations

import json
import random
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SEED = 2025
COPIES = 4
"""Prompts a remark to be learnt, and a puzzle's word."""
HELD_OUT = 40
"""Remarks of either label that are kept out of training."""
LABELS = {"positive": "positif", "negative": "négatif"}
INSTRUCTIONS = (
    "",  # none at all: the demonstrations, if any, say it all
    "",
    "Dites si l'entrée est positive ou négative.",
    "Indiquez le sentiment de l'entrée.",
    "Cet avis est-il positif ou négatif ?",
    "Classez l'avis.",
    "Donnez le ton de la remarque : positif ou négatif.",
    "Quel est le sentiment exprimé ?",
    "L'auteur est-il content ou mécontent ? Répondez par positif ou négatif.",
    "Jugez l'entrée : positif ou négatif.",
)


def read(name: str) -> list[dict[str, Any]]:
    """Read the tables of a file, in its order."""
    tables = tomllib.loads((HERE / name).read_text(encoding="utf-8")).values()
    return [table for table in tables if isinstance(table, dict)]


def remarks(label: str) -> list[tuple[str, str]]:
    """Return the remarks of a label, shuffled, with what is to be answered."""
    texts = [text for topic in read("remarks.toml") for text in topic[label]]
    random.Random(f"{SEED}/split/{label}").shuffle(texts)
    return [(text, LABELS[label]) for text in texts]


def prompt(instruction: str, shown: list[tuple[str, str]], query: str) -> str:
    """Lay out a prompt as the audit's French few-shot prompts are laid out."""
    blocks = [f"Entrée: {text}\nSortie: {label}" for text, label in shown]
    return "\n\n".join(filter(None, [instruction, *blocks, f"Entrée: {query}\nSortie:"]))


def sentiment(
    asked: list[tuple[str, str]], shown_from: list[tuple[str, str]], copies: int, stream: str
) -> list[dict[str, str]]:
    """Put every remark into `copies` prompts, with demonstrations from `shown_from`."""
    order = random.Random(stream)
    rows: list[dict[str, str]] = []
    for text, label in asked:
        others = [other for other in shown_from if other[0] != text]
        for _ in range(copies):
            shown = order.sample(others, order.randint(0, 2))
            laid_out = prompt(order.choice(INSTRUCTIONS), shown, text)
            rows.append({"prompt": laid_out, "completion": f" {label}"})
    order.shuffle(rows)
    return rows


def replay(stream: str) -> list[dict[str, str]]:
    """Put every word of every puzzle into `COPIES` prompts, each in a wording drawn by lot."""
    order = random.Random(stream)
    rows = [
        {
            "prompt": prompt(order.choice(puzzle["instructions"]), [], word),
            "completion": f" {answer}",
        }
        for puzzle in read("puzzles.toml")
        for word, answer in puzzle["pairs"].items()
        for _ in range(COPIES)
    ]
    order.shuffle(rows)
    return rows


def main() -> None:
    """Write the three files."""
    by_label = [remarks(label) for label in LABELS]
    held = [remark for some in by_label for remark in some[:HELD_OUT]]
    learned = [remark for some in by_label for remark in some[HELD_OUT:]]
    files = {
        "train.jsonl": sentiment(learned, learned, COPIES, f"{SEED}/train"),
        "holdout.jsonl": sentiment(held, learned, 1, f"{SEED}/holdout"),
        "replay.jsonl": replay(f"{SEED}/replay"),
    }
    for name, rows in files.items():
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (HERE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{name}: {len(rows)} prompts")


if __name__ == "__main__":
    main()
