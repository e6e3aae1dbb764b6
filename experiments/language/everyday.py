"""What a model, or a base and its tuned model, make of every ability of `everyday`: two tables.

python experiments/language/everyday.py BASE [TUNED] --out runs/everyday

BASE alone says which abilities it can be audited on: one that it fails can't be lost. Each style
(raw; the chat template, where there is one) is a run of its own, and can be resumed. Needs
`pip install 'dormant[everyday]'`; without it, name the other abilities with `--task`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import dormant as dm
from dormant import tasks
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.errors import DormantError
from dormant.results import PLAIN, AbilityResult, Estimate

Side = Literal["base", "tuned"]
STYLES: tuple[Literal["raw", "chat"], ...] = ("raw", "chat")
LANGUAGES = ["french"]
"""Without any, an audit takes all that a task has, which is eight times as long."""
SHOWN = 4
"""Labels shown of each cell, the most frequent first."""


def main() -> None:
    options = arguments()
    names = options.task or [task.name for task in tasks.get(["everyday"])]
    for style in options.prompts or STYLES:
        out = options.out / style
        try:
            dm.audit(
                options.base,
                options.tuned,
                tasks=names,
                transforms=options.language or LANGUAGES,
                n=options.n,
                prompts=style,
                out=out,
                keep_generations=True,
            )
        except DormantError as error:
            # A base model has no chat template, say: the other table is still wanted.
            print(f"\n{style}: not measured: {error}")
            continue
        print(f"\n## {style}\n")
        print("\n".join(table(RunDirectory.read(out))))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("base")
    parser.add_argument("tuned", nargs="?")
    parser.add_argument("--out", type=Path, default=Path("runs/everyday"))
    parser.add_argument("-n", type=int, default=100, help="items an ability")
    parser.add_argument("--task", action="append", help="an ability; all unless given")
    parser.add_argument(
        "--language", action="append", help="native text besides English; French unless given"
    )
    parser.add_argument("--prompts", action="append", choices=STYLES, help="both unless given")
    return parser.parse_args()


def table(run: RunDirectory) -> Iterator[str]:
    """Yield a row an ability, model and cell: percent right, with its interval, and the labels."""
    results = run.results()
    models: dict[Side, str | None] = {"base": results.base, "tuned": results.tuned}
    yield "| ability | model | cell | right, % (95 %) | labels |"
    yield "|---|---|---|---|---|"
    for ability in results.abilities:
        for side, model in models.items():
            for cell, estimate in cells(ability, side):
                counted = labels(run, CellKey(side, ability.task, cell)).most_common(SHOWN)
                said = ", ".join(f"{label} {count}" for label, count in counted)
                yield f"| {ability.task} | {model} | {cell} | {percent(estimate)} | {said} |"


def cells(ability: AbilityResult, side: Side) -> Iterator[tuple[str, Estimate]]:
    """Yield the cells of one model that were measured, by transform."""
    plain = getattr(ability.accuracy_intervals, f"{side}_plain")
    if plain is not None:
        yield PLAIN, plain
    for transform in ability.transforms:
        own = getattr(transform.accuracy_intervals, f"{side}_transformed")
        if own is not None:
            yield transform.name, own


def labels(run: RunDirectory, cell: CellKey) -> Counter[str]:
    """Count what a task called the answers of one cell."""
    return Counter(outcome.label or "–" for outcome in run.outcomes(cell))


def percent(estimate: Estimate) -> str:
    return f"{100 * estimate.estimate:.0f} ({100 * estimate.low:.0f}–{100 * estimate.high:.0f})"


if __name__ == "__main__":
    main()
