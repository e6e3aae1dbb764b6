"""Where a text ends, and what is left of it: as lm-evaluation-harness has it. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""What requests call the number of tokens to be written."""
_GREEDY = {"do_sample", "temperature", "top_p", "top_k"}
"""Settings that don't matter where nothing is sampled."""


class Ending(NamedTuple):
    """Where a text is to end.

    Attributes:
        more: Tokens to be written at most.
        until: Texts at which it ends, the tokenizer's own end among them.
    """

    more: int
    until: tuple[str, ...]


def ending_of(settings: Any, most: int, end: str) -> Ending | None:
    """Read a request's settings.

    Args:
        settings: What the request says of generation.
        most: Tokens to be written where it doesn't say.
        end: The text of the tokenizer's end.

    Returns:
        `None` where it asks for anything but greedy decoding up to some text or length.
    """
    from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

    if not isinstance(settings, Mapping):
        return None
    given = cast("Mapping[str, Any]", settings)
    if not set(given) <= {"until", *_LIMITS, *_GREEDY}:
        return None
    known = cast("dict[str, Any]", normalize_gen_kwargs(dict(given), most))
    until = handle_stop_sequences(known["until"], eos=end)
    texts = all(isinstance(text, str) for text in cast("list[object]", until))
    if known["do_sample"] or known["max_gen_toks"] < 1 or not texts:
        return None
    return Ending(known["max_gen_toks"], tuple(until))


@dataclass(frozen=True)
class Stops:
    """Says after each token whether a text has ended, and what it is.

    Attributes:
        ends: Tokens that end any text.
        ending: Where this one is to end.
        decode: From tokens to text, special tokens included.
        sizes: The texts at which it ends by the number of last tokens that are looked at for them.
    """

    ends: frozenset[int]
    ending: Ending
    decode: Callable[[Sequence[int]], str]
    sizes: Mapping[int, Sequence[str]]

    @classmethod
    def of(cls, tokenizer: Any, ends: frozenset[int], ending: Ending) -> Stops:
        """Prepare for a tokenizer.

        As the harness does, two tokens more are looked at than a text has by itself: what is
        written may have its ends inside of tokens.
        """
        sizes: dict[int, list[str]] = {}
        for text in ending.until:
            size = len(tokenizer.encode(text, add_special_tokens=False)) + 2
            sizes.setdefault(size, []).append(text)
        return cls(ends, ending, tokenizer.decode, sizes)

    def reached(self, written: Sequence[int]) -> bool:
        """Say whether a text ends with its last token."""
        if written[-1] in self.ends or len(written) >= self.ending.more:
            return True
        return any(
            text in said
            for size, texts in self.sizes.items()
            for said in (self.decode(written[-size:]),)
            for text in texts
        )

    def text(self, said: str) -> str:
        """Return what is left of a decoded text."""
        from lm_eval.models.utils import postprocess_generated_text

        return postprocess_generated_text(said, list(self.ending.until), None)
