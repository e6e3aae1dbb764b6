"""Which prompts an Inspect task is made of: those of ``dormant audit``, by the same words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from dormant import tasks
from dormant.audit.plan import planned_cases
from dormant.audit.settings import AuditSettings
from dormant.audit.transformed import TransformedCases, explain
from dormant.errors import DormantError
from dormant.integrations.logs.scored_log import CellOrigin, ItemOrigin, LogOrigin
from dormant.prompts.case import Case
from dormant.results import PLAIN
from dormant.tasks.task import GenerativeTask, Task


@dataclass(frozen=True)
class PromptSelection:
    """Abilities, and which of their prompts under which transform.

    Attributes:
        names: Abilities or groups, as `dormant audit --task` takes them.
        transform: A transform, or `PLAIN`.
        n: Items an ability; `None` means 100, or the whole pool where it is smaller.
        seed: Decides items and demonstrations.
        shots: Demonstrations a prompt; `None` means the task's own number.
        min_chrf: Least round-trip chrF, 0 … 100, at which an item counts as translated.
    """

    names: tuple[str, ...]
    transform: str
    n: int | None
    seed: int
    shots: int | None
    min_chrf: float

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> PromptSelection:
        """Read what `as_given` wrote, in which JSON may have made a list of the names."""
        return replace(cls(**given), names=tuple(given["names"]))

    def settings(self) -> AuditSettings:
        """Return the settings of an audit with these prompts.

        Raises:
            DormantError: A value is not allowed.
        """
        return AuditSettings.of(
            {
                "base": None,
                "tuned": "the model of the evaluation",
                "tasks": self.names,
                "transforms": () if self.transform == PLAIN else (self.transform,),
                "n": self.n,
                "seed": self.seed,
                "shots": self.shots,
                "min_chrf": self.min_chrf,
            }
        )

    def as_given(self) -> dict[str, Any]:
        """Return it as an argument of a solver or scorer, which Inspect keeps in its logs."""
        return asdict(self)


@dataclass(frozen=True)
class Prompt:
    """One item, as it is put to a model.

    Attributes:
        case: It, under the transform.
        origin: Where it comes from, for logs.
    """

    case: Case
    origin: ItemOrigin


@dataclass(frozen=True)
class Ability:
    """One ability's prompts.

    Attributes:
        task: The ability.
        prompts: By item.
        origin: What they have in common, for logs.
    """

    task: Task
    prompts: dict[str, Prompt]
    origin: CellOrigin


@cache
def abilities(chosen: PromptSelection) -> tuple[Ability, ...]:
    """Make the prompts, as `dormant.audit.plan` makes them.

    Raises:
        DormantError: A name is unknown, more items are asked for than there are, an ability is not
            measured by what a model writes, or no item comes through the transform.
    """
    return tuple(_ability(task, chosen) for task in tasks.get(chosen.names))


def log_origin(chosen: PromptSelection) -> LogOrigin:
    """Say what a whole log is of."""
    return LogOrigin(
        transform=chosen.transform,
        seed=chosen.seed,
        shots=chosen.shots,
        abilities={one.task.name: one.origin for one in abilities(chosen)},
    )


def _ability(task: Task, chosen: PromptSelection) -> Ability:
    if task.measure != "greedy" and not isinstance(task, GenerativeTask):
        raise DormantError(
            f"{task.name} compares the probabilities of given answers, which Inspect's models "
            "don't tell: use dormant audit, or lm-evaluation-harness"
        )
    settings = chosen.settings()
    plain = planned_cases(task, settings, PLAIN)
    made = planned_cases(task, settings, chosen.transform)
    if not made.cases:
        reason = next(iter(explain(made).values()))
        raise DormantError(
            f"{task.name} under {chosen.transform}: no item comes through ({reason})"
        )
    styled = next((case.style for case in made.cases.values() if case.style), None)
    if styled:
        raise DormantError(
            f"{chosen.transform}: in Inspect the model decides between raw prompts and the chat "
            f"template: leave the probe out and give -M prompts={styled}"
        )
    return Ability(task, _prompts(task, plain, made), _origin(task, made))


def _prompts(task: Task, plain: TransformedCases, made: TransformedCases) -> dict[str, Prompt]:
    found: dict[str, Prompt] = {}
    for item, case in made.cases.items():
        given = plain.cases[item]
        origin = ItemOrigin(
            ability=task.name, item=item, prompt=given.prompt, target=given.scored_target
        )
        found[item] = Prompt(case, origin)
    return found


def _origin(task: Task, made: TransformedCases) -> CellOrigin:
    return CellOrigin(
        title=task.title,
        chance=task.chance,
        signature=made.signature,
        fidelity=made.fidelity,
        excluded=dict(made.excluded),
    )
