"""The front of a recovery as a picture: what of the skill is left, against what came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dormant.report.axes import Tick, round_numbers
from dormant.results.recovery import CandidateResult, Choosing, RecoveryResults

WIDTH, HEIGHT = 660, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 24, 18, 50


@dataclass(frozen=True)
class Point:
    """A model in the picture, in its units.

    Attributes:
        x: The skill.
        y: What came back.
        left: Ends of the skill's interval…
        right: …
        low: …and of what came back, which lies lower where less did.
        high: …
        number: Of its row in the table; empty for base and fine-tuned model.
        name: What it is, for those who hear the page.
        kind: "base", "tuned", "chosen", "front" or "other".
    """

    x: float
    y: float
    left: float
    right: float
    low: float
    high: float
    number: str
    name: str
    kind: str


@dataclass(frozen=True)
class Front:
    """The picture.

    Attributes:
        points: All models, the one that was taken last, on top of the others.
        line: The points of the front, as SVG has them.
        across: Ticks of the skill.
        up: Ticks of what came back.
        floor: Where the lower axis is.
        wall: Where the left axis is.
        margin: Where the skill's margin is.
    """

    points: list[Point]
    line: str
    across: list[Tick]
    up: list[Tick]
    floor: float
    wall: float
    margin: float


def front_of(results: RecoveryResults) -> Front | None:
    """Lay the picture out; `None` where there are no candidates."""
    choosing, candidates = results.choosing, results.candidates
    if choosing is None or not candidates:
        return None
    scale = _Scale.of(choosing, candidates)
    points = [
        _candidate(one, number, choosing, scale, results.chosen)
        for number, one in enumerate(candidates, start=1)
    ]
    line = sorted((p.x, p.y) for p, one in zip(points, candidates, strict=True) if one.on_front)
    known = [_alone("tuned", "fine-tuned", choosing.tuned_skill, 0.0, scale)]
    # Where there is no base, gains are drawn, and nothing says where the base would be.
    if choosing.base_skill is not None:
        known.append(_alone("base", "base", choosing.base_skill, 1.0, scale))
    return Front(
        points=[*known, *sorted(points, key=lambda point: point.kind == "chosen")],
        line=" ".join(f"{x:.1f},{y:.1f}" for x, y in line),
        across=[Tick(scale.x(at), _percent(at)) for at in round_numbers(scale.least, scale.most)],
        up=[Tick(scale.y(at), _percent(at)) for at in round_numbers(scale.bottom, scale.top)],
        floor=HEIGHT - _BOTTOM,
        wall=_LEFT,
        margin=scale.x(choosing.tuned_skill - choosing.margin),
    )


@dataclass(frozen=True)
class _Scale:
    least: float
    most: float
    bottom: float
    top: float

    @classmethod
    def of(cls, choosing: Choosing, candidates: Sequence[CandidateResult]) -> _Scale:
        skills = [one.skill for one in candidates] + [choosing.tuned_skill]
        if choosing.base_skill is not None:
            skills.append(choosing.base_skill)
        backs = [value for one in candidates for value in _back(one)]
        room = max(0.02, 0.08 * (max(skills) - min(skills)))
        return cls(
            min(skills) - room, max(skills) + room, min(0.0, *backs) - 0.08, max(1.0, *backs) + 0.08
        )

    def x(self, skill: float) -> float:
        share = (skill - self.least) / (self.most - self.least)
        return _LEFT + min(max(share, 0.0), 1.0) * (WIDTH - _LEFT - _RIGHT)

    def y(self, back: float) -> float:
        share = (back - self.bottom) / (self.top - self.bottom)
        return HEIGHT - _BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - _TOP - _BOTTOM)


def _candidate(
    one: CandidateResult, number: int, choosing: Choosing, scale: _Scale, chosen: str | None
) -> Point:
    back, low, high = _back(one)
    kind = "chosen" if one.key == chosen else "front" if one.on_front else "other"
    return Point(
        x=scale.x(one.skill),
        y=scale.y(back),
        left=scale.x(choosing.tuned_skill - one.skill_loss.high),
        right=scale.x(choosing.tuned_skill - one.skill_loss.low),
        low=scale.y(low),
        high=scale.y(high),
        number=str(number),
        name=f"candidate {number}, {one.treatment}",
        kind=kind,
    )


def _alone(kind: str, name: str, skill: float, back: float, scale: _Scale) -> Point:
    x, y = scale.x(skill), scale.y(back)
    return Point(x, y, x, x, y, y, "", name, kind)


def _back(one: CandidateResult) -> tuple[float, float, float]:
    back = one.returned or one.gain
    return back.estimate, back.low, back.high


def _percent(value: float) -> str:
    return f"{100 * value:.0f}".replace("-", "\N{MINUS SIGN}")
