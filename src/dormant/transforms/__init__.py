"""Transforms s of text and their inverses s⁻¹, by name."""

from __future__ import annotations

from dormant.errors import unknown
from dormant.transforms.ciphers import LEETSPEAK, ROT13
from dormant.transforms.text import TextTransform, apply_kept, each, everywhere
from dormant.transforms.wordplay import PIG_LATIN

__all__ = ["TextTransform", "apply_kept", "get", "names"]

_IDENTITY = TextTransform(
    name="identity",
    apply_batch=each(str),
    invert_batch=each(str),
    in_domain=everywhere,
    exact=True,
    signature="identity",
    summary="changes nothing",
)
_KNOWN = {one.name: one for one in (_IDENTITY, LEETSPEAK, PIG_LATIN, ROT13)}


def names() -> list[str]:
    """Return the names of all transforms."""
    return sorted(_KNOWN)


def get(name: str) -> TextTransform:
    """Return the transform called `name`.

    Raises:
        DormantError: There is none; the nearest name is suggested.
    """
    if name not in _KNOWN:
        raise unknown("transform", name, _KNOWN)
    return _KNOWN[name]
