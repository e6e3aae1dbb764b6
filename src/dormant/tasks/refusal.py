"""Refusals (paper §3.3): does what a model declines in English get declined elsewhere?

Two abilities, since success means opposite things: `refusal/declines` holds prompts that should
be declined (success: REFUSE) and `refusal/answers` harmless ones that a careless model declines
(success: ANSWER). The answers are generated and labelled by a trained classifier
(`dormant.tasks.refusal_classifier`) or by rules (`dormant.tasks.refusal_rules`); AMBIGUOUS is a
success of neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from dormant.errors import DormantError, unknown
from dormant.prompts.case import Case
from dormant.prompts.segment import Segment
from dormant.tasks import data, identify, nli
from dormant.tasks import refusal_rules as refusals
from dormant.tasks.tables import column, read_rows
from dormant.tasks.task import Judgement, Measure

FOLDER = data.SHIPPED / "refusal"
EXPECTED = ("answer", "refuse")
Labeller: TypeAlias = Literal["trained", "rules"]
LABELLERS: tuple[Labeller, ...] = ("trained", "rules")
CODES = ("en", "fr", "es", "de", "hu", "ja", "nl", "ru", "it", "pt", "ca", "gl", "sw", "ml", "zh")
"""Languages that an answer is looked for in: the shipped ones, the paper's and near ones."""

_KEYS = {"language", "code", "version", "origin", "prompts"}
_PROMPT = ("goal", "prompt", "forbidden_prompt", "instruction", "question", "text")
"""AdvBench calls its column `goal`, StrongREJECT `forbidden_prompt`."""


@dataclass(frozen=True)
class Source:
    """Prompts by language and id; every language holds the same ids.

    Attributes:
        name: What the tasks' names say of it; empty for the shipped prompts.
        prompts: Prompts by language and id; the first language is the plain one.
        expected: "answer" or "refuse", by id.
        version: Version or fingerprint of the data.
    """

    name: str
    prompts: Mapping[str, Mapping[str, str]] = field(hash=False)
    expected: Mapping[str, str] = field(hash=False)
    version: str = "1"


@cache
def shipped() -> Source:
    """Return the prompts that come with Dormant.

    Raises:
        DormantError: A file is malformed, or holds other prompts than the English one.
    """
    prompts: dict[str, dict[str, str]] = {}
    expected: dict[str, str] = {}
    for language in data.languages(FOLDER):
        file = data.language_file(FOLDER, language)
        file.check_keys(_KEYS)
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


def from_path(path: Path) -> Source:
    """Read a user's prompts from a CSV, TSV, JSONL or Parquet file.

    One column holds the prompt (`goal`, `prompt`, `forbidden_prompt`, …). Optional columns:
    `expected` ("refuse", the default, or "answer"), `id`, and `language` with a name or code such
    as "french" or "fr" for prompts that are parallel by id.

    Raises:
        DormantError: A column is missing, a prompt is empty, an expectation is neither, an id
            occurs twice, or the languages hold different prompts; file and line are named.
    """
    rows = read_rows(path)
    named = {
        data.language_file(folder, language).string("code"): language
        for folder in (nli.FOLDER, FOLDER)
        for language in data.languages(folder)
    }
    prompt = column(rows, _PROMPT, "the prompt")
    prompts: dict[str, dict[str, str]] = {}
    expected: dict[str, str] = {}
    for row in rows:
        language = str(row.values.get("language") or "english").strip().casefold()
        language = named.get(language, language)
        found = prompts.setdefault(language, {})
        given = row.values.get("id")
        key = f"{len(found) + 1:05}" if given in (None, "") else str(given)
        if key in found:
            raise row.error(f"prompt {key!r} occurs twice in {language}")
        wanted = str(row.values.get("expected") or "refuse").strip().casefold()
        if wanted not in EXPECTED:
            raise row.error(str(unknown("expectation", wanted, EXPECTED)))
        if expected.setdefault(key, wanted) != wanted:
            raise row.error(f"prompt {key!r} is expected to be {expected[key]!r} in another row")
        found[key] = row.text(prompt).strip()
    first, *rest = sorted(prompts, key=lambda language: (language != "english", language))
    for language in rest:
        odd = sorted(prompts[first].keys() ^ prompts[language].keys())
        if odd:
            raise DormantError(
                f"{path}: prompt {odd[0]!r} is not there in both {first} and {language} "
                f"({len(odd)} such): the languages can't be paired"
            )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return Source(path.stem, {name: prompts[name] for name in (first, *rest)}, expected, digest)


@dataclass(frozen=True)
class Refusal:
    """Prompts of one expectation, answered freely.

    Attributes:
        expected: "refuse" or "answer".
        source: A user's own prompts; `None` for the shipped ones.
        labeller: What labels the answers.
        max_new_tokens: Length at which generation stops.
    """

    expected: str
    source: Source | None = None
    labeller: Labeller = "trained"
    max_new_tokens: int = 96
    until: tuple[str, ...] = ()
    measure: Measure = "generate"
    chance: float = 0.0
    default_shots: int = 0

    @property
    def name(self) -> str:
        """The ability's name: "refusal/declines", or "refusal:FILE/declines"."""
        where = self._source.name
        ability = "declines" if self.expected == "refuse" else "answers"
        return f"refusal{f':{where}' if where else ''}/{ability}"

    @property
    def title(self) -> str:
        """What the ability is, with success and failure named."""
        if self.expected == "refuse":
            return "Declines what it should decline (success: REFUSE; failure: ANSWER, AMBIGUOUS)"
        return "Answers harmless prompts (success: ANSWER; failure: REFUSE, AMBIGUOUS)"

    @property
    def version(self) -> str:
        """Version of the prompts and of what labels: neither may change within a run."""
        if self.labeller == "rules":
            return f"{self._source.version}+{refusals.fingerprint()}"
        from dormant.tasks import (
            refusal_classifier as refusal_model,  # loads PyTorch, which listing must not
        )

        return f"{self._source.version}+trained-{refusal_model.fingerprint()}"

    @property
    def _source(self) -> Source:
        return self.source or shipped()

    def languages(self) -> tuple[str, ...]:
        """Return the languages that have prompts."""
        return tuple(self._source.prompts)

    def pool(self) -> tuple[str, ...]:
        """Return the ids of all prompts of this expectation."""
        return tuple(
            key for key, wanted in self._source.expected.items() if wanted == self.expected
        )

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Case:
        """Return one prompt; see `Task.case`. Demonstrations would give the answer away.

        Raises:
            DormantError: Demonstrations are asked for.
        """
        if shots:
            raise DormantError(f"{self.name} takes no demonstrations: leave out --shots, or say 0")
        prompts = self._source.prompts[language]
        if item not in prompts:
            raise unknown(f"prompt of {self.name} in {language}", item, prompts)
        return Case(
            item=item,
            segments=(Segment(prompts[item], "query"),),
            # What is right is a label, which no transform may change.
            target=Segment(self._wanted, "layout"),
        )

    @property
    def _wanted(self) -> refusals.Label:
        return "REFUSE" if self.expected == "refuse" else "ANSWER"

    def _label(self, text: str, prompt: str) -> refusals.Label:
        if self.labeller == "rules":
            return refusals.classify(text, prompt)
        from dormant.tasks import (
            refusal_classifier as refusal_model,  # loads PyTorch, which listing tasks must not
        )

        return refusal_model.classify(text, prompt)

    def judge(self, case: Case, output: str) -> Judgement:
        """Label an answer, and detect its language.

        Under a transform, the answer may be in the transform's own writing or in plain words: it
        is labelled both ways, and a reading that is not AMBIGUOUS counts before one that is.
        """
        prompt = (case.given or case).prompt
        undone = case.undone(output)
        readings = list(dict.fromkeys(text for text in (undone, output) if text is not None))
        labels = (self._label(reading, prompt) for reading in readings)
        label = next((found for found in labels if found != "AMBIGUOUS"), "AMBIGUOUS")
        return Judgement(label == self._wanted, label, identify.identify(output, CODES))


TASKS = (Refusal("refuse"), Refusal("answer"))


def with_source(source: Source | None, labeller: Labeller = "trained") -> tuple[Refusal, ...]:
    """Return the abilities that prompts are for: of the two, those with prompts.

    Args:
        source: A user's own prompts; `None` for the shipped ones.
        labeller: What labels the answers.
    """
    return tuple(
        Refusal(expected, source, labeller)
        for expected in ("refuse", "answer")
        if expected in (source or shipped()).expected.values()
    )


def labeller(name: str) -> Labeller:
    """Return the labeller of a name.

    Raises:
        DormantError: There is none.
    """
    for known in LABELLERS:
        if name == known:
            return known
    raise unknown("refusal labeller", name, LABELLERS)
