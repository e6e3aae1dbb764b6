"""Prompts and answers as tokens: as generation reads them, and as the harness does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dormant.errors import DormantError
from dormant.scoring.rows import Row


def encode_prompts(lm: Any, prompts: Sequence[str], answers: Sequence[Sequence[str]]) -> list[Row]:
    """Encode prompts as they are read before generation, and answers behind them.

    Args:
        lm: The harness's Hugging Face model.
        prompts: N prompts.
        answers: N rows of answers.

    Raises:
        DormantError: A prompt is longer than the context, or an answer is empty.
    """
    pairs = [
        [_split(prompt, text) for text in texts]
        for prompt, texts in zip(prompts, answers, strict=True)
    ]
    known = encode_all(
        lm,
        (
            text
            for row in pairs
            for context, answer in row
            if context
            for text in (context, context + answer)
        ),
    )
    return [
        _row(lm, index, prompt, [_pair(lm, *pair, known) for pair in row])
        for index, (prompt, row) in enumerate(zip(prompts, pairs, strict=True))
    ]


def encode_requests(lm: Any, continuations: Mapping[str, Sequence[str]]) -> list[Row]:
    """Encode contexts and their continuations exactly as the harness does.

    Args:
        lm: The harness's Hugging Face model.
        continuations: Those of each context, in order.

    Raises:
        DormantError: A prompt is longer than the context, or a continuation is empty.
    """
    return [
        _row(lm, index, context, [_harness_pair(lm, context, text) for text in texts])
        for index, (context, texts) in enumerate(continuations.items())
    ]


def encode_all(lm: Any, texts: Iterable[str]) -> dict[str, list[int]]:
    """Encode texts as the model's `tok_encode` does, in one call."""
    return encode_together(lm, texts, lm.tokenizer.decode(lm.prefix_token_id))


def encode_together(lm: Any, texts: Iterable[str], beginning: str | None) -> dict[str, list[int]]:
    """Encode texts in one call, each as if it came alone: a call costs more than a text.

    Args:
        lm: The harness's Hugging Face model.
        texts: Any number.
        beginning: The harness adds no special tokens to a text that begins so.
    """
    distinct = list(dict.fromkeys(texts))
    # A set by itself, since the harness decides for a whole call.
    odd = {text for text in distinct if beginning is not None and text.startswith(beginning)}
    known: dict[str, list[int]] = {}
    for some, special in (
        ([text for text in distinct if text in odd], False),
        ([text for text in distinct if text not in odd], lm.add_bos_token),
    ):
        options = {} if special is None else {"add_special_tokens": special}
        if some:
            encoded = lm.tokenizer(some, return_attention_mask=False, **options).input_ids
            known.update(zip(some, encoded, strict=True))
    return known


def _row(lm: Any, index: int, prompt: str, pairs: Sequence[tuple[list[int], list[int]]]) -> Row:
    contexts = {tuple(context) for context, _ in pairs}
    if len(contexts) != 1 or not all(tail for _, tail in pairs):
        raise DormantError(
            f"an answer can't be told apart from the prompt that begins {prompt[:60]!r}: "
            "give at least one answer, none of them empty"
        )
    row = Row(index, contexts.pop(), tuple(tuple(tail) for _, tail in pairs))
    if row.longest > lm.max_length:
        raise DormantError(
            f"{row.longest} tokens, but the model's context holds {lm.max_length}: the "
            f"prompt that begins {prompt[:60]!r}"
        )
    return row


def _pair(
    lm: Any, context: str, answer: str, known: Mapping[str, list[int]]
) -> tuple[list[int], list[int]]:
    """Encode a prompt as it is read before generation, and the answer behind it.

    Where the two would merge into one token, they are encoded apart.
    """
    if not context:
        return _harness_pair(lm, context, answer)
    before, whole = known[context], known[context + answer]
    if whole[: len(before)] == before and len(whole) > len(before):
        return before, whole[len(before) :]
    return before, lm.tok_encode(answer, add_special_tokens=False)


def _harness_pair(lm: Any, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """Encode a pair exactly as the harness does."""
    if context:
        return lm._encode_pair(context, continuation)
    tail = lm.tok_encode(continuation, add_special_tokens=False)
    first = lm.prefix_token_id
    return ([first], tail) if first != tail[0] else (tail[:1], tail[1:])


def _split(prompt: str, answer: str) -> tuple[str, str]:
    """Move spaces at the end of the prompt to the answer, as the harness does."""
    context = prompt.rstrip(" ") or prompt
    return context, prompt[len(context) :] + answer
