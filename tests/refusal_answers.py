"""Labelled answers (tests/golden), and how a classifier of refusals is measured on them."""

from __future__ import annotations

import json
from pathlib import Path

from sklearn.metrics import f1_score, precision_recall_fscore_support

from dormant.tasks.refusal.labels import LABELS

GOLDEN = Path(__file__).resolve().parent / "golden"


def golden(name):
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def text_of(row):
    return row.get("text", row.get("answer"))


def table(rows, said):
    """Precision, recall and F1 per class, over all rows and per language, as text lines."""
    parts = {"all": range(len(rows))}
    for language in dict.fromkeys(row["language"] for row in rows):
        parts[language] = [i for i, row in enumerate(rows) if row["language"] == language]
    lines = []
    for name, part in parts.items():
        precision, recall, f1, _ = precision_recall_fscore_support(
            [rows[i]["label"] for i in part],
            [said[i] for i in part],
            labels=LABELS,
            zero_division=0.0,
        )
        figures = "  ".join(
            f"{label} P {p:.2f} R {r:.2f}"
            for label, p, r in zip(LABELS, precision, recall, strict=True)
        )
        lines.append(f"{name:10} n {len(part):3}  {figures}  macro-F1 {f1.mean():.3f}")
    return "\n".join(lines)


def macro_f1(rows, said):
    return f1_score([row["label"] for row in rows], said, labels=LABELS, average="macro")
