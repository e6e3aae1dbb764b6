"""What a translation engine is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeAlias

from dormant.errors import DormantError
from dormant.prompts.text_transform import TransformError

Pair: TypeAlias = tuple[str, str]
"""Source and target language by the codes of `languages`, e.g. ("en", "es")."""


class Translator(Protocol):
    """Anything that translates.

    An engine passes private-use characters (U+E000 … U+F8FF) through: they stand for
    protected spans.
    """

    @property
    def name(self) -> str:
        """As written after the ``@``, e.g. "apertium"."""
        ...

    def pairs(self) -> Collection[Pair]:
        """Return the pairs that can be translated now, without installing anything more."""
        ...

    def version(self, source: str, target: str) -> str:
        """Return what decides the result beside the text: program, model, data; for records."""
        ...

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate texts of one line each.

        Raises:
            BatchError: Some texts failed; the rest is in it.
            DormantError: Nothing could be translated.
        """
        ...


class TranslationError(TransformError):
    """One text whose translation is missing, or known to be wrong."""


def unavailable(name: str, why: str) -> DormantError:
    """The error for an engine that can't run here."""
    return DormantError(f"translator {name!r} is not usable: {why}")
