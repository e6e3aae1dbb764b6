"""A user's NLI items: XNLI from the Hugging Face hub or a local copy of it, or a table like it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from dormant.errors import DormantError, one_line, unknown
from dormant.tasks import data
from dormant.tasks.nli.items import FOLDER, LABELS, Item, Source, texts
from dormant.tasks.tables import SUFFIXES, Row, column, read_rows

SPLIT = "validation"
"""The paper's split: 2 490 items (§3.2)."""

_PREMISE = ("premise", "sentence1")
_HYPOTHESIS = ("hypothesis", "sentence2")
_LABEL = ("label", "gold_label")
_LANGUAGE = ("language", "lang")
_ID = ("id", "pairID", "idx")
_HOW = (
    "pass a local copy: --task nli:path=FILE_OR_DIRECTORY (Parquet, JSONL, TSV or CSV; a "
    "directory holds one file or folder a language, named like en or english)"
)


def from_path(path: Path) -> Source:
    """Read items from a file, or from a directory with a file or folder a language.

    A file may hold several languages: in a column `language`, or, as XNLI's configuration
    all_languages, in `premise` and `hypothesis` themselves. Without either it is English, unless
    its name is a language's. Rows without an id are paired by their position.

    Raises:
        DormantError: Nothing there, a column is missing, a label is not in the label set, an id
            occurs twice, or the languages hold different items.
    """
    if path.is_dir():
        items: dict[str, dict[str, Item]] = {}
        for entry, language in _language_entries(path):
            rows = [row for file in _tables(entry) for row in read_rows(file)]
            items[language] = _items(rows, language).get(language, {})
        if not items:
            raise DormantError(f"{path}: no file or folder named after a language; {_HOW}")
        files = [file for entry, _ in _language_entries(path) for file in _tables(entry)]
    else:
        items = _items(read_rows(path), _language_of(path.stem) or "english")
        files = [path]
    return _source(path.stem, items, _fingerprint(files))


def from_hub(name: str, languages: Sequence[str] = ()) -> Source:
    """Fetch items from a Hugging Face data set laid out as XNLI: a configuration a language.

    Args:
        name: The data set, e.g. "facebook/xnli".
        languages: Which; none means the paper's four.

    Raises:
        DormantError: It can't be fetched; the message says how to pass a local copy.
    """
    try:
        import datasets
    except ImportError:
        raise DormantError(
            f"data set {name!r}: the package datasets is missing: pip install datasets; or {_HOW}"
        ) from None
    items: dict[str, dict[str, Item]] = {}
    for language in languages or ("english", "french", "spanish", "german"):
        try:
            rows = datasets.load_dataset(name, texts(language).code, split=SPLIT)
        except DormantError:
            raise
        except Exception as error:
            # The library raises errors of its own, of its file systems and of its HTTP client.
            raise DormantError(
                f"data set {name!r} can't be fetched ({one_line(error, 160)}); {_HOW}"
            ) from error
        listed = [
            Row(cast("dict[str, Any]", row), Path(f"{name}/{texts(language).code}"), number)
            for number, row in enumerate(rows, start=1)
        ]
        items |= _items(listed, language)
    digest = hashlib.sha256(repr(items).encode()).hexdigest()[:12]
    return _source(name.split("/")[-1], items, digest)


def _source(name: str, items: Mapping[str, Mapping[str, Item]], version: str) -> Source:
    order = sorted(items, key=lambda language: (language != "english", language))
    return Source(name, {language: items[language] for language in order}, version).check()


def _items(rows: Sequence[Row], default: str) -> dict[str, dict[str, Item]]:
    premise = column(rows, _PREMISE, "the premise")
    hypothesis = column(rows, _HYPOTHESIS, "the hypothesis")
    label = column(rows, _LABEL, "the label")
    language = _optional(rows, _LANGUAGE)
    identity = _optional(rows, _ID)
    by_language: dict[str, dict[str, Item]] = {}
    for row in rows:
        known = _known(row, _filled(row, language)) if language else default
        right = _label(row, row.values.get(label))
        for spoken, first, second in _sentences(row, known, premise, hypothesis):
            items = by_language.setdefault(spoken, {})
            key = _filled(row, identity) if identity else f"{len(items):05}"
            if key in items:
                raise row.error(f"item {key!r} occurs twice in {spoken}")
            items[key] = Item(first, second, right)
    return by_language


def _sentences(
    row: Row, language: str, premise: str, hypothesis: str
) -> Iterable[tuple[str, str, str]]:
    """Yield (language, premise, hypothesis): one, or all of a row of all_languages."""
    several = row.values[premise]
    if not isinstance(several, Mapping):
        yield language, row.text(premise).strip(), row.text(hypothesis).strip()
        return
    premises = cast("Mapping[str, str]", several)
    answers = cast("Mapping[str, Sequence[str]]", row.values[hypothesis])
    try:
        hypotheses = dict(zip(answers["language"], answers["translation"], strict=True))
        pairs = [(code, premises[code].strip(), hypotheses[code].strip()) for code in premises]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise row.error("premise and hypothesis do not hold the same languages") from None
    for code, first, second in pairs:
        yield _known(row, code), first, second


def _filled(row: Row, name: str) -> str:
    """Return the text or number in a column that other rows have."""
    value = row.values.get(name)
    if value is None or not str(value).strip():
        raise row.error(f"{name!r} is missing or empty")
    return str(value).strip()


def _label(row: Row, value: object) -> str:
    """Read a label: its name, or XNLI's number for it."""
    match value:
        case int() if not isinstance(value, bool) and 0 <= value < len(LABELS):
            return LABELS[value]
        case str() if value.strip().casefold() in LABELS:
            return value.strip().casefold()
        case str() if value.strip() in ("0", "1", "2"):
            return LABELS[int(value)]
        case _:
            raise row.error(f"label {value!r} is none of {', '.join(LABELS)} (or 0, 1, 2)")


def _optional(rows: Sequence[Row], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in rows[0].values), None)


def _language_of(name: str) -> str | None:
    """Return the language that `name` names in full or by its code, if there is a template."""
    known = {language: language for language in data.languages(FOLDER)}
    known |= {texts(language).code: language for language in tuple(known)}
    return known.get(name.casefold())


def _known(row: Row, name: str) -> str:
    language = _language_of(name)
    if language is None:
        known = (f"{language} ({texts(language).code})" for language in data.languages(FOLDER))
        raise row.error(str(unknown("language", name, known)))
    return language


def _language_entries(path: Path) -> list[tuple[Path, str]]:
    return [
        (entry, language)
        for entry in sorted(path.iterdir())
        if (entry.is_dir() or entry.suffix.lower() in SUFFIXES)
        and (language := _language_of(entry.stem)) is not None
    ]


def _tables(entry: Path) -> list[Path]:
    """Return the files of one language: of a folder as the hub lays it out, the split's only."""
    if entry.is_file():
        return [entry]
    files = [file for file in sorted(entry.iterdir()) if file.suffix.lower() in SUFFIXES]
    chosen = [file for file in files if file.name.startswith(SPLIT)] or files
    if not chosen:
        raise DormantError(f"{entry}: no table there; {_HOW}")
    return chosen


def _fingerprint(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
