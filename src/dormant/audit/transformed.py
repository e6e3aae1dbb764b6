"""Cases under a transform: native text where the task has it, the transform's own otherwise."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

from dormant import transforms
from dormant.audit.lazy_cases import LazyCases, some
from dormant.audit.sample import ItemSample
from dormant.errors import DormantError
from dormant.prompts.case import Case
from dormant.prompts.conjugate import Conjugation
from dormant.prompts.protect import apply_protected
from dormant.prompts.segment import Role, Segment
from dormant.prompts.text_transform import TextTransform, shown
from dormant.tasks.demonstrations import same_for_all
from dormant.tasks.task import Task, items_in
from dormant.transforms import probes
from dormant.transforms.fidelity import Gate, RoundTrip, judge, round_trips
from dormant.transforms.probes import Probe
from dormant.translation import is_language
from dormant.translation.cache import default_path

NATIVE = "native"
_PROBE = "probe:"


@dataclass(frozen=True, kw_only=True)
class TransformedCases:
    """What a transform made of a task's items.

    Attributes:
        cases: The case of every item that came through, by item id, in the order asked for. Made
            when asked for, so that what an audit holds does not grow with its prompts' length.
        excluded: The reason, for every item that did not.
        texts: The text at fault, for those excluded items where it was one text.
        signature: What was really used, e.g. "french:native" or "spanish@apertium-3.8.3".
        shares: The share of the round trip that survives (chrF / 100), in [0, 1], for every item
            that came through a transform of text; empty for native text.
    """

    cases: Mapping[str, Case]
    signature: str
    excluded: dict[str, str] = field(default_factory=dict[str, str])
    texts: dict[str, str] = field(default_factory=dict[str, str])
    shares: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def fidelity(self) -> float | None:
        """The mean of `shares`; `None` for native text, and where no item came through."""
        return sum(self.shares.values()) / len(self.shares) if self.shares else None

    def only(self, items: Collection[str]) -> TransformedCases:
        """Return what it made of some of the items."""
        return TransformedCases(
            cases=LazyCases(
                [item for item in self.cases if item in items],
                lambda items: some(self.cases, items),
            ),
            signature=self.signature,
            excluded={item: why for item, why in self.excluded.items() if item in items},
            texts={item: text for item, text in self.texts.items() if item in items},
            shares={item: share for item, share in self.shares.items() if item in items},
        )


class Decided(NamedTuple):
    """What planning once decided about a task's items under a transform.

    Attributes:
        signature: As in `TransformedCases`; `excluded` and `texts` likewise.
        items: How many items came through.
        shares: One number for each of them, or one for all; empty for native text.
    """

    signature: str
    items: int
    excluded: dict[str, str]
    texts: dict[str, str]
    shares: float | list[float]

    @classmethod
    def of(cls, made: TransformedCases) -> Decided:
        """Return what was decided where cases were made."""
        shares = [*made.shares.values()]
        alike = len(set(shares)) == 1
        return cls(
            made.signature,
            len(made.cases),
            made.excluded,
            made.texts,
            # All are 1 under an exact transform.
            shares[0] if alike else shares,
        )

    def apply(self, later: TransformedCases) -> TransformedCases | None:
        """Return what came through of cases that were not judged; `None` where these are others."""
        items = [item for item in later.cases if item not in self.excluded]
        shares = self.shares if isinstance(self.shares, list) else [self.shares] * len(items)
        if later.signature != self.signature or len(items) != self.items:
            return None
        if shares and len(shares) != len(items):
            return None
        return TransformedCases(
            cases=LazyCases(items, lambda items: some(later.cases, items)),
            signature=self.signature,
            excluded=self.excluded,
            texts=self.texts,
            shares=dict(zip(items, shares, strict=False)),
        )


def plain_cases(task: Task, sample: ItemSample) -> TransformedCases:
    """Return the items as they are, in the task's first language."""
    return _native(task, sample, task.languages()[0])


def split_name(task: Task, name: str) -> tuple[str | None, str]:
    """Split a transform's name into the task's native language, if it leads, and the rest.

    ``french+leetspeak`` is ("french", "leetspeak") for a task with French text, and
    (None, "french+leetspeak") for one without; ``french@apertium`` never means native text.
    """
    head, _, rest = name.partition("+")
    return (head, rest) if head in task.languages() else (None, name)


def transformed_cases(
    task: Task,
    sample: ItemSample,
    name: str,
    gate: Gate | None = None,
    decided: Decided | None = None,
) -> TransformedCases:
    """Put a task's items under a transform.

    Args:
        task: The ability.
        sample: Which items, with which demonstrations.
        name: A transform, a probe, or several in a row, e.g. "french", "leetspeak",
            "spanish@apertium", "probe:labels", "french+leetspeak+probe:suffix".
        gate: What an item must survive; `Gate()` if not given.
        decided: What came of it before, with the same task, sample and gate; no text is then made
            before a case is asked for. It is not used if the transform has another signature now,
            nor for translations of which none are kept: made anew in other batches, they may be
            other texts.

    Raises:
        DormantError: The transform is unknown, or what it needs is not installed.
    """
    language, rest = split_name(task, name)
    language = language or task.languages()[0]
    made = _native(task, sample, language)
    steps = [*_steps(rest, language if is_language(language) else "english")] if rest else []
    translated = any(isinstance(step, TextTransform) and step.language for step in steps)
    if decided is not None and not (translated and default_path() is None):
        through = decided.apply(_unjudged(made, steps))
        if through is not None:
            return through
    for step in steps:
        if isinstance(step, Probe):
            made = apply_probe(made, step)
        else:
            made = apply_transform(made, step, gate)
    return made


def _unjudged(made: TransformedCases, steps: Sequence[Probe | TextTransform]) -> TransformedCases:
    """Put cases under transforms and probes, of which it is known what comes through."""
    for step in steps:
        if isinstance(step, Probe):
            made = apply_probe(made, step)
        else:
            cases = _conjugated(Conjugation(step), made.cases, made.cases)
            made = replace(made, cases=cases, signature=_after(made, step.signature))
    return made


def _steps(name: str, language: str) -> Iterator[Probe | TextTransform]:
    """Read a name into probes and transforms, neighbouring transforms as one composition."""
    run: list[str] = []
    for part in (*name.split("+"), _PROBE):
        if not part.strip().startswith(_PROBE):
            run.append(part)
            continue
        if run:
            transform = transforms.get("+".join(run), language)
            language = transform.language or language
            yield transform
        if part != _PROBE:
            yield probes.get(part.strip())
        run = []


def apply_transform(
    made: TransformedCases, transform: TextTransform, gate: Gate | None = None
) -> TransformedCases:
    """Apply a text transform to every segment and answer of every case.

    An item is excluded, and says why, if one of its texts lies outside the transform's domain or
    can't be rendered or undone, or if its texts taken together do not pass the gate. Every
    different text is transformed once, all of them together.
    """
    s = Conjugation(transform)
    trips = _round_trips(s, made.cases.values())
    through: list[str] = []
    excluded, texts = dict(made.excluded), dict(made.texts)
    shares: dict[str, float] = {}
    for item, case in made.cases.items():
        own = dict.fromkeys(_words(segment) for segment in case.parts if segment.role != "layout")
        fidelity = judge(transform, [trips[words] for words in own], gate)
        if fidelity.error is not None:
            excluded[item] = fidelity.error
            if fidelity.at_fault is not None:
                texts[item] = fidelity.at_fault
            continue
        shares[item] = fidelity.chrf / 100 * made.shares.get(item, 1.0)
        through.append(item)
    return TransformedCases(
        cases=_conjugated(s, made.cases, through),
        excluded=excluded,
        texts=texts,
        signature=_after(made, transform.signature),
        shares=shares,
    )


def apply_probe(made: TransformedCases, probe: Probe) -> TransformedCases:
    """Change the format of every case; answers stay, and s⁻¹ is the identity."""

    def change(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        return tuple(probe.apply(segments, _segment))

    def probed(case: Case) -> Case:
        if case.turns:
            raise DormantError(f"{probe.signature}: probes don't take chats of several turns")
        return replace(
            case,
            segments=change(case.segments),
            content_free=change(case.content_free),
            style=probe.style or case.style,
        )

    return replace(
        made,
        cases=LazyCases(made.cases, lambda items: [*map(probed, some(made.cases, items))]),
        signature=_after(made, probe.signature),
    )


def explain(made: TransformedCases) -> dict[str, str]:
    """Return why each excluded item is out, with the text at fault where there is one."""
    return {
        item: f"{reason}, in {shown(made.texts[item])}" if item in made.texts else reason
        for item, reason in made.excluded.items()
    }


def default_transforms(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Return what the paper used: every native language but the plain one, and two word games.

    A task without other languages may name further ones (`Examples.extra_transforms`).
    """
    native = {name: None for task in tasks for name in task.languages()[1:]}
    extra = {name: None for task in tasks for name in getattr(task, "extra_transforms", ())}
    return (*native, "leetspeak", "pig-latin", *extra)


def _native(task: Task, sample: ItemSample, language: str) -> TransformedCases:
    plain = language == task.languages()[0]
    known = frozenset(items_in(task, language))

    def make(items: Sequence[str]) -> list[Case]:
        with same_for_all(sample.fixed):
            return [
                task.case(item, language=language, shots=sample.shots, seed=sample.seed)
                for item in items
            ]

    return TransformedCases(
        excluded={item: f"no text in {language}" for item in sample.items if item not in known},
        cases=LazyCases([item for item in sample.items if item in known], make),
        signature="plain" if plain else f"{language}:{NATIVE}",
    )


def _conjugated(s: Conjugation, cases: Mapping[str, Case], items: Iterable[str]) -> LazyCases:
    """Return s(case) of some cases: prompt and answers under s, and the way back."""

    def make(items: Sequence[str]) -> list[Case]:
        given = some(cases, items)
        s.prepare(part for case in given for part in case.parts)
        return [_under(s, case) for case in given]

    return LazyCases(items, make)


def _under(s: Conjugation, case: Case) -> Case:
    segments, undo = s.conjugate(case.parts, case.undo)
    changed = case.of_parts(segments)
    return replace(
        changed,
        target_words=_scored_words(case, changed, s.transform),
        given=case.given or case,
        undo=undo,
    )


def _after(made: TransformedCases, signature: str) -> str:
    return signature if made.signature == "plain" else f"{made.signature}+{signature}"


def _segment(text: str, role: str) -> Segment:
    # A probe gives back the roles that it was given, and layout.
    return Segment(text, cast(Role, role))


def _words(segment: Segment) -> Segment:
    """Return what decides a segment's round trip: its text, whatever it is for."""
    return replace(segment, role="text")


def _round_trips(s: Conjugation, cases: Iterable[Case]) -> dict[Segment, RoundTrip]:
    """Take every different text there and back, all of them in one batch."""
    parts = (part for case in cases for part in case.parts if part.role != "layout")
    texts = list(dict.fromkeys(map(_words, parts)))
    return dict(zip(texts, round_trips(s, texts), strict=True))


def _scored_words(case: Case, changed: Case, transform: TextTransform) -> int | None:
    """Return how many words of s(target) say what the scored words of the target say.

    Morse code writes a word as several; without this the first letter alone would be scored.
    """
    count, target = case.target_words, case.target
    if count is None or not transform.exact:
        return count
    words = list(re.finditer(r"\S+", target.text))[:count]
    end = words[-1].end() if words else 0
    inside = [span for span in target.protected if span[1] <= end]
    try:
        scored = apply_protected(transform, target.text[:end], inside)
    except DormantError:
        return count
    return len(scored.split()) if changed.target.text.startswith(scored) else count
