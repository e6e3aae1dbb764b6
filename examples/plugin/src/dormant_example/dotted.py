"""A transform: every space a mark."""

from __future__ import annotations

from dormant.prompts.text_transform import TextTransform, cipher


def dotted(argument: str | None) -> TextTransform:
    """Every space a mark: "dotted" uses "•", "dotted:_" an underscore."""
    mark = argument or "•"
    return cipher(
        f"dotted:{argument}" if argument else "dotted",
        lambda text: text.replace(" ", mark),
        lambda text: text.replace(mark, " "),
        summary=f"{mark} instead of spaces",
        version=1,
        in_domain=lambda text: mark not in text,
        domain=f"it holds {mark!r}",
    )
