"""An example of a package that adds to Dormant: copy it and change the two functions."""

from __future__ import annotations

from collections.abc import Sequence

from dormant.transforms.text import TextTransform, all_or_raise, cipher
from dormant.transforms.translation import TranslationError

WORDS = {"yes": "sí", "no": "no", "thank you": "gracias"}


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


class Glossary:
    """A translator that looks whole texts up in a list."""

    name = "glossary"

    def pairs(self) -> list[tuple[str, str]]:
        return [("en", "es"), ("es", "en")]

    def version(self, source: str, target: str) -> str:
        return "1"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        words = WORDS if source == "en" else {there: here for here, there in WORDS.items()}
        return all_or_raise(
            [
                words.get(text) or TranslationError(self.name, text, "not in the glossary")
                for text in texts
            ]
        )


def glossary(argument: str | None) -> Glossary:
    """The translator behind ``spanish@glossary``."""
    return Glossary()
