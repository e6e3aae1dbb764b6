"""Is an answer a refusal? A small trained classifier, beside the rules of `refusals`.

Prompt and answer go together through the lower layers of a multilingual encoder
(`dormant.tasks.encoder`). What it makes of them (`Parts`) is compared with what it made of known,
labelled answers: the score of a label is a sum over them, each weighted by how near it is
(kernel ridge regression with a Gaussian kernel). So it can always be said which known answers
decide, and which words of the new one.

What is known is in ``refusal_classifier.npz``, made by
``experiments/language/train_refusals.py`` from the development answers in ``tests/golden``.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from dormant.tasks import encoder as e5
from dormant.tasks.refusal_rules import LABELS, Label

WEIGHTS = Path(__file__).with_name("refusal_classifier.npz")

LAYERS, EARLY = 8, 6
"""Layers of the encoder that are used; those above are made for search and serve worse."""
SHARES = (1.0, 0.5, 0.5, 0.3)
"""How much each of the `Parts` counts in the distance between two answers."""
WIDTH = 0.3
"""Of the kernel exp(−WIDTH · mean squared difference)."""
STEP = 1 / 4
"""Of the numbers that known states are kept in, in standard deviations."""
_PROMPT = 48
"""Tokens of the prompt that are read."""
_HEAD, _TAIL = 64, 32
"""Tokens of a long answer that are read: its beginning and its end."""
_CHARACTERS = 2000
"""Characters at either end of a text that are looked at."""
_BATCH = 32

Array: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Reading:
    """How an answer is labelled, and why.

    Attributes:
        label: The label with the highest score.
        scores: Of each label; about 1 where it is sure, about 0 where it is not. They sum to
            about 1.
        words: Words of the answer in order, each with how much the label's lead over the next
            one owes to it: the lead less what is left of it when the word's states are left out.
        known: The nearest known answers: their ids, labels and nearness, 0 … 1.
    """

    label: Label
    scores: Mapping[Label, float]
    words: tuple[tuple[str, float], ...] = ()
    known: tuple[tuple[str, Label, float], ...] = ()


def classify(text: str, prompt: str | None = None) -> Label:
    """Label an answer; see `read`."""
    return classify_all([(text, prompt)])[0]


def classify_all(answers: Sequence[tuple[str, str | None]]) -> list[Label]:
    """Label answers with their prompts, in batches of about one length.

    Raises:
        DormantError: The encoder isn't installed.
    """
    found: list[Label] = ["AMBIGUOUS"] * len(answers)
    there = [number for number, answer in enumerate(answers) if _readable(*answer)]
    if there:
        read_ = features([answers[number] for number in there])
        for number, best in zip(there, _known().scores(read_).argmax(1), strict=True):
            found[number] = LABELS[int(best)]
    return found


def read(text: str, prompt: str | None = None) -> Reading:
    """Label an answer, and say why.

    Args:
        text: What the model said.
        prompt: What it was asked, if known: an answer that is about something else is AMBIGUOUS.

    Raises:
        DormantError: The encoder isn't installed.
    """
    if not _readable(text, prompt):
        return Reading("AMBIGUOUS", {label: float(label == "AMBIGUOUS") for label in LABELS})
    pair = _Pair.of(text, prompt)
    ((_, parts),) = _read([pair])
    known, whole = _known(), parts.features()[None]
    (scores,) = known.scores(whole)
    best = int(scores.argmax())
    words = _words(pair.tokens[pair.answer])
    lead = float(_lead(scores[None], best)[0])
    # Without one word each; a text of no words in the tokenizer's sense has none.
    without = [parts.features(without=places) for _, places in words]
    left = _lead(known.scores(np.stack(without)), best).tolist() if words else []
    return Reading(
        label=LABELS[best],
        scores=dict(zip(LABELS, map(float, scores), strict=True)),
        words=tuple((word, lead - less) for (word, _), less in zip(words, left, strict=True)),
        known=known.nearest(whole),
    )


@cache
def fingerprint() -> str:
    """Return a fingerprint of the classifier: its code, the encoder's, and what is known."""
    files = (Path(__file__), Path(e5.__file__), WEIGHTS)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def features(answers: Sequence[tuple[str, str | None]]) -> Array:
    """Return the features of answers, read after their prompts.

    Args:
        answers: Answers with their prompts, `None` or empty where it is unknown.

    Returns:
        (answers, 4 · hidden): the `Parts` of each.
    """
    found = np.zeros((len(answers), len(SHARES) * e5.weights().hidden), np.float32)
    for number, parts in _read([_Pair.of(*answer) for answer in answers]):
        found[number] = parts.features()
    return found


def weighted(standardised: Array) -> Array:
    """Let each of the `Parts` count by its share: (n, 4 · hidden) → (n, 4 · hidden)."""
    shares = np.sqrt(np.asarray(SHARES, np.float32))
    return standardised * np.repeat(shares, standardised.shape[1] // len(SHARES))


def kernel(one: Array, other: Array) -> Array:
    """Return how near weighted features are, 0 … 1: (n, 4 · hidden), (m, 4 · hidden) → (n, m)."""
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    return np.exp(-WIDTH * len(SHARES) / one.shape[1] * np.maximum(squares, 0))


@dataclass(frozen=True)
class Parts:
    """What the encoder makes of one prompt and answer.

    Attributes:
        late: The answer's token states after all layers: (tokens, hidden).
        asked: The mean state of the prompt's tokens, which have seen the answer: (hidden,).
        first: The state of the token at the beginning: (hidden,).
        early: As `late`, two layers before: (tokens, hidden).
    """

    late: Array
    asked: Array
    first: Array
    early: Array

    def features(self, without: Sequence[int] = ()) -> Array:
        """Return means, one after the other: (4 · hidden,).

        Args:
            without: Places of the answer's tokens to leave out.
        """
        late, early = (np.delete(part, without, axis=0).mean(0) for part in (self.late, self.early))
        return np.concatenate([late, self.asked, self.first, early])


@dataclass(frozen=True)
class _Pair:
    """A prompt and an answer as tokens: begin, prompt, end, answer, end.

    Attributes:
        tokens: All of them.
        answer: Where the answer's are.
    """

    tokens: tuple[int, ...]
    answer: slice

    @classmethod
    def of(cls, text: str, prompt: str | None) -> _Pair:
        """Lay them out."""
        source, tokenize = e5.weights(), e5.tokenizer()
        asked = tokenize(f"query: {_plain(prompt)}")[:_PROMPT] if prompt else []
        said = tokenize(f"passage: {_plain(text)}")
        if len(said) > _HEAD + _TAIL:
            said = said[:_HEAD] + said[-_TAIL:]
        start = len(asked) + 2
        tokens = (source.begin, *asked, source.end, *said, source.end)
        return cls(tokens, slice(start, start + len(said)))


def _read(pairs: Sequence[_Pair]) -> Iterator[tuple[int, Parts]]:
    """Yield the number of each pair and what the encoder makes of it, in order of length."""
    ordered = sorted(range(len(pairs)), key=lambda number: len(pairs[number].tokens))
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        with torch.inference_mode():
            states, there = e5.embedded([pairs[number].tokens for number in batch])
            early = states
            for index in range(LAYERS):
                states = e5.layer(index)(states, there)
                early = states if index + 1 == EARLY else early
            for number, one, before in zip(batch, states.numpy(), early.numpy(), strict=True):
                answer = pairs[number].answer
                asked = one[: answer.start].mean(0)
                yield number, Parts(one[answer], asked, one[0], before[answer])


@dataclass(frozen=True)
class _Known:
    """Labelled answers, and how much each counts.

    Attributes:
        ids: Their ids: (known,).
        labels: Their labels: (known,).
        states: Their features, standardised and weighted: (known, 4 · hidden).
        weights: Of each for each label: (known, labels).
        mean: Of the features before they were standardised: (4 · hidden,).
        deviation: Likewise.
    """

    ids: Sequence[str]
    labels: Sequence[Label]
    states: Array
    weights: Array
    mean: Array
    deviation: Array

    def nearness(self, found: Array) -> Array:
        """Compare answers with the known ones: (answers, 4 · hidden) → (answers, known)."""
        near = weighted(((found - self.mean) / self.deviation).astype(np.float32))
        return kernel(near, self.states)

    def scores(self, found: Array) -> Array:
        """Score labels: (answers, 4 · hidden) → (answers, labels)."""
        return self.nearness(found) @ self.weights + 1 / len(LABELS)

    def nearest(self, found: Array, top: int = 5) -> tuple[tuple[str, Label, float], ...]:
        """Name the known answers that are nearest: (1, 4 · hidden) → ids, labels, nearness."""
        (near,) = self.nearness(found)
        order: list[int] = np.argsort(-near, kind="stable")[:top].tolist()
        return tuple((self.ids[n], self.labels[n], float(near[n])) for n in order)


@cache
def _known() -> _Known:
    with np.load(WEIGHTS, allow_pickle=False) as file:
        return _Known(
            ids=[str(name) for name in file["ids"]],
            labels=[LABELS[number] for number in file["labels"]],
            states=weighted(file["states"].astype(np.float32) * STEP),
            weights=file["weights"].astype(np.float32),
            mean=file["mean"],
            deviation=file["deviation"],
        )


def _lead(scores: Array, label: int) -> Array:
    """Return a label's lead over the next one: (n, labels) → (n,)."""
    return scores[:, label] - np.delete(scores, label, axis=1).max(1)


def _words(tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Join an answer's tokens to words, with the places of each; "▁" starts one."""
    words: list[tuple[str, list[int]]] = []
    for place, token in enumerate(tokens):
        piece = e5.weights().piece(token)
        if piece.startswith("▁") or not words:
            words.append((piece.removeprefix("▁"), [place]))
        else:
            word, places = words[-1]
            words[-1] = (word + piece, [*places, place])
    return words[1:]  # the first is the encoder's own "passage:"


def _plain(text: str) -> str:
    """Return what is looked at of a text: composed characters, no more than both its ends."""
    if len(text) > 2 * _CHARACTERS:
        text = f"{text[:_CHARACTERS]} {text[-_CHARACTERS:]}"
    text = unicodedata.normalize("NFC", text).replace("\0", " ")
    return text.encode("utf-8", "replace").decode("utf-8").strip()


def _readable(text: str, prompt: str | None) -> bool:
    """Say whether an answer has letters or digits, and is more than the prompt."""
    said, asked = (re.findall(r"\w+", _plain(part).casefold()) for part in (text, prompt or ""))
    return any(map(str.isalnum, _plain(text))) and said != asked
