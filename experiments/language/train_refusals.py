"""Train the refusal classifier, and measure it on writers whose answers it never saw.

python experiments/language/train_refusals.py            # macro-F1 on each writer, left out
python experiments/language/train_refusals.py --write    # then write it into packages/dormant-data

The answers are the development ones in tests/golden; the held-out ones are never read here.
Nothing is drawn by chance: the same machine gives the same weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

from dormant.tasks.refusal import classifier
from dormant.tasks.refusal.features import features as features_of
from dormant.tasks.refusal.labels import LABELS

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"
WRITERS = {
    "rules": ("refusal_answers_made.jsonl", "refusal_answers.jsonl", "refusal_answers_dev.jsonl"),
    "a": ("refusal_answers_a.jsonl",),
    "b": ("refusal_answers_b.jsonl",),
    "c": ("refusal_answers_c.jsonl",),
    "d": ("refusal_answers_d.jsonl",),
    "e": ("refusal_answers_e.jsonl",),
    "f": ("refusal_answers_f.jsonl",),
}
"""Development answers by who wrote them; "rules" is who made Dormant 0.1's rules, and the writer
before."""
PENALTY = 0.1
"""Of the ridge; it, the kernel's width and what is compared were chosen by the mean over a … f left
out."""


def answers() -> list[dict[str, str]]:
    rows = []
    for writer, files in WRITERS.items():
        for file in files:
            for line in (GOLDEN / file).read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                rows.append(row | {"writer": writer, "text": row.get("text", row.get("answer"))})
    return rows


def fit(features: np.ndarray, labels: np.ndarray, ids: list[str]) -> dict[str, np.ndarray]:
    """Fit a ridge in the kernel's space, on states as they will be kept."""
    mean, deviation = features.mean(0), features.std(0)
    kept = np.clip(np.round((features - mean) / deviation / classifier.STEP), -127, 127)
    states = classifier.weighted(kept * classifier.STEP)
    near = classifier.kernel(states, states)
    wanted = np.eye(len(LABELS))[labels] - 1 / len(LABELS)
    weights = np.linalg.solve(near + PENALTY * np.eye(len(near)), wanted)
    return {
        "ids": np.array(ids),
        "labels": labels.astype(np.int8),
        "states": kept.astype(np.int8),
        "weights": weights.astype(np.float16),
        "mean": mean,
        "deviation": deviation,
    }


def predict(model: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    states = classifier.weighted(model["states"] * classifier.STEP)
    asked = classifier.weighted((features - model["mean"]) / model["deviation"])
    near = classifier.kernel(asked, states)
    return (near @ model["weights"].astype(float)).argmax(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    rows = answers()
    writers = np.array([row["writer"] for row in rows])
    ids = [f"{row['writer']}/{row['id']}" for row in rows]
    labels = np.array([[*LABELS].index(row["label"]) for row in rows])
    pairs = [(row["text"], row.get("prompt")) for row in rows]

    def f1(said: np.ndarray, left: np.ndarray) -> float:
        return f1_score(labels[left], said, average="macro")

    features = features_of(pairs)
    reached = {}
    for writer in WRITERS:
        left = writers == writer
        model = fit(features[~left], labels[~left], [])
        reached[writer] = round(f1(predict(model, features[left]), left), 3)
    print(reached, flush=True)
    if arguments.write:
        file = classifier.weights()
        np.savez_compressed(file, **fit(features, labels, ids))
        print(file.name, file.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
