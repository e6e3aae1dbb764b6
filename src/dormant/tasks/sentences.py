"""A thousand short sentences, the same in every language: some written by hand, the rest generated.

A generated sentence says who does what, and when. Which parts go together is drawn by a hash of
the sentence's number, so it hangs neither on a language nor on a version of Python; no two
sentences begin with the same three words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from dormant.tasks import data, icl_vs_if
from dormant.tasks.drawing import draws

FOLDER = data.SHIPPED / "sentences"
COUNT = 1000
"""How many sentences there are, written and generated."""

_KINDS = ("people", "relatives", "names", "groups", "time_first")
_SHARES = (32, 16, 18, 18, 16)
"""Of a hundred generated sentences, how many begin with each kind of words.

"The" before people begins a third, so that the first word can't be guessed."""
_KEYS = {
    "language", "code", "version", "origin", "templates", "people", "relatives", "names", "groups",
    "actions", "plural_verbs", "adverbials", "times",
}  # fmt: skip


class _Sketch(NamedTuple):
    """A sentence before any language: keys of its parts.

    Attributes:
        subject: Who.
        action: What is done.
        time: When; a key of `times` where it stands first, of `adverbials` where it stands last.
        time_first: Which of these.
    """

    subject: str
    action: str
    time: str
    time_first: bool


@dataclass(frozen=True)
class _Parts:
    """One language's parts of sentences.

    Attributes:
        templates: The order of the parts, with the time last and first.
        subjects: Subjects by kind, then key.
        plural: Which subjects take the verb's plural.
        actions: Verb and object.
        plural_verbs: The verb after a plural.
        adverbials: Times and manners that stand last.
        times: Times that stand first.
    """

    templates: dict[bool, str]
    subjects: dict[str, dict[str, str]]
    plural: frozenset[str]
    actions: dict[str, tuple[str, str]]
    plural_verbs: dict[str, str]
    adverbials: dict[str, str]
    times: dict[str, str]

    def write(self, sketch: _Sketch) -> str:
        """Put a sketch into words."""
        kinds = self.subjects.values()
        subject = next(texts[sketch.subject] for texts in kinds if sketch.subject in texts)
        verb, thing = self.actions[sketch.action]
        if sketch.subject in self.plural:
            verb = self.plural_verbs[sketch.action]
        time = {True: self.times, False: self.adverbials}[sketch.time_first][sketch.time]
        named = {"time" if sketch.time_first else "adverbial": time}
        template = self.templates[sketch.time_first]
        return template.format(subject=subject, verb=verb, object=thing, **named)


def written(language: str) -> dict[str, str]:
    """Return the sentences written by hand, by id (those of `icl_vs_if`)."""
    return icl_vs_if.texts(language).sentences


@cache
def sentences(language: str) -> dict[str, str]:
    """Return all sentences of a language by id, the written ones first.

    Raises:
        DormantError: An unknown language, or a malformed file (named with its line).
    """
    parts = _parts(language, FOLDER)
    first = written(language)
    texts = map(parts.write, _sketches(COUNT - len(first)))
    return first | {f"s{number}": text for number, text in enumerate(texts, len(first) + 1)}


@cache
def _parts(language: str, folder: Path) -> _Parts:
    file = data.language_file(folder, language, _KEYS)
    groups = file.pairs("groups")
    fields = ("subject", "verb", "object")
    return _Parts(
        templates={
            False: file.template((*fields, "adverbial"), "templates", "time_last"),
            True: file.template((*fields, "time"), "templates", "time_first"),
        },
        subjects={
            **{kind: file.strings(kind) for kind in ("people", "relatives", "names")},
            "groups": {key: text for key, (text, _) in groups.items()},
        },
        plural=frozenset(key for key, (_, number) in groups.items() if number == "plural"),
        actions=file.pairs("actions"),
        plural_verbs=file.strings("plural_verbs"),
        adverbials=file.strings("adverbials"),
        times=file.strings("times"),
    )


def _sketches(count: int) -> Iterator[_Sketch]:
    """Yield the first `count` sketches.

    In some language a time first is followed by the subject, in some by the verb, and neither may
    make the same three words twice.
    """
    parts = _parts("english", FOLDER)
    taken: set[tuple[str, str]] = set()
    for draw in draws("dormant sentence"):
        if not count:
            break
        kind = _kind(draw.below(100))
        first = kind == "time_first"
        subject = draw.one_of([*parts.subjects["names" if first else kind]])
        action = draw.one_of([*parts.actions])
        time = draw.one_of([*(parts.times if first else parts.adverbials)])
        begins = {(time, subject), (time, action)} if first else {(subject, action)}
        if taken & begins:
            continue
        taken |= begins
        count -= 1
        yield _Sketch(subject, action, time, first)


def _kind(number: int) -> str:
    for kind, share in zip(_KINDS, _SHARES, strict=True):
        if number < share:
            return kind
        number -= share
    raise AssertionError("shares add up to 100")
