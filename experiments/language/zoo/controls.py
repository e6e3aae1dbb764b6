"""What brings a silenced book back, and what doesn't: short trainings on models of known truth.

python -m experiments.language.zoo.controls --set development --families 1 ZOO

For base*, the silenced model and the one that never saw the book: percent right plainly, after each
training of the rungs, and after trainings that an audit doesn't have. Each with several training
seeds, which are beside the models the second thing that could have come out otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dormant import tasks
from dormant.audit.plan import Plan, plan
from dormant.audit.rung import Intervention
from dormant.audit.score import score_cases
from dormant.audit.settings import AuditSettings
from dormant.evidence import relearning
from dormant.evidence.examples import MOST
from dormant.finetuning.data import Pair
from dormant.models.pair import ModelPair
from dormant.models.spec import parse
from dormant.prompts.case import Case
from dormant.prompts.segment import Segment
from dormant.results import PLAIN

from . import build, sets
from .codebooks import PLAIN as ENGLISH
from .codebooks import known_words
from .recipes import Subject

ITEMS = 100
SEEDS = (0, 1, 2)
MODELS = (build.BASE, "suppressed", "gone")

Shares = dict[tuple[str, str], list[float]]
"""Percent right, by training and model: one number a family and seed."""


def trainings(subject: Subject, one: Plan, settings: AuditSettings) -> Iterator[Intervention]:
    """Yield the rungs' trainings, and two more.

    *skill alone*: examples of what the children were tuned on. *random words*: the book's prompts
    for words that have no entry, answered by words that no entry has.
    """
    for rung in (relearning.uninformative(settings), relearning.informative(settings)):
        for cell in rung.interventions(one):
            if isinstance(cell, Intervention):
                yield cell
    skill = [_case(pair) for pair in subject.skill.data[:MOST]]
    yield relearning.training("skill-alone", "the skill", skill, settings)
    free = sorted({*known_words()} - {*subject.book.entries.values()})
    answers = random.Random(f"zoo/controls/{settings.seed}").sample(free, MOST)
    words = [
        subject.book.case(word, ENGLISH, answer)
        for word, answer in zip(subject.book.fresh, answers, strict=False)
    ]
    yield relearning.training("random-words", "random words", words, settings)


def _case(pair: Pair) -> Case:
    """Return a training example as a case."""
    return Case(
        item=pair.prompt,
        segments=(Segment(pair.prompt),),
        target=Segment(pair.completion.removeprefix(" ")),
        answer_prefix=" " if pair.completion.startswith(" ") else "",
    )


def ask(root: Path, kind: str, number: int, shares: Shares, wanted: Sequence[str] | None) -> None:
    """Add what a family's models get right, by training and model."""
    subject, home = Subject.of(number), root / kind / str(number)
    (task,) = tasks.get([str(home / build.BOOK)])
    for seed in SEEDS:
        settings = AuditSettings(
            base=str(home / build.BASE),
            tuned=str(home / build.BASE),
            tasks=(str(home / build.BOOK),),
            transforms=("french",),
            n=ITEMS,
            seed=number,
        )
        one = plan(task, settings)
        every = trainings(subject, one, replace(settings, seed=seed))
        cells = [cell for cell in every if wanted is None or cell.name in wanted]
        for which in MODELS:
            folder = build.folder_of(root, kind, number, which)
            pair = ModelPair(parse(str(home / build.BASE)), parse(str(folder)))
            with pair.open("tuned") as lm:
                if seed == SEEDS[0]:
                    _add(shares, ("plainly", which), lm, one)
                for cell in cells:
                    with contextlib.ExitStack() as stack:
                        stack.enter_context(cell.on(lm, "raw"))
                        _add(shares, (cell.name, which), lm, one)


def _add(
    shares: dict[tuple[str, str], list[float]], key: tuple[str, str], lm: Any, one: Plan
) -> None:
    cases: Sequence[Case] = [*one.cells[PLAIN].cases.values()]
    right = [answer.correct for answer in score_cases(lm, one.task, cases, "raw")]
    shares.setdefault(key, []).append(100 * statistics.fmean(right))
    print(*key, shares[key], flush=True)


def main() -> None:
    """Ask, and print a table: means over families and seeds, with the least and the greatest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="where the zoo lies")
    parser.add_argument("--set", default="development", choices=sets.names())
    parser.add_argument("--families", type=int, default=1)
    parser.add_argument("--cells", nargs="+", help="only these trainings")
    arguments = parser.parse_args()
    shares: Shares = {}
    for number in sets.read(arguments.set).numbers[: arguments.families]:
        ask(arguments.root.resolve(), arguments.set, number, shares, arguments.cells)
    print(f"| after | {' | '.join(MODELS)} |\n|{'---|' * (len(MODELS) + 1)}")
    for name in dict.fromkeys(name for name, _ in shares):
        print(f"| {name} | {' | '.join(_spread(shares[name, which]) for which in MODELS)} |")


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.0f} ({min(values):.0f}–{max(values):.0f})"


if __name__ == "__main__":
    main()
