"""How often verdicts are which, on simulated audits of known truth.

Nothing is relearnt in them, so what passes the test of *forgotten* is called *lost*.

``python tests/verdict_simulator.py TABLE [DRAWS]`` prints a table of docs/statistics.md:
``verdicts``, ``border``, ``rungs`` or ``looks``.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, TypeVar

import numpy as np

from dormant.results import AbilityResult, Rung
from dormant.statistics import Looks, PlainCells, TransformCells, intervals, judge_ability
from dormant.statistics.choosing import cross_fit, lower_of, widened
from dormant.statistics.contrasts import Quad
from dormant.statistics.evidence import ALPHA
from paired_simulator import outcomes

VERDICTS = ("retained", "suppressed", "lost", "inconclusive")


@dataclass(frozen=True)
class Truth:
    """True accuracies of an ability: plain first, then under each transform or edit."""

    what: str
    base: tuple[float, ...]
    tuned: tuple[float, ...]
    wrong: tuple[str, ...] = ()
    """Verdicts that would be false."""
    rungs: tuple[Rung, ...] = ()
    """Of each transform or edit; by default all are of the prompt."""


TRUTHS = (
    Truth("no drop", (0.9, 0.8, 0.85, 0.8), (0.9, 0.8, 0.85, 0.8), ("suppressed", "lost")),
    Truth(
        "no drop, middling", (0.5, 0.4, 0.5, 0.45), (0.5, 0.4, 0.5, 0.45),
        ("suppressed", "lost"),
    ),
    Truth(
        "no drop, better under s", (0.8, 0.8, 0.8, 0.8), (0.8, 0.9, 0.9, 0.9),
        ("suppressed", "lost"),
    ),
    Truth(
        "drop just below the margin, none under s", (0.9, 0.8, 0.85, 0.8),
        (0.851, 0.8, 0.85, 0.8), ("lost",),
    ),
    Truth(
        "the same drop everywhere", (0.9, 0.9, 0.9, 0.9), (0.851, 0.851, 0.851, 0.851),
        ("suppressed", "lost"),
    ),
    Truth(
        "the same, base hardly able", (0.05, 0.05, 0.05, 0.05), (0.001, 0.001, 0.001, 0.001),
        ("suppressed", "lost"),
    ),
    Truth("lost", (0.9, 0.8, 0.85, 0.8), (0.1, 0.1, 0.1, 0.1), ("retained", "suppressed")),
    Truth("lost", (0.9, 0.8, 0.85, 0.8), (0.02, 0.02, 0.02, 0.02), ("retained", "suppressed")),
    Truth(
        "lost wholly", (0.9, 0.8, 0.85, 0.8), (0.0001,) * 4, ("retained", "suppressed")
    ),
    Truth("lost by 20 points", (0.9, 0.8, 0.85, 0.8), (0.7,) * 4, ("retained", "suppressed")),
    Truth("one s recovers half", (0.9, 0.8, 0.8, 0.8), (0.2, 0.5, 0.2, 0.2), ("lost",)),
    Truth("all recover", (0.9, 0.8, 0.8, 0.8), (0.2, 0.7, 0.7, 0.7), ("lost",)),
    Truth("20 points, all recover", (0.9, 0.9, 0.9, 0.9), (0.7, 0.9, 0.9, 0.9), ("lost",)),
    Truth("20 points, one recovers", (0.9, 0.9, 0.9, 0.9), (0.7, 0.9, 0.7, 0.7), ("lost",)),
    Truth(
        "a smaller drop, all recover", (0.9, 0.8, 0.8, 0.8), (0.6, 0.75, 0.75, 0.75),
        ("lost",),
    ),
)  # fmt: skip
"""What verdicts are tried on in docs/statistics.md."""

BORDER = (
    Truth("a quarter back under one s", (0.9, 0.9), (0.1, 0.3), ("lost",)),
    Truth("a quarter back under three", (0.9,) * 4, (0.1, 0.3, 0.3, 0.3), ("lost",)),
    Truth("a quarter of what s leaves", (0.9, 0.5), (0.1, 0.2), ("lost",)),
    Truth("a quarter of 40 points", (0.6, 0.6), (0.2, 0.3), ("lost",)),
    Truth("a quarter of 20 points", (0.9, 0.9), (0.7, 0.75), ("lost",)),
    Truth(
        "a quarter back under noise", (0.9,) * 3, (0.1, 0.1, 0.3), ("lost",),
        ("prompt", "noise"),
    ),
)  # fmt: skip
"""Abilities of which exactly a quarter came back: *lost* is false from here on."""


def abilities(
    truth: Truth, n: int, draws: int, correlation: float = 0.7, seed: int = 11
) -> Iterator[tuple[PlainCells, list[TransformCells]]]:
    """Draw outcomes of an ability."""
    rng = np.random.default_rng([seed, n])
    items = [f"i{place}" for place in range(n)]
    k = len(truth.base)
    rungs = truth.rungs or ("prompt",) * (k - 1)
    for _ in range(draws):
        cells = outcomes(rng, n, correlation, [*truth.base, *truth.tuned])
        yield (
            PlainCells(items=items, base=cells[0], tuned=cells[k]),
            [
                TransformCells(
                    name=f"s{place}", signature="s", rung=rung, items=items,
                    base=cells[place], tuned=cells[k + place],
                )
                for place, rung in enumerate(rungs, start=1)
            ],
        )  # fmt: skip


def judged(
    truth: Truth, n: int, draws: int, correlation: float = 0.7, **more: Any
) -> list[AbilityResult]:
    """Judge simulated abilities, each with halves of its own."""
    return [
        judge_ability("simulated", plain, transforms, seed=draw, **more)
        for draw, (plain, transforms) in enumerate(abilities(truth, n, draws, correlation))
    ]


def shares(results: Sequence[AbilityResult]) -> dict[str, float]:
    """Share of each verdict."""
    count = Counter(result.verdict for result in results)
    return {verdict: count[verdict] / len(results) for verdict in VERDICTS}


RUNGS_TRIED: tuple[Rung, ...] = ("prompt",) * 3 + ("noise",) * 2
RUNG_TRUTHS = (
    Truth("nothing back", (0.9,) * 6, (0.2,) * 6, ("suppressed",), RUNGS_TRIED),
    Truth("nothing back, base falls", (0.9, *[0.6] * 5), (0.2,) * 6, ("suppressed",), RUNGS_TRIED),
    Truth("15 under a prompt", (0.9,) * 6, (0.2, 0.35, *[0.2] * 4), (), RUNGS_TRIED),
    Truth("15 under noise", (0.9,) * 6, (0.2, *[0.2] * 3, 0.35, 0.2), (), RUNGS_TRIED),
    Truth("15 under each of both", (0.9,) * 6, (0.2, 0.35, 0.2, 0.2, 0.35, 0.2), (), RUNGS_TRIED),
)


def _back(held_out: Quad, share: float) -> bool:
    """Whether something is said to be back, with a share of the error to spend."""
    nominal = widened(1 - share * ALPHA)
    return lower_of(held_out.gain(nominal), held_out.recovery(nominal)) > 0


def rung_rates(truth: Truth, n: int, draws: int) -> dict[str, float]:
    """How often something is said to be back, by how the error is split between two rungs.

    *Holm* tests the second rung at all of the error once the first is back: that names more rungs
    and finds no more abilities.
    """
    rates: Counter[str] = Counter()
    for draw, (plain, cells) in enumerate(abilities(truth, n, draws)):
        quads = [Quad.align(plain, one) for one in cells]
        rungs = [
            [quad for quad, one in zip(quads, cells, strict=True) if one.rung == rung]
            for rung in ("prompt", "noise")
        ]

        prompt, noise, every = (
            partial(_back, cross_fit(part, plain.items, draw, 0.95).quad)
            for part in (*rungs, quads)
        )
        rates["prompts alone"] += prompt(1)
        rates["half each"] += prompt(0.5) or noise(0.5)
        rates["four fifths to prompts"] += prompt(0.8) or noise(0.2)
        rates["one choice over all"] += every(1)
        rates["all of it to each"] += prompt(1) or noise(1)
    return {rule: count / draws for rule, count in rates.items()}


LOOK_TRUTHS = (
    TRUTHS[0],
    Truth("no drop, answers alike", (0.9, 0.8), (0.9, 0.8), ("suppressed", "lost")),
    Truth("drop of the margin", (0.9,) * 4, (0.85,) * 4, ("retained", "suppressed", "lost")),
    Truth("70 points, back", (0.9,) * 4, (0.2, 0.9, 0.2, 0.2), ("retained", "lost")),
    Truth("30 points, back", (0.9,) * 4, (0.6, 0.9, 0.6, 0.6), ("retained", "lost")),
    Truth("20 points, back", (0.9,) * 4, (0.7, 0.9, 0.7, 0.7), ("retained", "lost")),
    Truth("70 points, gone", (0.9,) * 4, (0.2,) * 4, ("retained", "suppressed")),
    Truth("30 points, gone", (0.9,) * 4, (0.6,) * 4, ("retained", "suppressed")),
    Truth("70, a quarter back", (0.9,) * 4, (0.2, 0.375, 0.375, 0.375), ("lost",)),
)
"""What stopping early is tried on."""


def until_decided(
    truth: Truth, looks: Looks, draws: int, correlation: float = 0.7
) -> list[tuple[AbilityResult, int]]:
    """Audit until decided: the verdict, and the items that it took."""
    found: list[tuple[AbilityResult, int]] = []
    for plain, cells in abilities(truth, looks.sizes[-1], draws, correlation):
        for size in looks.sizes:
            result = judge_ability(
                "simulated", first(plain, size), [first(one, size) for one in cells], looks=looks
            )
            if result.verdict != "inconclusive":
                break
        found.append((result, size))
    return found


Given = TypeVar("Given", PlainCells, TransformCells)


def first(cells: Given, n: int) -> Given:
    """The first n items."""
    return replace(
        cells,
        items=cells.items[:n],
        tuned=np.asarray(cells.tuned)[:n],
        base=np.asarray(cells.base)[:n],
    )


def print_verdicts(truths: Sequence[Truth], sizes: Sequence[int], draws: int) -> None:
    """Print how often each verdict comes; half of the draws from 400 items on."""
    print(f"| truth | base | tuned | n | {' | '.join(VERDICTS)} |\n|{'---|' * 8}")
    for truth, n in itertools.product(truths, sizes):
        rates = shares(judged(truth, n, draws if n < 400 else draws // 2))
        shown = " | ".join(f"{100 * rate:.1f}" for rate in rates.values())
        base, tuned = (" ".join(map(str, cells)) for cells in (truth.base, truth.tuned))
        print(f"| {truth.what} | {base} | {tuned} | {n} | {shown} |", flush=True)


def print_rungs(draws: int) -> None:
    """Print how often something is said to be back."""
    for place, truth in enumerate(RUNG_TRUTHS):
        rates = rung_rates(truth, 120, draws)
        if not place:
            print(f"| truth | {' | '.join(rates)} |\n|{'---|' * (1 + len(rates))}")
        shown = " | ".join(f"{100 * rate:.1f}" for rate in rates.values())
        print(f"| {truth.what} | {shown} |", flush=True)


def print_looks(draws: int) -> None:
    """Print verdicts of audits that stop when decided, and the items that they took."""
    looks = Looks()
    print(
        f"| truth | tuned | {' | '.join(VERDICTS)} | median items | decided by 120 | by 400 |\n"
        f"|{'---|' * 9}"
    )
    for truth in LOOK_TRUTHS:
        correlation = 0.95 if "alike" in truth.what else 0.7
        found = until_decided(truth, looks, draws, correlation)
        shown = " | ".join(f"{100 * rate:.1f}" for rate in shares([r for r, _ in found]).values())
        items = np.array([n if r.verdict != "inconclusive" else np.inf for r, n in found])
        by = " | ".join(f"{100 * (items <= n).mean():.0f}" for n in (120, 400))
        median = f"{np.median(items):.0f}".replace("inf", "over 800")
        tuned = " ".join(map(str, truth.tuned))
        print(f"| {truth.what} | {tuned} | {shown} | {median} | {by} |", flush=True)


def remember() -> None:
    """Keep every interval that was made: audits of few items bring the same counts again."""
    make = intervals.multinomial_score_interval

    @cache
    def kept(*table: tuple[float, ...]) -> Any:
        values, counts, support, (level,) = table
        return make(values, counts, (support[0], support[1]), level)

    def recalled(values: Any, counts: Any, support: Any, level: float) -> Any:
        return kept(tuple(values.tolist()), tuple(counts.tolist()), tuple(support), (level,))

    intervals.multinomial_score_interval = recalled


def main(table: str, draws: int) -> None:
    """Print one table."""
    remember()
    match table:
        case "verdicts":
            print_verdicts(TRUTHS, (100, 120, 400), draws)
        case "border":
            print_verdicts(BORDER, (120, 200, 400), draws)
        case "rungs":
            print_rungs(draws)
        case "looks":
            print_looks(draws)
        case _:
            raise SystemExit(f"there is no table {table!r}: verdicts, border, rungs, looks")


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else "verdicts", int(sys.argv[2]) if sys.argv[2:] else 400)
