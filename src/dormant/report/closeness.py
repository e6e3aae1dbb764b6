"""Closeness as pictures and words: the change of accuracy against it, one panel an ability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dormant.report import formatting
from dormant.report.axes import Tick, round_numbers
from dormant.results import Estimate
from dormant.results.closeness import AbilityCloseness, ClosenessResult

WIDTH, HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 42


@dataclass(frozen=True)
class Point:
    """A bin of prompts, in units of the picture.

    Attributes:
        x: Its mean closeness.
        y: The change of accuracy on its prompts.
        low: The lower end of the interval of that, which lies further down.
        high: The upper end.
        title: The numbers, for those who point at it or hear the page.
    """

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True)
class Panel:
    """One ability by one measure.

    Attributes:
        task: The ability's name.
        points: Its bins, the farthest first.
        across: Ticks of closeness.
        up: Ticks of the change.
        zero: Where nothing has changed.
        said: The correlations in words.
        wall: Where the field begins on the left…
        end: …and where it ends.
    """

    task: str
    points: list[Point]
    across: list[Tick]
    up: list[Tick]
    zero: float
    said: str
    wall: int = _LEFT
    end: int = WIDTH - _RIGHT


def panels(result: ClosenessResult) -> list[Panel]:
    """Lay out one measure's pictures, all on the same axes."""
    every = [one for ability in result.abilities for one in ability.bins]
    if not every:
        return []
    least, most = min(one.mean for one in every), max(one.mean for one in every)
    room = max(0.01, 0.06 * (most - least))
    least, most = least - room, most + room
    bottom = min(0.0, *(one.change.low for one in every))
    top = max(0.0, *(one.change.high for one in every))

    def x(close: float) -> float:
        return _LEFT + (close - least) / (most - least) * (WIDTH - _LEFT - _RIGHT)

    def y(change: float) -> float:
        share = (change - bottom) / (top - bottom or 1.0)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    return [
        Panel(
            task=ability.task,
            points=[
                Point(
                    x=x(one.mean),
                    y=y(one.change.estimate),
                    low=y(one.change.low),
                    high=y(one.change.high),
                    title=(
                        f"{one.prompts} prompts, closeness {formatting.nats(one.mean)}: "
                        f"{formatting.points(one.change.estimate)} points "
                        f"{formatting.points_interval(one.change)}"
                    ),
                )
                for one in ability.bins
            ],
            across=[Tick(x(at), formatting.nats(at)) for at in round_numbers(least, most)],
            up=[Tick(y(at), formatting.points(at)) for at in round_numbers(bottom, top)],
            zero=y(0.0),
            said=sentence(ability),
        )
        for ability in result.abilities
    ]


def sentence(ability: AbilityCloseness) -> str:
    """Say what the two correlations are, and what they mean."""
    said = [
        f"{name} {correlation(one)}"
        for name, one in (
            ("over all prompts", ability.across),
            ("between prompts of one transform", ability.within),
        )
        if one is not None
    ]
    if not said:
        return "no correlation: closeness or outcomes are the same everywhere, or items too few"
    return f"rank correlation {', '.join(said)}: {_meaning(ability.across)}"


def _meaning(across: Estimate | None) -> str:
    if across is None or across.low <= 0 <= across.high:
        return "closeness doesn\N{RIGHT SINGLE QUOTATION MARK}t tell what was lost"
    return "closer prompts lost more" if across.high < 0 else "closer prompts lost less"


def correlation(estimate: Estimate) -> str:
    """A correlation with its interval: "−0.42 [−0.51, −0.32]"."""
    return f"{formatting.nats(estimate.estimate)} {formatting.nats_interval(estimate)}"


def title(result: ClosenessResult) -> str:
    """Say what was measured, in words."""
    name = result.model if result.measure == "density" else "fine-tuned"
    return f"log p({name}) \N{MINUS SIGN} log p(base), {result.unit} of prompt"


def lines(results: Sequence[ClosenessResult]) -> list[tuple[str, str]]:
    """Return a line an ability and measure: its name, and what closeness says of it."""
    named = len(results) > 1
    return [
        (f"{ability.task} ({result.measure})" if named else ability.task, sentence(ability))
        for result in results
        for ability in result.abilities
    ]
