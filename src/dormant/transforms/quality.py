"""How much of a text survives s⁻¹ ∘ s: the quality gate of transforms.

For exact transforms the round trip is the text itself. For translations it is measured by chrF
(Popović 2015, as implemented in sacreBLEU): a score of 0 … 100 over shared character n-grams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dormant.errors import DormantError
from dormant.transforms.kept import Kept, apply_all, invert_all
from dormant.transforms.text import Span, TextTransform, TransformError


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a text must survive to be used.

    Attributes:
        chrf: Least round-trip chrF, 0 … 100. Below about 40 the round trips of our sentences say
            something else than the original; docs/transforms.md has the distribution.
        kept: Least share of kept spans that are intact, 0 … 1.
    """

    chrf: float = 40.0
    kept: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """What became of one text.

    Attributes:
        text: The text.
        changed: s(text); `None` where it failed.
        restored: s⁻¹(s(text)); `None` where it failed.
        chrf: chrF of `restored` against `text`, 0 … 100; 0 where there is none.
        kept: Share of its kept spans that stand untouched in `changed`, 0 … 1.
        error: Why there is no result, or what the gate held against it; `None` if it passed.
    """

    text: str
    changed: str | None
    restored: str | None
    chrf: float
    kept: float
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What became of many texts.

    Attributes:
        count: How many there were.
        passed: How many passed the gate.
        chrf: Mean round-trip chrF over all texts, failures counting as 0; 0 … 100.
        identical: Share of texts whose round trip is the text itself, 0 … 1.
        kept: Share of texts with all kept spans intact, 0 … 1.
        reasons: How often each reason kept a text out.
    """

    count: int
    passed: int
    chrf: float
    identical: float
    kept: float
    reasons: dict[str, int]


def measure(
    transform: TextTransform,
    texts: Sequence[str],
    kept: Sequence[Sequence[Span]] | None = None,
    gate: Gate | None = None,
) -> list[Fidelity]:
    """Take texts there and back, and judge each.

    Args:
        transform: The transform.
        texts: The texts.
        kept: Kept spans of every text; none if not given.
        gate: What is asked of a text; `Gate()` if not given.

    Raises:
        DormantError: sacrebleu is not installed (needed for transforms that are not exact).
    """
    spans = [()] * len(texts) if kept is None else kept
    there = apply_all(transform, texts, spans)
    going = [(index, one) for index, one in enumerate(there) if isinstance(one, Kept)]
    back: dict[int, Kept | DormantError] = dict(
        zip(
            (index for index, _ in going),
            invert_all(transform, [one for _, one in going]),
            strict=True,
        )
    )
    return [
        _judge(text, span, there[index], back.get(index), gate or Gate())
        for index, (text, span) in enumerate(zip(texts, spans, strict=True))
    ]


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


def _judge(
    text: str,
    spans: Sequence[Span],
    there: Kept | DormantError,
    back: Kept | DormantError | None,
    gate: Gate,
) -> Fidelity:
    changed = there if isinstance(there, Kept) else None
    restored = back if isinstance(back, Kept) else None
    score = chrf(restored.text, text) if restored else 0.0
    wanted = Counter(text[start:stop] for start, stop in spans if stop > start)
    found = Counter(changed.text[start:stop] for start, stop in changed.spans) if changed else {}
    share = sum(min(n, found.get(one, 0)) for one, n in wanted.items()) / max(1, wanted.total())
    if not wanted:
        share = 1.0 if changed else 0.0
    error = None
    if isinstance(there, DormantError):
        error = _reason(there)
    elif isinstance(back, DormantError):
        error = f"back: {_reason(back)}"
    elif share < gate.kept:
        error = "a kept span was changed"
    elif score < gate.chrf:
        error = f"round trip under chrF {gate.chrf:g}"
    return Fidelity(
        text=text,
        changed=changed.text if changed else None,
        restored=restored.text if restored else None,
        chrf=score,
        kept=share,
        error=error,
    )


def _reason(error: DormantError) -> str:
    return error.reason if isinstance(error, TransformError) else str(error)
