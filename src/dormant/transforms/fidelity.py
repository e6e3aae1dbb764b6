"""How much of a text survives s⁻¹ ∘ s: the quality gate of transforms.

For exact transforms the round trip is the text itself. For translations it is measured by chrF
(Popović 2015, as implemented in sacreBLEU): a score of 0 … 100 over shared character n-grams. A
round trip suffers from both directions, so it is a lower bound on what s alone preserves; and one
word that comes back as its synonym scores near 0, so it is meant for sentences and whole prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dormant.errors import DormantError
from dormant.prompts.conjugate import Conjugation, restored
from dormant.prompts.protect import Outcome
from dormant.prompts.segment import Segment, Span
from dormant.prompts.text_transform import TextTransform, TransformError
from dormant.translation import checks

MIN_CHRF = 40.0
"""Below about this, round trips of our sentences say something else than the original."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a text must survive to be used.

    Attributes:
        chrf: Least round-trip chrF, 0 … 100.
        kept: Least share of protected spans that are intact, 0 … 1.
    """

    chrf: float = MIN_CHRF
    kept: float = 1.0


@dataclass(frozen=True)
class RoundTrip:
    """A text there and back.

    Attributes:
        given: The text with its protected spans.
        forward: s of it, or why there is none.
        backward: s⁻¹ of that, or why there is none; `None` where there was nothing to undo.
    """

    given: Segment
    forward: Outcome
    backward: Outcome | None


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """What became of one text, or of an item in several texts.

    Attributes:
        text: The text; several are joined by line breaks, here and below.
        changed: s(text); `None` where it failed.
        restored: s⁻¹(s(text)); `None` where it failed.
        chrf: chrF of `restored` against `text`, 0 … 100; 0 where there is none.
        kept: Share of its protected spans that stand untouched in `changed`, 0 … 1.
        language: Code of the language that `changed` is all but certainly in; `None` where s is no
            translation, the text is too short to tell, or it could be one of several.
        error: Why there is no result, or what the gate held against it; `None` if it passed.
        at_fault: The text that failed, where one did; `None` otherwise.
    """

    text: str
    changed: str | None
    restored: str | None
    chrf: float
    kept: float
    language: str | None
    error: str | None
    at_fault: str | None = None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What became of many texts.

    Attributes:
        count: How many there were.
        passed: How many passed the gate.
        chrf: Mean round-trip chrF over all texts, failures counting as 0; 0 … 100.
        identical: Share of texts whose round trip is the text itself, 0 … 1.
        kept: Share of texts with all protected spans intact, 0 … 1.
        languages: How many translations are all but certainly in which language, by its code.
        reasons: How often each reason kept a text out.
    """

    count: int
    passed: int
    chrf: float
    identical: float
    kept: float
    languages: dict[str, int]
    reasons: dict[str, int]


def round_trips(s: Conjugation, texts: Sequence[Segment]) -> list[RoundTrip]:
    """Take texts there and back, all of them in one batch.

    Args:
        s: The transform, with what it has made of texts already.
        texts: The texts with their protected spans.
    """
    s.prepare(texts)
    forward = [_in_domain(s, text) for text in texts]
    going = {place: one for place, one in enumerate(forward) if isinstance(one, Segment)}
    backward = dict(zip(going, restored(s.transform, going.values()), strict=True))
    return [
        RoundTrip(text, one, backward.get(place))
        for place, (text, one) in enumerate(zip(texts, forward, strict=True))
    ]


def _in_domain(s: Conjugation, text: Segment) -> Outcome:
    image = s.image(text)
    if isinstance(image, Segment) and not s.transform.in_domain(text.text):
        return TransformError(s.transform.name, text.text, "outside its domain")
    return image


def measure(
    transform: TextTransform,
    texts: Sequence[str],
    protected: Sequence[Sequence[Span]] | None = None,
    gate: Gate | None = None,
) -> list[Fidelity]:
    """Take texts there and back, and judge each.

    Args:
        transform: The transform.
        texts: The texts.
        protected: Protected spans of every text; none if not given.
        gate: What is asked of a text; `Gate()` if not given.

    Raises:
        DormantError: sacrebleu or py3langid is not installed (needed for translations).
    """
    spans = [()] * len(texts) if protected is None else protected
    trips = round_trips(
        Conjugation(transform),
        [Segment(text, protected=tuple(some)) for text, some in zip(texts, spans, strict=True)],
    )
    return [judge(transform, [trip], gate) for trip in trips]


def judge(
    transform: TextTransform, trips: Sequence[RoundTrip], gate: Gate | None = None
) -> Fidelity:
    """Judge one item, in one text or several.

    Args:
        transform: The transform that was applied.
        trips: The item's texts, at least one.
        gate: What is asked of the item; `Gate()` if not given.

    Raises:
        DormantError: sacrebleu or py3langid is not installed (needed for translations).
    """
    gate = gate or Gate()
    text = "\n".join(trip.given.text for trip in trips)
    forward = [trip.forward for trip in trips if isinstance(trip.forward, Segment)]
    backward = [trip.backward for trip in trips if isinstance(trip.backward, Segment)]
    changed = "\n".join(one.text for one in forward) if len(forward) == len(trips) else None
    restored = "\n".join(one.text for one in backward) if len(backward) == len(trips) else None
    score = 0.0 if restored is None else chrf(restored, text)
    wanted = Counter(part for trip in trips for part in _kept_texts(trip.given))
    found = Counter(part for one in forward for part in _kept_texts(one))
    share = sum(min(n, found[one]) for one, n in wanted.items()) / max(1, wanted.total())
    if not wanted:
        share = 0.0 if changed is None else 1.0
    translated = changed is not None and transform.language is not None
    language = checks.detected(changed) if changed is not None and translated else None
    error, at_fault = _failure(trips)
    if error is None and changed is not None and translated:
        error = checks.wrong_language(changed, transform.source or "en", transform.language or "")
    if error is None and share < gate.kept:
        error = "a protected span was changed"
    if error is None and score < gate.chrf:
        error = f"round trip under chrF {gate.chrf:g}"
    return Fidelity(
        text=text,
        changed=changed,
        restored=restored,
        chrf=score,
        kept=share,
        language=language,
        error=error,
        at_fault=at_fault,
    )


def summarise(results: Sequence[Fidelity]) -> Summary:
    """Put the results of many texts together.

    Raises:
        DormantError: There are none.
    """
    if not results:
        raise DormantError("there is no text to measure fidelity on")
    count = len(results)
    return Summary(
        count=count,
        passed=sum(one.error is None for one in results),
        chrf=sum(one.chrf for one in results) / count,
        identical=sum(one.restored == one.text for one in results) / count,
        kept=sum(one.kept == 1 for one in results) / count,
        languages=dict(Counter(one.language for one in results if one.language).most_common()),
        reasons=dict(Counter(one.error for one in results if one.error).most_common()),
    )


def chrf(restored: str, text: str) -> float:
    """Return the chrF of a round trip, 0 … 100.

    Raises:
        DormantError: sacrebleu is not installed.
    """
    if restored == text:
        return 100.0
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise DormantError(
            "round trips are measured with sacrebleu: pip install 'dormant[translate]'"
        ) from error
    return float(CHRF().sentence_score(restored, [text]).score)


def _kept_texts(one: Segment) -> list[str]:
    return [one.text[start:stop] for start, stop in one.protected if stop > start]


def _failure(trips: Sequence[RoundTrip]) -> tuple[str | None, str | None]:
    """Return the first failure, the way there before the way back, and the text that failed."""
    for trip in trips:
        if isinstance(trip.forward, DormantError):
            return _reason(trip.forward), trip.given.text
    for trip in trips:
        if isinstance(trip.backward, DormantError):
            return f"back: {_reason(trip.backward)}", trip.given.text
    return None, None


def _reason(error: DormantError) -> str:
    return error.reason if isinstance(error, TransformError) else str(error)
