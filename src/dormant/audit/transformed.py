"""Cases under a transform: native text where the task has it, the transform's own otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

from dormant import transforms
from dormant.audit.sample import ItemSample
from dormant.errors import DormantError
from dormant.prompts.case import Case
from dormant.prompts.protect import Protected, apply_kept, invert_around
from dormant.prompts.segment import Role, Segment
from dormant.prompts.text_transform import TextTransform, TransformError, shown
from dormant.tasks.task import Task
from dormant.transforms import probes
from dormant.transforms.fidelity import Gate, RoundTrip, judge, round_trips
from dormant.transforms.probes import Probe
from dormant.translation import is_language

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
    task: Task, sample: ItemSample, name: str, gate: Gate | None = None
) -> TransformedCases:
    """Put a task's items under a transform.

    Args:
        task: The ability.
        sample: Which items, with which demonstrations.
        name: A transform, a probe, or several in a row, e.g. "french", "leetspeak",
            "spanish@apertium", "probe:labels", "french+leetspeak+probe:suffix".
        gate: What an item must survive; `Gate()` if not given.

    Raises:
        DormantError: The transform is unknown, or what it needs is not installed.
    """
    language, rest = split_name(task, name)
    language = language or task.languages()[0]
    made = _native(task, sample, language)
    for step in _steps(rest, language if is_language(language) else "english") if rest else ():
        if isinstance(step, Probe):
            made = apply_probe(made, step)
        else:
            made = apply_transform(made, step, gate)
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
    trips = _trips(made.cases.values(), transform)
    through: list[str] = []
    excluded, texts = dict(made.excluded), dict(made.texts)
    shares: dict[str, float] = {}
    for item, case in made.cases.items():
        own = list(dict.fromkeys(_key(segment) for segment in _texts(case)))
        found = judge(transform, [trips[key] for key in own], gate)
        if found.error is not None:
            excluded[item] = found.error
            if found.at_fault is not None:
                texts[item] = found.at_fault
            continue
        shares[item] = found.chrf / 100 * made.shares.get(item, 1.0)
        through.append(item)
    there = {
        key: trip.forward for key, trip in trips.items() if isinstance(trip.forward, Protected)
    }
    return TransformedCases(
        cases=LazyCases(through, lambda item: _under(transform, made.cases[item], there)),
        excluded=excluded,
        texts=texts,
        signature=_after(made, transform.signature),
        shares=shares,
    )


def apply_probe(made: TransformedCases, probe: Probe) -> TransformedCases:
    """Change the format of every case; answers stay, and s⁻¹ is the identity."""

    def change(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        return tuple(probe.apply(segments, _segment))

    def probed(item: str) -> Case:
        case = made.cases[item]
        return replace(
            case,
            segments=change(case.segments),
            content_free=change(case.content_free),
            style=probe.style or case.style,
        )

    return replace(
        made, cases=LazyCases(made.cases, probed), signature=_after(made, probe.signature)
    )


def explain(made: TransformedCases) -> dict[str, str]:
    """Return why each excluded item is out, with the text at fault where there is one."""
    return {
        item: f"{reason}, in {shown(made.texts[item])}" if item in made.texts else reason
        for item, reason in made.excluded.items()
    }


def default_transforms(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Return what the paper used: every native language but the plain one, and two word games."""
    native = {name: None for task in tasks for name in task.languages()[1:]}
    return (*native, "leetspeak", "pig-latin")


def _native(task: Task, sample: ItemSample, language: str) -> TransformedCases:
    plain = language == task.languages()[0]
    return TransformedCases(
        cases=LazyCases(
            sample.items,
            lambda item: task.case(item, language=language, shots=sample.shots, seed=sample.seed),
        ),
        signature="plain" if plain else f"{language}:{NATIVE}",
    )


class LazyCases(Mapping[str, Case]):
    """Cases that are made when they are asked for, each time anew.

    Args:
        items: Their ids, in order.
        make: Makes the case of one of these.
    """

    def __init__(self, items: Iterable[str], make: Callable[[str], Case]) -> None:
        self._items = dict.fromkeys(items)
        self._make = make

    def __getitem__(self, item: str) -> Case:
        if item not in self._items:
            raise KeyError(item)
        return self._make(item)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._items


def _under(transform: TextTransform, case: Case, there: Mapping[Protected, Protected]) -> Case:
    """Return s(case), given s of each of its texts."""
    changed = case.map(lambda segment: _changed(segment, there))
    kept = {one.text[start:stop]: None for one in _texts(changed) for start, stop in one.protected}
    return replace(
        changed,
        target_words=_scored_words(case, changed, transform),
        given=case.given or case,
        undo=partial(_undo, before=case.undo, transform=transform, kept=tuple(kept)),
    )


def _after(made: TransformedCases, signature: str) -> str:
    return signature if made.signature == "plain" else f"{made.signature}+{signature}"


def _segment(text: str, role: str) -> Segment:
    # A probe gives back the roles that it was given, and layout.
    return Segment(text, cast(Role, role))


def _texts(case: Case) -> Iterator[Segment]:
    """Yield all that a transform changes: prompt and answers, layout left out."""
    distractor = (case.distractor,) if case.distractor else ()
    every = (*case.segments, case.target, *distractor, *case.others, *case.content_free)
    return (segment for segment in every if segment.role != "layout")


def _key(segment: Segment) -> Protected:
    return Protected(segment.text, segment.protected)


def _trips(cases: Iterable[Case], transform: TextTransform) -> dict[Protected, RoundTrip]:
    """Take every different text there and back, all of them in one batch."""
    keys = list(dict.fromkeys(_key(segment) for case in cases for segment in _texts(case)))
    found: dict[Protected, RoundTrip] = {}
    for key, trip in zip(keys, round_trips(transform, keys), strict=True):
        if isinstance(trip.forward, Protected) and not transform.in_domain(key.text):
            error = TransformError(transform.name, key.text, "outside its domain")
            trip = RoundTrip(key, error, None)
        found[key] = trip
    return found


def _changed(segment: Segment, there: Mapping[Protected, Protected]) -> Segment:
    changed = there[_key(segment)]
    return replace(segment, text=changed.text, protected=changed.spans)


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
        scored = apply_kept(transform, target.text[:end], inside)
    except DormantError:
        return count
    return len(scored.split()) if changed.target.text.startswith(scored) else count


def _undo(
    output: str,
    *,
    before: Callable[[str], str] | None,
    transform: TextTransform,
    kept: tuple[str, ...],
) -> str:
    inner = invert_around(transform, output, kept)
    return inner if before is None else before(inner)
