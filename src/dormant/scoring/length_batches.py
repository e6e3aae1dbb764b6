"""How prompts to be completed share a batch. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dormant.errors import DormantError

_SLOTS = 4
"""Texts that are being written may hold so many times a scoring pass's tokens; what all of them
begin with isn't counted."""

_GENERATION: Mapping[str, int] = {"cpu": 8}
"""Generation reads a token at a time, so batches may be larger by this factor, by device: where
scoring's batches are small for a processor's caches, by more than elsewhere."""


def refuse_without_room(lm: Any, prompt: str, length: int, more: int) -> None:
    """Raise for a prompt that leaves no room in the context for the text asked for.

    Args:
        lm: The harness's Hugging Face model.
        prompt: The prompt.
        length: Its tokens.
        more: Tokens asked for.

    Raises:
        DormantError: It does so.
    """
    if length + more > lm.max_length:
        raise DormantError(
            f"{length} tokens leave no room for {more} more in the model's context of "
            f"{lm.max_length}: the prompt that begins {prompt[:60]!r}"
        )


def slot_budget(budget: int) -> int:
    """Return how many tokens of texts that are being written may be held.

    Args:
        budget: Tokens of a scoring pass.
    """
    return budget * _SLOTS


def completion_batches(
    lm: Any, requests: Sequence[Any], budget: int, pads: Callable[[int], bool]
) -> list[list[int]]:
    """Group requests for completions into batches.

    Args:
        lm: The harness's Hugging Face model.
        requests: The harness's requests.
        budget: Tokens of a scoring pass.
        pads: Whether sequences up to a length may be padded; others share a batch only with
            prompts that are exactly as long.

    Returns:
        The requests' places, in batches.

    Raises:
        DormantError: A prompt leaves no room in the context for the text asked for.
    """
    lengths: list[int] = []
    settings: list[object] = []
    for request in requests:
        prompt, wanted = request.args
        more = int(wanted.get("max_gen_toks", lm.max_gen_toks))
        length = len(lm.tok_encode(prompt))
        refuse_without_room(lm, prompt, length, more)
        lengths.append(length + more)
        settings.append((wanted, None if pads(length + more) else length))
    return length_batches(lengths, settings, budget * _GENERATION.get(lm.device.type, 4))


def length_batches(
    lengths: Sequence[int], settings: Sequence[object], budget: int
) -> list[list[int]]:
    """Group prompts of like length and the same settings, longest first.

    Args:
        lengths: Tokens of each prompt, with those to be generated.
        settings: What each is generated with; compared by their text.
        budget: Tokens a batch, padding counted.

    Returns:
        The prompts' places, in batches.
    """
    found: list[list[int]] = []
    order = sorted(range(len(lengths)), key=lambda i: (str(settings[i]), -lengths[i], i))
    for place in order:
        first = found[-1][0] if found else None
        if (
            first is None
            or str(settings[first]) != str(settings[place])
            or lengths[first] * (len(found[-1]) + 1) > budget
        ):
            found.append([])
        found[-1].append(place)
    return found
