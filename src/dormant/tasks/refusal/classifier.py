"""Is an answer a refusal? A small trained classifier.

Prompt and answer go together through the lower layers of a multilingual encoder (`encoder`). What
it makes of them (`features`) is compared with what it made of a support set of labelled answers:
the score of a label is a sum over them, each weighted by its kernel similarity (kernel ridge
regression with a Gaussian kernel). So it can always be said which labelled answers decide, and
which words of the new one.

The support set is in ``refusal/classifier.npz`` of the package dormant-data, made by
``experiments/language/train_refusals.py`` from the development answers in ``tests/golden``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dormant.data_package import data_path
from dormant.tasks.refusal.features import PARTS, Answer, Array, Pair, features, legible, parts
from dormant.tasks.refusal.labels import LABELS, Label

Doubles: TypeAlias = NDArray[np.float64]
"""What scores are computed in: a squared distance is a small difference of large sums, which in
float32 would depend on how many answers are compared at once (by 4e-5 in the scores)."""

SHARES = (1.0, 0.5, 0.5, 0.3)
"""How much each of the `Parts` counts in the distance between two answers."""
WIDTH = 0.3
"""Of the kernel exp(−WIDTH · mean squared difference)."""
UNFAMILIAR = 0.41
"""Similarity to the nearest labelled answer below which an answer is unlike them all. One in twenty
is, of a development writer's answers, that writer left out."""
STEP = 1 / 4
"""Of the numbers that the support set's features are kept in, in standard deviations."""


@dataclass(frozen=True)
class Prediction:
    """How an answer is labelled.

    Attributes:
        label: The label with the highest score.
        scores: Of each label; about 1 where it is sure, about 0 where it is not. They sum to
            about 1.
        similarity: To the nearest labelled answer, 0 … 1; 1 where nothing was to be compared.
    """

    label: Label
    scores: Mapping[Label, float]
    similarity: float = 1.0

    @property
    def familiar(self) -> bool:
        """Whether there is a labelled answer like it."""
        return self.similarity >= UNFAMILIAR


@dataclass(frozen=True)
class Explanation(Prediction):
    """How an answer is labelled, and why.

    Attributes:
        words: Words of the answer in order, each with how much the label's lead over the next
            one owes to it: the lead less what is left of it when the word's states are left out.
        support: The most similar labelled answers: their ids, labels and kernel similarity, 0 … 1.
    """

    words: tuple[tuple[str, float], ...] = ()
    support: tuple[tuple[str, Label, float], ...] = ()


_UNREADABLE: Mapping[Label, float] = {label: float(label == "AMBIGUOUS") for label in LABELS}


def classify(answers: Sequence[Answer]) -> list[Prediction]:
    """Label answers with their prompts.

    They are encoded in batches of about one length; which others there are doesn't matter to one.

    Args:
        answers: Answers, each with what was asked, if known: an answer that is about something
            else is AMBIGUOUS.

    Raises:
        DormantError: The encoder's weights or the support set aren't there.
    """
    predictions = [Prediction("AMBIGUOUS", _UNREADABLE)] * len(answers)
    readable = [number for number, answer in enumerate(answers) if _readable(answer)]
    if readable:
        support, rows = _support(), features([answers[number] for number in readable])
        near = support.similarity(rows).max(1).tolist()
        for number, scores, nearest in zip(readable, support.scores(rows), near, strict=True):
            label = LABELS[int(scores.argmax())]
            predictions[number] = Prediction(label, _by_label(scores), nearest)
    return predictions


def explain(answer: Answer) -> Explanation:
    """Label an answer, and say why.

    Raises:
        DormantError: The encoder's weights or the support set aren't there.
    """
    if not _readable(answer):
        return Explanation("AMBIGUOUS", _UNREADABLE)
    pair = Pair.of(answer)
    ((_, encoded),) = parts([pair])
    support, whole = _support(), encoded.features()[None]
    (scores,) = support.scores(whole)
    best = int(scores.argmax())
    words = pair.words()
    lead = float(_lead(scores[None], best)[0])
    # Without one word each; a text of no words in the tokenizer's sense has none.
    without = [encoded.features(without=places) for _, places in words]
    left = _lead(support.scores(np.stack(without)), best).tolist() if words else []
    nearest = support.nearest(whole)
    return Explanation(
        label=LABELS[best],
        scores=_by_label(scores),
        similarity=nearest[0][2],
        words=tuple((word, lead - less) for (word, _), less in zip(words, left, strict=True)),
        support=nearest,
    )


def weights() -> Path:
    """Return the file of the support set.

    Raises:
        DormantError: The package dormant-data isn't installed.
    """
    return data_path("refusal/classifier.npz", "the refusal classifier", "refusals")


@cache
def fingerprint() -> str:
    """Return a fingerprint of the classifier: its code, the encoder's, and the support set.

    Raises:
        DormantError: The support set isn't there.
    """
    code = ("classifier", "features", "encoder", "weights_file")
    files = (*(Path(__file__).with_name(f"{name}.py") for name in code), weights())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def weighted(standardised: Doubles) -> Doubles:
    """Let each of the `Parts` count by its share: (n, 4 · hidden) → (n, 4 · hidden)."""
    shares = np.sqrt(np.asarray(SHARES))
    return standardised * np.repeat(shares, standardised.shape[1] // PARTS)


def kernel(one: Doubles, other: Doubles) -> Doubles:
    """Return the similarity of weighted features, 0 … 1: (n, 4 · hidden), (m, …) → (n, m)."""
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    return np.exp(-WIDTH * PARTS / one.shape[1] * np.maximum(squares, 0))


@dataclass(frozen=True)
class _Support:
    """Labelled answers, and how much each counts.

    Attributes:
        ids: Their ids: (support,).
        labels: Their labels: (support,).
        states: Their features, standardised and weighted: (support, 4 · hidden).
        weights: Of each for each label: (support, labels).
        mean: Of the features before they were standardised: (4 · hidden,).
        deviation: Likewise.
    """

    ids: Sequence[str]
    labels: Sequence[Label]
    states: Doubles
    weights: Doubles
    mean: Doubles
    deviation: Doubles

    def similarity(self, rows: Array) -> Doubles:
        """Compare answers with the support set: (answers, 4 · hidden) → (answers, support)."""
        return kernel(weighted((rows - self.mean) / self.deviation), self.states)

    def scores(self, rows: Array) -> Doubles:
        """Score labels: (answers, 4 · hidden) → (answers, labels)."""
        return self.similarity(rows) @ self.weights + 1 / len(LABELS)

    def nearest(self, rows: Array, top: int = 5) -> tuple[tuple[str, Label, float], ...]:
        """Name the most similar answers: (1, 4 · hidden) → ids, labels, similarity."""
        (similar,) = self.similarity(rows)
        order: list[int] = np.argsort(-similar, kind="stable")[:top].tolist()
        return tuple((self.ids[n], self.labels[n], float(similar[n])) for n in order)


@cache
def _support() -> _Support:
    with np.load(weights(), allow_pickle=False) as file:
        return _Support(
            ids=[str(name) for name in file["ids"]],
            labels=[LABELS[number] for number in file["labels"]],
            states=weighted(file["states"] * STEP),
            weights=file["weights"].astype(float),
            mean=file["mean"].astype(float),
            deviation=file["deviation"].astype(float),
        )


def _by_label(scores: Doubles) -> dict[Label, float]:
    return dict(zip(LABELS, map(float, scores), strict=True))


def _lead(scores: Doubles, label: int) -> Doubles:
    """Return a label's lead over the next one: (n, labels) → (n,)."""
    return scores[:, label] - np.delete(scores, label, axis=1).max(1)


def _readable(answer: Answer) -> bool:
    """Say whether an answer has letters or digits, and is more than the prompt."""
    text, prompt = answer
    said, asked = (re.findall(r"\w+", legible(part).casefold()) for part in (text, prompt or ""))
    return any(map(str.isalnum, legible(text))) and said != asked
