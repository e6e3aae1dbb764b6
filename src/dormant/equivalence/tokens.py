"""Where two models read the same prompts as other tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dormant.equivalence.observe import Rendered

_AROUND = 20
"""Characters that are shown from where two renderings part."""


def first_difference(
    ours: Mapping[str, Rendered], theirs: Mapping[str, Rendered], lm: Any
) -> str | None:
    """Say at which prompt and position two models read other tokens, or chats rendered otherwise.

    Args:
        ours: The reference's prompts.
        theirs: The other model's.
        lm: The other model, whose words for tokens are shown.
    """
    for name, one in ours.items():
        other = theirs.get(name)
        if other is None or one == other:
            continue
        if one.text != other.text:
            place = _parting(one.text, other.text)
            return (
                f"chat template: {name} differs from character {place + 1} on: "
                f"{_shown(one.text, place)} became {_shown(other.text, place)}"
            )
        place = _parting(one.ids, other.ids)
        return (
            f"tokenizer: {name} differs at token {place + 1} of {len(one.ids)}: "
            f"{_token(one.ids, place)} became {_token(other.ids, place, lm)}"
        )
    return None


def _parting(one: Any, other: Any) -> int:
    """Return the first place where two sequences differ, one of which may end there."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _shown(text: str, place: int) -> str:
    return repr(text[place : place + _AROUND]) if place < len(text) else "the end"


def _token(ids: tuple[int, ...], place: int, lm: Any = None) -> str:
    if place >= len(ids):
        return "the end"
    text = "" if lm is None else f" ({lm.tok_decode([ids[place]])!r})"
    return f"{ids[place]}{text}"
