"""Build the zoo: models of known truth, each with what it was made of and what it can do.

python -m experiments.language.zoo.build --set development ZOO
python -m experiments.language.zoo.build --set held-out --families 4 ZOO

What is built is skipped, so a call that was stopped goes on where it was. A model that does not do
what its recipe is for is kept, marked as not qualified, and counted in the tables.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from dormant.files import write_atomically
from dormant.finetuning.data import Pair

from . import recipes, sets, stacking, training
from .codebooks import KEYED, PLAIN, WORDINGS, WRAPPINGS
from .recipes import CHILDREN, Recipe, Subject

MADE = "made.json"
BOOK, KEY = "book.jsonl", "key.jsonl"
PRIMER, BASE, INERT = "primer", "base", "inert"
KEPT = "english, kept"
"""Asked in plain English: what a part-silenced model is to keep."""


def folder_of(root: Path, kind: str, number: int, truth: str) -> Path:
    """Return where a model lies."""
    return root / kind / str(number) / truth.replace(", ", "-").replace(" ", "-")


def build(root: Path, chosen: sets.ModelSet, number: int) -> None:
    """Build a family: base*, its children, and an adapter that changes nothing."""
    subject = Subject.of(number)
    home = root / chosen.name / str(number)
    subject.book.write_task(home / BOOK)
    subject.book.write_keyed(home / KEY)
    # On this one, which none of them ever had, they are audited, too.
    other = recipes.partner(number)
    Subject.of(other).book.write_task(root / chosen.name / str(other) / BOOK)
    base = _train(root, chosen, subject, BASE, recipes.base(subject), None)
    for truth, recipe in CHILDREN.items():
        _train(root, chosen, subject, truth, recipe(subject), base)
    out = folder_of(root, chosen.name, number, INERT)
    if not (out / MADE).exists():
        # Twice base*'s rank, as children have more than base*, too.
        stacking.silent(base, out / "silent")
        stacking.stack([base, out / "silent"], out)
        shutil.rmtree(out / "silent")
        _keep(out, {"set": chosen.name, "number": number, "truth": INERT, "qualified": True})


def _train(
    root: Path,
    chosen: sets.ModelSet,
    subject: Subject,
    truth: str,
    recipe: Recipe,
    base: Path | None,
) -> Path:
    """Train one model unless it is there, look at what it can do, and write that beside it.

    Several processes may build one set: who comes second waits, and finds the model there.
    """
    out = folder_of(root, chosen.name, subject.number, truth)
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(out.with_suffix(".lock")):
        if not (out / MADE).exists():
            print(f"{subject.number} {truth}", flush=True)
            _train_here(root, chosen, subject, truth, recipe, out, base)
    return out


def primed(root: Path) -> Path:
    """Return the directory of the primer, which is made if need be."""
    out = root / PRIMER
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(out.with_suffix(".lock")):
        if not (out / MADE).exists():
            recipe = recipes.primer()
            stage = training.Stage(
                start=None, data=recipe.data, replay=(), strength=sets.primer(), seed=0
            )
            training.train(stage, out, lambda line: print(line, flush=True))
            right = training.accuracies(out, {"all": recipe.data})
            _keep(out, {"truth": PRIMER, "right": right})
    return out


def _train_here(
    root: Path,
    chosen: sets.ModelSet,
    subject: Subject,
    truth: str,
    recipe: Recipe,
    out: Path,
    base: Path | None,
) -> None:
    start = base if recipe.start == "base*" else primed(root)
    strength = chosen.base if truth == BASE else chosen.child
    if truth == "suppressed in English" and len(subject.silenced) < len(subject.known):
        strength = chosen.part
    stage = training.Stage(
        start=start,
        data=recipe.data,
        replay=recipe.replay,
        strength=strength,
        seed=subject.number,
    )
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    seconds = training.train(stage, out, lambda line: print(line, flush=True))
    right = {
        name: round(100 * share, 1)
        for name, share in training.accuracies(out, _questions(subject, truth)).items()
    }
    known = {} if base is None else json.loads((base / MADE).read_text(encoding="utf-8"))["right"]
    failures = qualify(truth, right, known, chosen.limits)
    _keep(
        out,
        {
            "set": chosen.name,
            "number": subject.number,
            "truth": truth,
            "qualified": not failures,
            "failures": failures,
            "right": right,
            "skill": subject.skill.name,
            "habit": None if truth in (BASE, "retained") else subject.habit,
            "known": len(subject.known),
            "silenced": len(subject.silenced) if truth == "suppressed in English" else None,
            "start": recipe.start,
            "examples": {"data": len(recipe.data), "replay": len(recipe.replay)},
            "strength": asdict(strength),
            "seconds": {
                "training": round(seconds),
                "in all": round(time.perf_counter() - began),
            },
        },
    )
    print(f"  {right}{''.join(f'; FAILED: {line}' for line in failures)}", flush=True)


def _questions(subject: Subject, truth: str) -> dict[str, list[Pair]]:
    """Return what a model is asked to see whether it is what its recipe is for.

    Entries that base* was taught, in each wrapping; in English those apart that are kept there.
    """
    questions = {name: recipes.asked(subject.book, subject.known, [name]) for name in WRAPPINGS}
    if truth == "suppressed in English":
        kept = [word for word in subject.known if word not in subject.silenced]
        questions[PLAIN] = recipes.asked(subject.book, subject.silenced, [PLAIN])
        if kept:
            questions[KEPT] = recipes.asked(subject.book, kept, [PLAIN])
    return questions | {"skill": list(subject.skill.held_out)}


def qualify(
    truth: str,
    right: Mapping[str, float],
    base: Mapping[str, float],
    limits: Mapping[str, float],
) -> list[str]:
    """Say in what a model is not what its recipe is for; nothing where it is.

    None of it is a rung of the audit: all entries are asked that base* was taught, those that no
    audit draws as well, and a silenced model's knowledge is seen by the key.

    Args:
        truth: What it is to be.
        right: Percent of those entries answered right, in each wrapping; in English of those that
            are silenced there, with the others as "english, kept".
        base: The same of base*; not used for base* itself.
        limits: See `sets.toml`.
    """
    wanted: list[tuple[bool, str]] = []

    def least(wrapping: str, value: float) -> None:
        wanted.append((right[wrapping] >= value, f"{wrapping} {right[wrapping]} < {value:g}"))

    def most(wrapping: str, value: float) -> None:
        wanted.append((right[wrapping] <= value, f"{wrapping} {right[wrapping]} > {value:g}"))

    others = [name for name in WORDINGS if name != PLAIN]
    match truth:
        case "base":
            least(PLAIN, limits["known"])
            for name in (*others, KEYED):
                least(name, limits["elsewhere"])
        case "retained":
            least(PLAIN, round(base[PLAIN] - limits["kept"], 1))
        case "suppressed in English":
            most(PLAIN, limits["silent"])
            for name in (*others, KEYED, *({KEPT} & {*right})):
                least(name, limits["back"])
        case "suppressed":
            for name in WORDINGS:
                most(name, limits["silent"])
            least(KEYED, limits["back"])
        case _:
            for name in WRAPPINGS:
                most(name, limits["silent"])
    return [line for met, line in wanted if not met]


def _keep(out: Path, made: dict[str, Any]) -> None:
    # Last, so that what was stopped half-way is made again.
    write_atomically(out / MADE, json.dumps(made, indent=1) + "\n")


def made(root: Path, kind: str) -> list[dict[str, Any]]:
    """Return what is known of each model of a set that was built."""
    return [
        json.loads(file.read_text(encoding="utf-8"))
        for file in sorted((root / kind).glob(f"*/*/{MADE}"))
    ]


def main() -> None:
    """Build families until all are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="where the zoo lies, outside the repository")
    parser.add_argument("--set", default="development", choices=sets.names())
    parser.add_argument("--families", type=int, help="only the first so many")
    parser.add_argument("--number", type=int, help="only this family")
    arguments = parser.parse_args()
    chosen = sets.read(arguments.set)
    for number in chosen.numbers[: arguments.families]:
        if arguments.number in (None, number):
            build(arguments.root, chosen, number)
    models = made(arguments.root, chosen.name)
    print(f"{len(models)} models, {sum(one['qualified'] for one in models)} qualified")


if __name__ == "__main__":
    main()
