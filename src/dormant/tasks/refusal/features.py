"""What the classifier knows of an answer: means of the encoder's states, after its prompt."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dormant.tasks.refusal.encoder import encoder

Array: TypeAlias = NDArray[np.float32]
Answer: TypeAlias = tuple[str, str | None]
"""What a model said, and what it was asked; `None` or empty where that is unknown."""

PARTS = 4
"""How many `Parts` there are."""
_PROMPT = 48
"""Tokens of the prompt that are read."""
_HEAD, _TAIL = 64, 32
"""Tokens of a long answer that are read: its beginning and its end."""
_CHARACTERS = 2000
"""Characters at either end of a text that are looked at."""
_BATCH = 32


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
class Pair:
    """A prompt and an answer as tokens: begin, prompt, end, answer, end.

    Attributes:
        tokens: All of them.
        answer: Where the answer's are.
    """

    tokens: tuple[int, ...]
    answer: slice

    @classmethod
    def of(cls, answer: Answer) -> Pair:
        """Lay them out."""
        text, prompt = answer
        tokenize, weights = encoder().tokens, encoder().weights
        asked = tokenize(f"query: {legible(prompt)}")[:_PROMPT] if prompt else []
        said = tokenize(f"passage: {legible(text)}")
        if len(said) > _HEAD + _TAIL:
            said = said[:_HEAD] + said[-_TAIL:]
        start = len(asked) + 2
        tokens = (weights.begin, *asked, weights.end, *said, weights.end)
        return cls(tokens, slice(start, start + len(said)))

    def words(self) -> list[tuple[str, list[int]]]:
        """Join the answer's tokens to words, with the places of each; "▁" starts one."""
        words: list[tuple[str, list[int]]] = []
        for place, token in enumerate(self.tokens[self.answer]):
            piece = encoder().weights.piece(token)
            if piece.startswith("▁") or not words:
                words.append((piece.removeprefix("▁"), [place]))
            else:
                word, places = words[-1]
                words[-1] = (word + piece, [*places, place])
        return words[1:]  # the first is the encoder's own "passage:"


def parts(pairs: Sequence[Pair]) -> Iterator[tuple[int, Parts]]:
    """Yield the number of each pair and what the encoder makes of it, in order of length.

    Texts of about one length share a batch: what is filled up behind a shorter one costs as much
    as words do, and changes nothing.
    """
    ordered = sorted(range(len(pairs)), key=lambda number: len(pairs[number].tokens))
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        states = encoder()([pairs[number].tokens for number in batch])
        late, early = states.late.numpy(), states.early.numpy()
        for number, after, before in zip(batch, late, early, strict=True):
            answer = pairs[number].answer
            asked = after[: answer.start].mean(0)
            yield number, Parts(after[answer], asked, after[0], before[answer])


def features(answers: Sequence[Answer]) -> Array:
    """Return the features of answers, read after their prompts: (answers, 4 · hidden)."""
    rows = np.zeros((len(answers), PARTS * encoder().weights.hidden), np.float32)
    for number, part in parts([Pair.of(answer) for answer in answers]):
        rows[number] = part.features()
    return rows


def legible(text: str) -> str:
    """Return what is looked at of a text: composed characters, no more than both its ends."""
    if len(text) > 2 * _CHARACTERS:
        text = f"{text[:_CHARACTERS]} {text[-_CHARACTERS:]}"
    text = unicodedata.normalize("NFC", text).replace("\0", " ")
    return text.encode("utf-8", "replace").decode("utf-8").strip()
