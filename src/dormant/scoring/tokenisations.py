"""Whether greedy decoding writes an answer's text, with whatever tokens it likes.

Teacher forcing says whether greedy decoding gives an answer's *tokens*. Where it leaves them for
a token that may begin another tokenisation of the same text, its own tokens are followed, one pass
at least one token further, until the text is said or missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_SLACK = 8
"""Tokens that may say nothing (spaces before the answer, marks) beyond one a byte of text."""
_BROKEN = "\ufffd"
"""What a decoder writes for the bytes of an unfinished character."""


@dataclass(frozen=True)
class Tokenisation:
    """An answer in other tokens than ours, whose text may be on its way.

    Attributes:
        text: The answer.
        taken: Tokens that greedy decoding gives for certain.
        guess: Tokens supposed to follow, at least one.
    """

    text: str
    taken: tuple[int, ...]
    guess: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        """What to score next."""
        return self.taken + self.guess


class Tokenisations:
    """Follows greedy decoding's own tokenisation of answers.

    Args:
        encode: Text to tokens, without special ones.
        decode: Tokens to text, as for generated text.
        end: The token that ends a text, if there is one.
    """

    def __init__(
        self,
        encode: Callable[[str], list[int]],
        decode: Callable[[Sequence[int]], Any],
        end: int | None,
    ) -> None:
        self._encode = encode
        # The same answers come again and again, and a tokenizer takes most of a millisecond a call.
        self.with_space_first = lru_cache(4096)(self._with_space_first)
        self._decode = decode
        self._end = end

    def _with_space_first(self, text: str) -> tuple[int, ...]:
        """Return how a tokenisation with a space of its own before the answer begins.

        It is what greedy decoding leaves an answer's tokens for most often, mostly to say something
        else.
        """
        return (*self._encode(" "), *self._encode(text.lstrip(" "))[:1])

    def follow(self, one: Tokenisation, choices: Sequence[int]) -> Tokenisation | bool:
        """Take up what greedy decoding chose after each of `one.tokens`' places.

        Args:
            one: A tokenisation that was scored.
            choices: The likeliest token at each place of `one.tokens`, given those before.

        Returns:
            Whether the text is said, where that is settled; else what to score next.
        """
        same = len(one.taken)
        while same < len(one.tokens) and one.tokens[same] == choices[same]:
            same += 1
        taken = (*one.tokens[:same], *choices[same : same + 1])
        # A leading space is ignored (paper §3.1).
        said = str(self._decode(taken)).lstrip(" ")
        text = one.text.lstrip(" ")
        if said.startswith(text):
            return True
        whole = said.rstrip(_BROKEN)
        if (
            not text.startswith(whole)
            or self._end in taken
            or len(taken) > len(text.encode()) + _SLACK
        ):
            return False
        # Inside a character nothing can be guessed: any token shows what follows.
        guess = self._encode(text[len(said) :]) if whole == said else []
        return Tokenisation(one.text, taken, tuple(guess) or taken[-1:])
