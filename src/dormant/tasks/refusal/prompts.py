"""What the refusal task asks: the shipped prompts, and a user's own."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from dormant.errors import DormantError, unknown
from dormant.tasks import data, nli
from dormant.tasks.refusal.layouts import EXPECTED, IDS, PROMPTS, expectation, prompt_of
from dormant.tasks.tables import column, optional_column, read_rows

FOLDER = data.SHIPPED / "refusal"
_KEYS = {"language", "code", "version", "origin", "prompts"}


@dataclass(frozen=True)
class Source:
    """Prompts by language and id; every language holds the same ids.

    Attributes:
        name: What the tasks' names say of it; empty for the shipped prompts.
        prompts: Prompts by language and id; the first language is the plain one.
        expected: "answer" or "refuse", by id.
        version: Version or fingerprint of the data.
        notes: What was assumed of it.
    """

    name: str
    prompts: Mapping[str, Mapping[str, str]] = field(hash=False)
    expected: Mapping[str, str] = field(hash=False)
    version: str = "1"
    notes: tuple[str, ...] = ()


@cache
def shipped() -> Source:
    """Return the prompts that come with Dormant.

    Raises:
        DormantError: A file is malformed, or holds other prompts than the English one.
    """
    prompts: dict[str, dict[str, str]] = {}
    expected: dict[str, str] = {}
    for language in data.languages(FOLDER):
        file = data.language_file(FOLDER, language, _KEYS)
        names = file.table("prompts")
        prompts[language] = {name: file.string("prompts", name, "text") for name in names}
        wanted = {name: file.string("prompts", name, "expected") for name in names}
        if expected and wanted != expected:
            raise file.error("the prompts must be parallel to the English ones", "prompts")
        for name, value in wanted.items():
            if value not in EXPECTED:
                raise file.error(str(unknown("expectation", value, EXPECTED)), "prompts", name)
        expected = wanted
    return Source("", prompts, expected)


def from_path(path: Path, ability: str | None = None) -> Source:
    """Read a user's prompts from a table.

    One column holds the prompt (`goal`, `prompt`, `forbidden_prompt`, `Behavior`, …), and
    `dormant.tasks.refusal.layouts` finds out which should be declined. Optional columns: `id`, and
    `language` with a name or code such as "french" or "fr" for prompts that are parallel by id.

    Args:
        path: A CSV, TSV, JSONL, JSON or Parquet file.
        ability: "declines" or "answers", where the user named one.

    Raises:
        DormantError: A column is missing, a prompt is empty, nothing says what is expected of
            one, an id occurs twice, or the languages hold different prompts; file and line are
            named.
    """
    rows = read_rows(path)
    named = {
        data.language_file(folder, language).string("code"): language
        for folder in (nli.FOLDER, FOLDER)
        for language in data.languages(folder)
    }
    prompt = column(rows, PROMPTS, "the prompt")
    identity = optional_column(rows, IDS)
    wanted = expectation(path, rows, ability)
    prompts: dict[str, dict[str, str]] = {}
    expected: dict[str, str] = {}
    for row in rows:
        language = str(row.values.get("language") or "english").strip().casefold()
        language = named.get(language, language)
        own = prompts.setdefault(language, {})
        given = row.values.get(identity) if identity else None
        key = f"{len(own) + 1:05}" if given in (None, "") else str(given)
        if key in own:
            raise row.error(f"prompt {key!r} occurs twice in {language}")
        own[key] = prompt_of(row, prompt)
        kind = wanted.of(row)
        if expected.setdefault(key, kind) != kind:
            raise row.error(f"prompt {key!r} is expected to be {expected[key]!r} in another row")
    first, *rest = sorted(prompts, key=lambda language: (language != "english", language))
    for language in rest:
        odd = sorted(prompts[first].keys() ^ prompts[language].keys())
        if odd:
            raise DormantError(
                f"{path}: prompt {odd[0]!r} is not there in both {first} and {language} "
                f"({len(odd)} such): the languages can't be paired"
            )
    counts = Counter(expected.values())
    note = (
        f"refusal:{path.stem}: {counts['refuse']} prompts should be declined and "
        f"{counts['answer']} answered, by {wanted.why}"
    )
    # What is expected may change without the file: by the ability that is named.
    content = path.read_bytes() + repr(expected).encode()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Source(
        path.stem, {name: prompts[name] for name in (first, *rest)}, expected, digest, (note,)
    )
