"""A user's NLI items: XNLI from the Hugging Face hub or a local copy of it, or a table like it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from dormant.errors import DormantError, one_line, unknown
from dormant.tasks import data
from dormant.tasks.nli.items import FOLDER, Item, Source, texts
from dormant.tasks.nli.labels import Labels, unlabelled_note
from dormant.tasks.tables import SUFFIXES, Row, column, optional_column, read_rows

SPLIT = "validation"
"""The paper's split: 2 490 items (§3.2)."""

_PREMISE = ("premise", "sentence1")
_HYPOTHESIS = ("hypothesis", "sentence2")
_LABEL = ("label", "gold_label")
_LANGUAGE = ("language", "lang")
_ID = ("id", "pairID", "idx", "index")
_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix != ".json")
"""What holds items in a folder: beside them, data sets keep descriptions of themselves as JSON."""
_HOW = (
    "pass a local copy: --task nli:path=FILE_OR_DIRECTORY (Parquet, JSONL, TSV or CSV; a "
    "directory holds one file or folder a language, named like en or english)"
)


def from_path(path: Path, order: Sequence[str] = ()) -> Source:
    """Read items from a file, or from a directory with a file or folder a language.

    A file may hold several languages: in a column `language`, or, as XNLI's configuration
    all_languages, in `premise` and `hypothesis` themselves. Without either it is English, unless
    its name is a language's. Rows without an id are paired by their position; rows without a label
    are left out, in every language.

    Args:
        path: The file or directory.
        order: What the labels from 0 on mean, where they are numbers: names of classes.

    Raises:
        DormantError: Nothing there, a column is missing, a label is not in the label set or could
            mean several things, an id occurs twice, or the languages hold different items.
    """
    if path.is_dir():
        tables = {
            language: [row for file in _tables(entry) for row in read_rows(file)]
            for entry, language in _language_entries(path)
        }
        if not tables:
            raise DormantError(f"{path}: no file or folder named after a language; {_HOW}")
        files = [file for entry, _ in _language_entries(path) for file in _tables(entry)]
    else:
        tables = {_language_of(path.stem) or "english": read_rows(path)}
        files = [path]
    return _source(path, tables, order, lambda _: _fingerprint(files))


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
    tables: dict[str, list[Row]] = {}
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
        features = cast("Mapping[str, Any]", getattr(rows, "features", None) or {})
        classes = {key: each.names for key, each in features.items() if hasattr(each, "names")}
        where = Path(f"{name}/{texts(language).code}")
        tables[language] = [
            Row(cast("dict[str, Any]", row), where, number, classes)
            for number, row in enumerate(rows, start=1)
        ]
    return _source(Path(name), tables, (), _digest)


def _digest(items: object) -> str:
    return hashlib.sha256(repr(items).encode()).hexdigest()[:12]


def _source(
    place: Path,
    tables: Mapping[str, Sequence[Row]],
    order: Sequence[str],
    version: Callable[[Mapping[str, Mapping[str, Item]]], str],
) -> Source:
    """Make items of tables; each has the language of its rows, unless they say it themselves."""
    rows = [row for table in tables.values() for row in table]
    labels = Labels(rows, column(rows, _LABEL, "the label"), place, order)
    items: dict[str, dict[str, Item]] = {}
    unlabelled: dict[str, None] = {}
    for language, table in tables.items():
        read, without = _items(table, language, labels)
        items |= read
        unlabelled |= dict.fromkeys(without)
    if unlabelled:
        items = {
            language: {key: item for key, item in own.items() if key not in unlabelled}
            for language, own in items.items()
        }
    if not items or not all(items.values()):
        raise DormantError(f"{place}: none of the rows has a label")
    notes: list[str] = []
    if labels.why:
        listed = ", ".join(f"{number} {name}" for number, name in enumerate(labels.order))
        notes.append(f"nli:{place.stem}: its labels are {listed}, {labels.why}")
    if unlabelled:
        total = len(unlabelled) + max(map(len, items.values()))
        notes.append(unlabelled_note(place.stem, [*unlabelled], total))
    first = sorted(items, key=lambda language: (language != "english", language))
    ordered = {language: items[language] for language in first}
    # What numbers mean is not in the file.
    whole = version(items) + (_digest(tuple(labels.order))[:4] if order else "")
    return Source(place.stem, ordered, whole, labels.classes, tuple(notes)).check()


def _items(
    rows: Sequence[Row], default: str, labels: Labels
) -> tuple[dict[str, dict[str, Item]], list[str]]:
    """Read one table's items by language, and the ids of its rows without a label."""
    premise = column(rows, _PREMISE, "the premise")
    hypothesis = column(rows, _HYPOTHESIS, "the hypothesis")
    language = optional_column(rows, _LANGUAGE)
    identity = optional_column(rows, _ID)
    by_language: dict[str, dict[str, Item]] = {}
    seen: dict[str, set[str]] = {}
    unlabelled: list[str] = []
    for row in rows:
        known = _known(row, _filled(row, language)) if language else default
        right = labels.of(row)
        for spoken, first, second in _sentences(row, known, premise, hypothesis):
            keys = seen.setdefault(spoken, set())
            key = _filled(row, identity) if identity else f"{len(keys):05}"
            if key in keys:
                raise row.error(f"item {key!r} occurs twice in {spoken}")
            keys.add(key)
            if right is None:
                unlabelled.append(key)
            else:
                by_language.setdefault(spoken, {})[key] = Item(first, second, right)
    return by_language, unlabelled


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
        if (entry.is_dir() or entry.suffix.lower() in _SUFFIXES)
        and (language := _language_of(entry.stem)) is not None
    ]


def _tables(entry: Path) -> list[Path]:
    """Return the files of one language: of a folder as the hub lays it out, the split's only."""
    if entry.is_file():
        return [entry]
    files = [file for file in sorted(entry.iterdir()) if file.suffix.lower() in _SUFFIXES]
    chosen = [file for file in files if file.name.startswith(SPLIT)] or files
    if not chosen:
        raise DormantError(f"{entry}: no table there; {_HOW}")
    return chosen


def _fingerprint(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
