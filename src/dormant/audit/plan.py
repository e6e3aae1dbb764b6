"""What an audit has to do: every ability's items, plain and under each transform, in batches."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from dormant.audit.as_trained import as_trained_cases
from dormant.audit.lazy_cases import some
from dormant.audit.run_dir import CellKey
from dormant.audit.sample import ItemSample
from dormant.audit.settings import AuditSettings
from dormant.audit.transformed import (
    Decided,
    TransformedCases,
    default_transforms,
    plain_cases,
    transformed_cases,
)
from dormant.models.pair import Which
from dormant.prompts.case import Case
from dormant.prompts.wrapping import Wrapping
from dormant.results import AS_TRAINED, LOOKS, PLAIN, Rung
from dormant.statistics.sequential import Looks
from dormant.tasks.task import Task
from dormant.transforms.fidelity import Gate

_REASONS_SHOWN = 3


@dataclass(frozen=True)
class Plan:
    """One ability's work: its items, plain and under each transform.

    Attributes:
        task: The ability.
        cells: Cases by transform name; `PLAIN` first, then perhaps `AS_TRAINED`.
        batches: The item ids of each cell, in batches, by transform name.
        sizes: How many characters each batch has, about, by transform name: its first prompt's
            times its items. Progress is counted in them.
        skill: Whether it is what the model was tuned on.
        audited: Whether it is audited: a skill alone is not, and has only plain prompts.
        rungs: The rung of each cell that is above prompting, by name.
        looks: When it is looked at whether it is decided; `None` where it has a fixed number of
            items.
    """

    task: Task
    cells: dict[str, TransformedCases]
    batches: dict[str, list[list[str]]]
    sizes: dict[str, list[int]]
    skill: bool = False
    audited: bool = True
    rungs: Mapping[str, Rung] = field(default_factory=dict[str, Rung])
    looks: Looks | None = None

    def at(self, look: int) -> Plan:
        """Return what a look needs of it: its first items, in all cells, with their batches.

        Args:
            look: Its place among `looks`, from 0.
        """
        if self.looks is None:
            return self
        items = set([*self.cells[PLAIN].cases][: self.looks.sizes[look]])
        # A batch is of one look only.
        cut = {
            name: sum(batch[0] in items for batch in batches)
            for name, batches in self.batches.items()
        }
        return replace(
            self,
            cells={name: cell.only(items) for name, cell in self.cells.items()},
            batches={name: batches[: cut[name]] for name, batches in self.batches.items()},
            sizes={name: sizes[: cut[name]] for name, sizes in self.sizes.items()},
        )

    def exclusions(self) -> Iterator[str]:
        """Say, for every transform that could not render all items, how many are left out."""
        for name, cell in self.cells.items():
            if not cell.excluded:
                continue
            reasons = Counter(cell.excluded.values()).most_common(_REASONS_SHOWN)
            listed = "; ".join(f"{count} × {reason}" for reason, count in reasons)
            others = len(cell.excluded) - sum(count for _, count in reasons)
            yield (
                f"{self.task.name} under {name}: {len(cell.excluded)} of "
                f"{len(cell.excluded) + len(cell.cases)} items are left out of all four cells "
                f"({listed}{f'; {others} × others' if others else ''})"
            )


@dataclass(frozen=True)
class Batch:
    """Some items of one cell, scored and written together.

    Attributes:
        key: The cell.
        plan: The ability that it belongs to.
        items: Their ids.
        size: How many characters it has, about.
    """

    key: CellKey
    plan: Plan
    items: list[str]
    size: int

    def cases(self) -> Sequence[Case]:
        """Make the items' cases."""
        return some(self.plan.cells[self.key.transform].cases, self.items)


class KnownCell(NamedTuple):
    """What an earlier start of the same run found out about a cell.

    Attributes:
        decided: What came through its transform.
        sizes: See `Plan`.
    """

    decided: Decided
    sizes: list[int]


Known: TypeAlias = "Mapping[str, Mapping[str, KnownCell]]"
"""The cells of an earlier start, by task and transform."""


def plan(
    task: Task,
    settings: AuditSettings,
    wrapping: Wrapping | None = None,
    known: Known | None = None,
) -> Plan:
    """Choose an ability's items and put them under every transform.

    Args:
        task: The ability.
        settings: How many items, under which transforms.
        wrapping: That of the training data, for a cell of its own.
        known: What an earlier start of the same run found out.

    Returns:
        The plan, of all items that there may be: `Plan.at` has those of a look.

    Raises:
        DormantError: More items are asked for than the pool has, or a transform is unknown.
    """
    names = settings.transforms or default_transforms([task])
    before = (known or {}).get(task.name, {})
    cells = {PLAIN: planned_cases(task, settings, PLAIN)}
    if wrapping is not None:
        cells[AS_TRAINED] = as_trained_cases(cells[PLAIN], wrapping)
    cells |= {
        name: planned_cases(task, settings, name, before[name].decided if name in before else None)
        for name in names
    }
    return _in_batches(task, cells, settings, before)


def plan_skill(task: Task, settings: AuditSettings, known: Known | None = None) -> Plan:
    """Choose items of what the fine-tuned model was tuned on; plain prompts only.

    Args:
        task: What it was tuned on.
        settings: How many items.
        known: What an earlier start of the same run found out.

    Raises:
        DormantError: More items are asked for than the pool has.
    """
    pool = len(task.pool())
    # There are as many held-out examples as there are, however many items an ability has; and
    # nobody waits for a skill to be decided.
    n = None if settings.n is None else min(pool, settings.n)
    few = settings.model_copy(update={"n": n, "until_decided": False})
    cells = {PLAIN: planned_cases(task, few, PLAIN)}
    whole = _in_batches(task, cells, few, (known or {}).get(task.name, {}))
    return replace(whole, skill=True, audited=False)


def _in_batches(
    task: Task,
    cells: dict[str, TransformedCases],
    settings: AuditSettings,
    known: Mapping[str, KnownCell],
) -> Plan:
    plain = [*cells[PLAIN].cases]
    looks = Looks.up_to(len(plain)) if settings.until_decided else None
    ends = [len(plain)] if looks is None else [*looks.sizes]
    look_of = {item: bisect_right(ends, place) for place, item in enumerate(plain)}
    batches: dict[str, list[list[str]]] = {}
    sizes: dict[str, list[int]] = {}
    for name, cell in cells.items():
        by_look: list[list[str]] = [[] for _ in ends]
        for item in cell.cases:
            by_look[look_of[item]].append(item)
        batches[name] = [
            items[start : start + settings.checkpoint_every]
            for items in by_look
            for start in range(0, len(items), settings.checkpoint_every)
        ]
        before = known[name].sizes if name in known else []
        if len(before) != len(batches[name]):
            first = some(cell.cases, [batch[0] for batch in batches[name]])
            before = [
                len(batch) * len(case.prompt)
                for batch, case in zip(batches[name], first, strict=True)
            ]
        sizes[name] = before
    return Plan(task, cells, batches, sizes, looks=looks)


def planned_cases(
    task: Task, settings: AuditSettings, transform: str, decided: Decided | None = None
) -> TransformedCases:
    """Choose an ability's items and put them under one transform, or none (`PLAIN`).

    Args:
        task: The ability.
        settings: How many items.
        transform: The transform's name.
        decided: What came of it before (`transformed_cases`).

    Raises:
        DormantError: More items are asked for than the pool has, or the transform is unknown.
    """
    n = settings.n
    if settings.until_decided:
        n = min(settings.max_items or LOOKS[-1], len(task.pool()))
    sample = ItemSample.of(
        task,
        n=n,
        shots=settings.shots,
        seed=settings.seed,
        shuffled=settings.until_decided,
        fixed=settings.demonstrations == "fixed",
    )
    if transform == PLAIN:
        return plain_cases(task, sample)
    return transformed_cases(task, sample, transform, Gate(chrf=settings.min_chrf), decided)


def cells(settings: AuditSettings, plans: Sequence[Plan]) -> Iterator[tuple[CellKey, Plan]]:
    """Yield every cell, in the order in which it is scored: one model, then the other."""
    sides: tuple[Which, ...] = ("tuned",) if settings.base is None else ("base", "tuned")
    for which in sides:
        for ability in plans:
            for name in ability.cells:
                yield CellKey(which, ability.task.name, name), ability


def batches(settings: AuditSettings, plans: Sequence[Plan]) -> list[Batch]:
    """List every batch of every cell, in the order in which it is scored."""
    return [
        Batch(key, ability, items, size)
        for key, ability in cells(settings, plans)
        for items, size in zip(
            ability.batches[key.transform], ability.sizes[key.transform], strict=True
        )
    ]
