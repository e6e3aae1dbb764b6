"""How prompts to be completed share a batch. No torch here."""

from __future__ import annotations

from collections.abc import Sequence


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
