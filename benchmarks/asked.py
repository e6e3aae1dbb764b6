"""What an audit asks of its two models, for others to answer, and verdicts from their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from workers import Scored

from dormant import tasks
from dormant.audit.plan import Plan, plan
from dormant.audit.run_dir import RunDirectory
from dormant.audit.score import continuations
from dormant.audit.settings import AuditSettings
from dormant.results import PLAIN
from dormant.statistics import Success, judge_ability, plain_cells, transform_cells

MODELS = ("base", "tuned")


class Place(NamedTuple):
    """Where an answer belongs: one model, one cell, one item."""

    model: str
    task: str
    transform: str
    item: str


@dataclass(frozen=True)
class Outcome:
    """What one way says of one prompt's target.

    Attributes:
        correct: Greedy decoding begins with it.
        logprob: log p(target | prompt), nats, where the way has it.
        log_odds: log p(target) − log p(distractor), nats, where it has both.
    """

    correct: bool
    logprob: float | None = None
    log_odds: float | None = None

    @classmethod
    def of(cls, row: Sequence[Scored]) -> Outcome:
        """Read what a way said of a prompt's answers: the target, and perhaps a distractor."""
        target, *wrong = row
        odds = None
        if wrong and target.logprob is not None and wrong[0].logprob is not None:
            odds = target.logprob - wrong[0].logprob
        return cls(target.greedy, target.logprob, odds)


@dataclass(frozen=True)
class Asked:
    """One prompt, which both models are asked.

    Attributes:
        task: The ability.
        transform: `PLAIN`, or the transform.
        item: The source item.
        prompt: As the models read it.
        answers: The target and perhaps a distractor, as they follow it.
    """

    task: str
    transform: str
    item: str
    prompt: str
    answers: tuple[str, ...]

    def at(self, model: str) -> Place:
        """Return where a model's answer to it belongs."""
        return Place(model, self.task, self.transform, self.item)


class Questions:
    """All that an audit asks.

    Args:
        settings: The audit's; its tasks are those of which an answer is right where greedy
            decoding begins with the target, and its prompts are raw.
    """

    def __init__(self, settings: AuditSettings) -> None:
        self.settings = settings
        self.plans: list[Plan] = [plan(task, settings) for task in tasks.get(settings.tasks)]
        assert all(one.task.measure == "greedy" for one in self.plans)
        self.all = list(self._every(1))

    def every(self, step: int) -> list[Asked]:
        """Return the prompts of every k-th item, in all of its cells: enough for a verdict."""
        return list(self._every(step))

    def _every(self, step: int) -> Iterator[Asked]:
        for ability in self.plans:
            kept = {*list(ability.cells[PLAIN].cases)[::step]}
            for name, cell in ability.cells.items():
                for item, case in cell.cases.items():
                    if item in kept:
                        answers = tuple(continuations(case, "raw"))
                        yield Asked(ability.task.name, name, item, case.prompt, answers)

    def verdicts(self, outcomes: Mapping[Place, Outcome], among: Sequence[Asked]) -> dict[str, str]:
        """Return the verdict on each ability.

        Args:
            outcomes: Those of both models, of these prompts at least.
            among: The prompts on which it is to rest.
        """
        items: dict[tuple[str, str], list[str]] = {}
        for one in among:
            items.setdefault((one.task, one.transform), []).append(one.item)
        found: dict[str, str] = {}
        for ability in self.plans:
            task = ability.task

            def cell(
                name: str, model: str, task: str = task.name
            ) -> tuple[list[str], dict[str, Success]]:
                known = {}
                for item in items.get((task, name), []):
                    outcome = outcomes[Place(model, task, name, item)]
                    known[item] = Success(outcome.correct, outcome.log_odds)
                return list(known), known

            there, base = cell(PLAIN, "base")
            _, tuned = cell(PLAIN, "tuned")
            if not there:
                continue
            others = [
                transform_cells(
                    name,
                    cell(name, "base")[0],
                    cell(name, "tuned")[1],
                    cell(name, "base")[1],
                    signature=one.signature,
                    excluded=one.excluded.values(),
                    fidelity=one.fidelity,
                )
                for name, one in ability.cells.items()
                if name != PLAIN and cell(name, "base")[0]
            ]
            found[task.name] = judge_ability(
                task.name,
                plain_cells(there, tuned, base),
                others,
                margin=self.settings.margin,
                chance=task.chance,
                seed=self.settings.seed,
            ).verdict
        return found


def recorded(run: Path, asked: Sequence[Asked]) -> dict[Place, Outcome]:
    """Read what an audit found of the prompts that it asked.

    Raises:
        ValueError: It asked something else than is thought here.
    """
    known = {one.at(model): one for one in asked for model in MODELS}
    outcomes: dict[Place, Outcome] = {}
    for record in RunDirectory.read(run).all_outcomes():
        place = Place(record.model, record.task, record.transform, record.item)
        if place not in known or known[place].prompt != record.prompt:
            raise ValueError(f"the audit asked another prompt at {place}")
        outcomes[place] = Outcome(record.correct, record.target_logprob, record.log_odds)
    return outcomes
