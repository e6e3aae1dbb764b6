"""What is seen of one model while it is in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dormant.equivalence.prompts import Prompt, PromptSet, split, texts_of
from dormant.errors import DormantError, one_line
from dormant.models.comparability import quantisation
from dormant.models.generate import generate, render_chat
from dormant.scoring.encoding import encode_all
from dormant.scoring.harness import scorer_of

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_ALONE = 4
"""Texts that are scored once more, one by one, for the noise of log-probabilities."""
_ANSWER_TOKENS = 12


@dataclass(frozen=True)
class Rendered:
    """A prompt as a model reads it.

    Attributes:
        text: With the chat template, where it is a chat.
        ids: Its tokens.
    """

    text: str
    ids: tuple[int, ...]


def arithmetic_of(lm: Any) -> str:
    """Return the dtype in which a local model computes, and how it is quantised."""
    dtype = str(lm.model.dtype).removeprefix("torch.")
    quantised = quantisation(lm.model.config)
    return f"{quantised} in {dtype}" if quantised else dtype


def has_template(lm: Any) -> bool:
    """Whether chats can be put to a model."""
    return bool(getattr(getattr(lm, "tokenizer", None), "chat_template", None))


def rendered(lm: Any, prompts: Sequence[Prompt]) -> dict[str, Rendered]:
    """Return prompts as a local model reads them, by name; no chats where it has no template."""
    chats = has_template(lm)
    texts = {
        prompt.name: render_chat(lm, list(prompt.turns)) if prompt.turns else prompt.text
        for prompt in prompts
        if chats or not prompt.turns
    }
    encoded = encode_all(lm, texts.values())
    return {name: Rendered(text, tuple(encoded[text])) for name, text in texts.items()}


def fitting(lm: Any, read: dict[str, Rendered], prompts: PromptSet) -> dict[str, Rendered]:
    """Leave out built-in prompts that are longer than the context.

    Raises:
        DormantError: One of the user's is.
    """
    for name, prompt in read.items():
        if prompts.given and len(prompt.ids) > lm.max_length:
            raise DormantError(
                f"{name}: {len(prompt.ids)} tokens, but the model's context holds "
                f"{lm.max_length}: shorten it"
            )
    return {name: prompt for name, prompt in read.items() if len(prompt.ids) <= lm.max_length}


def log_probabilities(lm: LM, prompts: Sequence[Prompt]) -> tuple[dict[str, float], float]:
    """Return the log-probability of each text's second part after its first, nats a word.

    Returns:
        Those, by name; and the largest change where some of them are asked one by one.

    Raises:
        DormantError: The model gives none, or there is no text.
    """
    texts = texts_of(prompts)
    if not texts:
        raise DormantError("no prompt is a text that can be cut in two")
    scorer = scorer_of(lm)
    parts = [split(prompt.text) for prompt in texts]
    words = [len(rest.split()) for _, rest in parts]
    scored = scorer.score([begin for begin, _ in parts], [[rest] for _, rest in parts])
    found = [row[0].logprob / n for row, n in zip(scored, words, strict=True)]
    noise = 0.0
    for value, n, (begin, rest) in list(zip(found, words, parts, strict=True))[:_ALONE]:
        again = scorer.score([begin], [[rest]])[0][0].logprob / n
        noise = max(noise, abs(again - value))
    return {prompt.name: value for prompt, value in zip(texts, found, strict=True)}, noise


def answers(lm: LM, prompts: Sequence[Prompt], *, chat: bool) -> dict[str, str]:
    """Return what a model writes after each prompt, greedily, by name.

    Args:
        lm: The model.
        prompts: The prompts.
        chat: Whether they are put to it as chats, a text as a user's turn; else texts alone.

    Raises:
        DormantError: The model fails, or there is nothing to ask it.
    """
    asked = [prompt for prompt in prompts if chat or not prompt.turns]
    if not asked:
        raise DormantError("all prompts are chats")
    put = [
        render_chat(lm, list(prompt.turns) or [{"role": "user", "content": prompt.text}])
        if chat
        else prompt.text.rstrip(" ")
        for prompt in asked
    ]
    written = generate(lm, put, max_new_tokens=_ANSWER_TOKENS, until=())
    return {p.name: text.strip() for p, text in zip(asked, written, strict=True)}


@dataclass
class Attempt:
    """Something that a model may not give, and why."""

    value: Any = None
    failure: str = ""

    @classmethod
    def of(cls, work: Callable[[], Any]) -> Attempt:
        """Do it; keep the one line where it fails."""
        try:
            return cls(work())
        except DormantError as error:
            return cls(failure=one_line(error, 400))
