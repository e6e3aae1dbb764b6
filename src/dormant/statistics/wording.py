"""Numbers as they stand in a verdict's reason."""

from __future__ import annotations

from dormant.results import Estimate


def number(fraction: float) -> str:
    """Write a fraction in points: "4.9 points"."""
    rounded = f"{100 * fraction:.0f}" if abs(fraction) >= 0.1 else f"{100 * fraction:.1f}"
    rounded = rounded.removesuffix(".0")
    text = "0" if rounded == "-0" else rounded.replace("-", "\N{MINUS SIGN}")
    return f"{text} points"


def negative(estimate: Estimate) -> Estimate:
    """Return the estimate of the contrast turned round."""
    return Estimate(estimate=-estimate.estimate, low=-estimate.high, high=-estimate.low)


def points(estimate: Estimate) -> str:
    """Write a difference for a reason: "34 points (25 to 43)"."""
    low, high = (number(bound).removesuffix(" points") for bound in (estimate.low, estimate.high))
    return f"{number(estimate.estimate)} ({low} to {high})"


def between(estimate: Estimate) -> str:
    """Write what a difference may be: "between 2 and 7 points"."""
    low, high = (number(bound).removesuffix(" points") for bound in (estimate.low, estimate.high))
    return f"between {low} and {high} points"


def percent(estimate: Estimate | None) -> str:
    """Write an accuracy for a reason: "83%"."""
    return "unknown" if estimate is None else f"{100 * estimate.estimate:.0f}%"
