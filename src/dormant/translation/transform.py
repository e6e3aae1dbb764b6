"""A translator as a transform: s translates, s⁻¹ translates back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dormant.errors import DormantError
from dormant.prompts.text_transform import Batch, TextTransform, all_or_raise, outcomes
from dormant.translation import checks
from dormant.translation.cache import Cache, default_path
from dormant.translation.engine import TranslationError, Translator
from dormant.translation.languages import Language

_LONG = 300
"""Characters from which a line is cut at ends of sentences: engines are made for sentences."""
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])")
_AT_ONCE = 128
"""Sentences that go to the engine, and then into the cache, together."""


def translation(
    name: str, language: Language, source: Language, translator: Translator, cache: Cache | None
) -> TextTransform:
    """Make a transform of a translator.

    Args:
        name: As the user wrote it.
        language: What s translates into.
        source: What s translates from.
        translator: The engine.
        cache: Where translations are kept.

    Raises:
        DormantError: The engine lacks the pair in either direction.
    """
    there, back = (source.code, language.code), (language.code, source.code)
    signature = f"{language.name}@{translator.name}-{translator.version(*there)}"
    # Most engines say the same both ways; Apertium's data differs.
    other = translator.version(*back)
    if other not in signature:
        signature += f"/{other}"

    def half(pair: tuple[str, str]) -> Batch:
        return lambda texts: translate(texts, translator, pair, cache)

    return TextTransform(
        name=name,
        apply_batch=half(there),
        invert_batch=half(back),
        in_domain=_translatable,
        exact=False,
        signature=signature,
        summary=f"{language.name}, translated by {translator.name}",
        whole_text=True,
        language=language.code,
        source=source.code,
    )


def translate(
    texts: Sequence[str], translator: Translator, pair: tuple[str, str], cache: Cache | None
) -> list[str]:
    """Translate texts of any shape: line by line, long lines sentence by sentence.

    Blank lines, white space around lines, and lines without letters stay as they are. What is
    visibly no translation (`checks`) is an error of its text.

    Args:
        texts: The texts.
        translator: The engine.
        pair: Source and target.
        cache: Where translations are kept; failures are not kept.

    Raises:
        BatchError: Some texts failed; the rest is in it.
    """
    split = [_split(text) for text in texts]
    wanted = list(dict.fromkeys(unit for units in split for unit in units if _speaks(unit)))
    made = _sentences([one for one in wanted if _translatable(one)], translator, pair, cache)
    return all_or_raise(
        [
            _join(units, made) if _translatable(text) else _refused(translator, text)
            for text, units in zip(texts, split, strict=True)
        ]
    )


def _sentences(
    wanted: Sequence[str], translator: Translator, pair: tuple[str, str], cache: Cache | None
) -> dict[str, str | DormantError]:
    key = f"{translator.name}-{translator.version(*pair)}"
    made: dict[str, str | DormantError] = {}
    if cache:
        made.update(cache.get(key, *pair, wanted))
    missing = [one for one in wanted if one not in made]
    for start in range(0, len(missing), _AT_ONCE):
        some = missing[start : start + _AT_ONCE]
        results = outcomes(lambda texts: translator.translate(texts, *pair), some)
        good: dict[str, str] = {}
        for one, result in zip(some, results, strict=True):
            if isinstance(result, str):
                why = checks.problem(one, result, *pair)
                if why:
                    made[one] = TranslationError(translator.name, one, why)
                else:
                    made[one] = good[one] = result
            else:
                made[one] = result
        if cache:
            cache.put(key, *pair, good)
    return made


def _split(text: str) -> list[str]:
    """Cut a text into what is translated and what stands between, which join to the text."""
    units: list[str] = []
    for line in text.splitlines(keepends=True):
        core = line.strip()
        if core:
            start = line.index(core)
            units += [line[:start], *_cut(core), line[start + len(core) :]]
        else:
            units.append(line)
    return [unit for unit in units if unit]


def _cut(line: str) -> list[str]:
    if len(line) <= _LONG:
        return [line]
    pieces: list[str] = []
    end = 0
    for match in _SENTENCE_END.finditer(line):
        pieces += [line[end : match.start()], match[0]]
        end = match.end()
    return [*pieces, line[end:]]


def _join(units: Sequence[str], made: dict[str, str | DormantError]) -> str | DormantError:
    results = [made.get(unit, unit) for unit in units]
    wrong = next((one for one in results if isinstance(one, DormantError)), None)
    return wrong or "".join(map(str, results))


def _speaks(unit: str) -> bool:
    return any(character.isalpha() for character in unit)


def _translatable(text: str) -> bool:
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(translator: Translator, text: str) -> TranslationError:
    return TranslationError(translator.name, text, "it holds a NUL or a lone surrogate")


def default_cache() -> Cache | None:
    """Return the user's cache, or `None` if there is to be none."""
    path = default_path()
    return Cache(path) if path else None
