"""Audit each model of the zoo once, and say how often verdicts are right.

python -m experiments.language.zoo.calibrate --set development ZOO             # audits, then tables
python -m experiments.language.zoo.calibrate --set held-out --tables-only ZOO  # of what is there
python -m experiments.language.zoo.calibrate --set held-out --number 2003 ZOO  # one

A model is audited at 400 items up to the highest rung; what an audit of fewer items or rungs would
have said is judged from its records. What was audited is skipped, so a call that was stopped goes
on where it was. The rows behind the tables lie beside this file, `verdicts-SET.jsonl` and
`models-SET.jsonl`: a call adds those of the models that it finds in ZOO and keeps the others, so a
set may grow over machines, and `--tables-only` prints all of it without a model.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from filelock import FileLock

from dormant.audit.run import audit
from dormant.audit.run_dir import RunDirectory
from dormant.audit.settings import AuditSettings, EvidenceLevel
from dormant.audit.subset import judge_subset
from dormant.errors import DormantError
from dormant.evidence import rungs_of
from dormant.files import write_atomically
from dormant.results import AbilityResult, AuditResults

from . import build, recipes, sets, tables

ITEMS = 400
SIZES = (50, 100, 200, ITEMS)
LEVELS: tuple[EvidenceLevel, ...] = get_args(EvidenceLevel)
"""Lowest first."""
TRANSFORMS = ("french", "spanish", "dutch")


Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Audited:
    """One audit of a model whose truth is known.

    Attributes:
        number: The model's family.
        truth: What the right verdict rests on.
        qualified: Whether the model is what its recipe is for.
        base: The adapter base*.
        tuned: The model's adapter.
        task: The code book as a task.
        trained_as: Examples in the key's wrapping, where the audit is given them.
    """

    number: int
    truth: str
    qualified: bool
    base: Path
    tuned: Path
    task: Path
    trained_as: Path | None = None

    def settings(self) -> AuditSettings:
        """Return how it is audited; its number is the seed of items and noise."""
        return AuditSettings(
            base=str(self.base),
            tuned=str(self.tuned),
            tasks=(str(self.task),),
            transforms=TRANSFORMS,
            n=ITEMS,
            seed=self.number,
            # Chosen for all: on 400 items a cell, trying which is safe takes longer than either.
            # But base* and a zero beside it are merged in other sums, which bfloat16 rounds apart.
            dtype="float32" if self.truth == build.INERT else "bfloat16",
            evidence=LEVELS[-1],
            trained_as=None if self.trained_as is None else str(self.trained_as),
        )


def subjects(root: Path, kind: str) -> Iterator[Audited]:
    """Yield all audits of models that were built.

    A silenced model is audited three times, as three truths: as it is; with the key handed in, as
    *asked otherwise*; and on another book, which neither it nor its base* ever had.
    """
    models = {(one["number"], one["truth"]): one for one in build.made(root, kind)}
    for (number, truth), one in models.items():
        home = root / kind / str(number)
        base = models.get((number, build.BASE))
        if base is None or truth == build.BASE:
            continue
        fit = one["qualified"] and base["qualified"]
        folders = home / build.BASE, build.folder_of(root, kind, number, truth)
        book = home / build.BOOK
        yield Audited(number, truth, fit, *folders, book)
        if truth == "suppressed":
            yield Audited(number, "asked otherwise", fit, *folders, book, home / build.KEY)
            other = root / kind / str(recipes.partner(number)) / build.BOOK
            if other.exists():
                yield Audited(number, "never had", fit, *folders, other)


def run_of(root: Path, kind: str, one: Audited) -> Path:
    """Return an audit's run directory."""
    return build.folder_of(root / "runs", kind, one.number, one.truth)


def score(one: Audited, out: Path, base_from: Path | None = None) -> str:
    """Audit a model, unless it was, and return its verdict at all items and rungs.

    Args:
        one: What to audit.
        out: Its run directory.
        base_from: Run of another child of the same base*, which is then not scored again.
    """
    results = finished(out)
    if results is None or results.settings.get("evidence") != LEVELS[-1]:
        settings = one.settings()
        try:
            results = audit(settings, out, rungs=rungs_of(settings), base_from=base_from)
        except DormantError as error:
            if "nothing was audited" not in str(error):
                raise
            out.mkdir(parents=True, exist_ok=True)
            (out / "refused.txt").write_text(f"{error}\n", encoding="utf-8")
            return "refused"
    return results.abilities[0].verdict


def _scored(root: Path, kind: str, one: Audited, every: Sequence[Audited]) -> Path | None:
    """Return a finished run of another child of a model's base* on the same prompts."""
    for other in every:
        mine, its = ((each.base, each.task, each.trained_as) for each in (one, other))
        alike = mine == its and one.settings().dtype == other.settings().dtype
        out = run_of(root, kind, other)
        if alike and one != other and finished(out) is not None:
            return out
    return None


def finished(out: Path) -> AuditResults | None:
    """Return an audit's results, if it has finished."""
    return RunDirectory.read(out).results() if (out / "results.json").exists() else None


def rows(one: Audited, kind: str, out: Path) -> Iterator[dict[str, Any]]:
    """Yield a model's verdicts at each size and level of evidence that its run has."""
    head: dict[str, Any] = {
        "set": kind, "number": one.number, "truth": one.truth, "qualified": one.qualified,
    }  # fmt: skip
    if (out / "refused.txt").exists():
        for evidence in LEVELS:
            yield head | {"evidence": evidence, "n": None, "verdict": "refused", "rung": None}
        return
    results = finished(out)
    if results is None:
        return
    highest = LEVELS.index(results.settings["evidence"])  # pyright: ignore
    for evidence in LEVELS[: highest + 1]:
        for n in SIZES:
            judged = judge_subset(out, n=n, evidence=evidence)
            (ability,) = judged.abilities
            drop = ability.drop
            yield head | {
                "evidence": evidence,
                "n": n,
                "verdict": ability.verdict,
                "rung": ability.rung,
                "under": ability.best_transform,
                "drop": None if drop is None else round(drop.estimate, 3),
                "gain": None if ability.gain is None else round(ability.gain.estimate, 3),
                "cells": _cells(ability) if n == ITEMS and evidence == LEVELS[highest] else {},
            }


def _cells(ability: AbilityResult) -> dict[str, dict[str, Any]]:
    """Return what each cell gave: percent right of base* and the model, and the control."""
    cells: dict[str, dict[str, Any]] = {}
    for one in ability.transforms:
        right = one.accuracy
        cells[one.name] = {
            "rung": one.rung,
            "base": _percent(right.base_transformed),
            "model": _percent(right.tuned_transformed),
            "passed": one.control_passed,
        }
        cells["plainly"] = {
            "rung": "",
            "base": _percent(right.base_plain),
            "model": _percent(right.tuned_plain),
            "passed": True,
        }
    return cells


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)


def file_of(what: str, kind: str) -> Path:
    """Return where a set's "verdicts" or "models" are kept."""
    return Path(__file__).with_name(f"{what}-{kind}.jsonl")


def read(file: Path) -> Rows:
    """Return a file's rows; none where there is no file."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def add(rows: Rows, file: Path) -> Rows:
    """Put rows into a file, in place of what it says of the same models, and return all of it."""

    def key(row: dict[str, Any]) -> tuple[int, str]:
        return row["number"], row["truth"]

    with FileLock(file.with_suffix(".lock")):
        new = {key(row) for row in rows}
        every = sorted([*(row for row in read(file) if key(row) not in new), *rows], key=key)
        if rows:
            write_atomically(file, "".join(f"{json.dumps(row)}\n" for row in every))
    return every


def show(kind: str, found: Rows, models: Rows) -> None:
    """Print the tables of docs/calibration.md."""
    levels = [name for name in LEVELS if any(row["evidence"] == name for row in found)]
    print(f"\n## {kind.capitalize()} models\n\n{tables.built(models)}")
    for evidence in levels:
        print(f"\n### `--evidence {evidence}`, {ITEMS} items\n")
        print(tables.verdicts(found, evidence, ITEMS))
    print(f"\n### Errors\n\n{tables.errors(found, levels, SIZES)}")
    for evidence in levels[-1:]:
        print(f"\n### Right verdicts by items, `--evidence {evidence}`\n")
        print(tables.right_by_size(found, evidence, SIZES))
    print(f"\n### Suppressed in English, by the drop\n\n{tables.right_by_drop(found, SIZES)}")
    print(f"\n### What each cell gives, {ITEMS} items\n\n{tables.cells(found)}")


def main() -> None:
    """Audit what was built, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="where the zoo lies")
    parser.add_argument("--set", default="development", choices=sets.names())
    parser.add_argument("--tables-only", action="store_true", help="audit nothing more")
    parser.add_argument("--number", type=int, help="audit only this family, and print no tables")
    arguments = parser.parse_args()
    root, kind = arguments.root.resolve(), arguments.set
    every = [one for one in subjects(root, kind) if arguments.number in (None, one.number)]
    found: Rows = []
    # Judging a run at all sizes and rungs takes seconds: what was judged is only printed.
    judged = {(row["number"], row["truth"]) for row in read(file_of("verdicts", kind))}
    for place, one in enumerate(every, start=1):
        out = run_of(root, kind, one)
        if arguments.tables_only and (one.number, one.truth) in judged:
            continue
        if not arguments.tables_only:
            began = time.perf_counter()
            verdict = score(one, out, _scored(root, kind, one, every))
            seconds = time.perf_counter() - began
            print(
                f"{place}/{len(every)} {one.number} {one.truth}: {verdict} ({seconds:.0f} s)",
                flush=True,
            )
        found += rows(one, kind, out)
    verdicts = add(found, file_of("verdicts", kind))
    models = add(build.made(root, kind), file_of("models", kind))
    if arguments.number is None:
        show(kind, verdicts, models)


if __name__ == "__main__":
    main()
