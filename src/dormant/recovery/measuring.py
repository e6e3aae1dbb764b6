"""What models do on an ability's sets, and the contrasts between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dormant.errors import DormantError
from dormant.recovery.bench import Bench
from dormant.recovery.choose import is_kept
from dormant.recovery.item_sets import ItemSets
from dormant.recovery.settings import Items
from dormant.recovery.treatment import Measured
from dormant.results import Estimate, Verdict
from dormant.results.recovery import AbilityChange, Choosing, SkillChange
from dormant.results.training import SkillMeasure
from dormant.statistics import judge_ability
from dormant.statistics.cells import PlainCells
from dormant.statistics.further_loss import exceeds
from dormant.statistics.intervals import (
    difference_in_differences,
    mean_contrast,
    paired_difference,
    proportion,
)
from dormant.statistics.returned import returned_share
from dormant.tasks.skill import by_likelihood

Values = Sequence[float]


@dataclass(frozen=True)
class Skill:
    """The new skill: its sets, and in what it is measured.

    Attributes:
        sets: Its items.
        margin: Loss that counts as one, a fraction.
    """

    sets: ItemSets
    margin: float

    @property
    def by_likelihood(self) -> bool:
        """Whether it is measured in nats a character, for answers that are texts of their own."""
        return by_likelihood(self.sets.task)

    @property
    def measure(self) -> SkillMeasure:
        """In what it is measured."""
        return "log-probability" if self.by_likelihood else "accuracy"

    def mean(self, values: Values) -> Estimate:
        """Estimate the skill of one model."""
        return mean_contrast(values, weights=(1,)) if self.by_likelihood else proportion(values)

    def difference(self, first: Values, second: Values) -> Estimate:
        """Estimate how much better the first is."""
        if self.by_likelihood:
            return mean_contrast(first, second, weights=(1, -1))
        return paired_difference(first, second)

    def margin_in_unit(self, base: Values | None, tuned: Values) -> float:
        """Return the margin in the measure's unit: by likelihood, a share of what tuning won."""
        if not self.by_likelihood:
            return self.margin
        if base is None:
            raise DormantError(
                "a skill of long answers is measured by their likelihood, and its margin is a "
                "share of what tuning won: name the base, or give examples with short answers"
            )
        return self.margin * max(0.0, self.difference(tuned, base).estimate)


@dataclass(frozen=True)
class Measuring:
    """Everything that is measured in a recovery.

    Attributes:
        bench: The models.
        abilities: Those to be recovered.
        also: Those that are reported on only.
        skill: The new skill.
        margin: Loss of an ability that counts as one.
    """

    bench: Bench
    abilities: Sequence[ItemSets]
    also: Sequence[ItemSets]
    skill: Skill
    margin: float

    @property
    def has_base(self) -> bool:
        """Whether there is a base to compare with."""
        return self.bench.pair.base is not None

    def values(self, model: str, items: Items, sets: ItemSets) -> list[float]:
        """Measure a model on one set."""
        cases = sets.choose if items == "choose" else sets.report
        return self.bench.measure(model, items, sets.task, cases)

    def measure_all(self, models: Sequence[str | None], items: Items) -> None:
        """Measure models on all that has such a set, one after the other: each is loaded once.

        Args:
            models: Which; the base is left out where there is none, and what is `None`.
            items: The set.
        """
        every = [*self.abilities, *(self.also if items == "report" else ()), self.skill.sets]
        for model in models:
            if model is None or (model == "base" and not self.has_base):
                continue
            for one in every:
                self.values(model, items, one)

    def base_values(self, items: Items, sets: ItemSets) -> list[float] | None:
        """Measure the base on one set, where there is one."""
        return self.values("base", items, sets) if self.has_base else None

    def drops(self) -> Mapping[str, Estimate]:
        """Return each ability's drop, on the items that choose; empty without a base."""
        if not self.has_base:
            return {}
        return {
            one.task.name: paired_difference(
                self.values("base", "choose", one), self.values("tuned", "choose", one)
            )
            for one in self.abilities
        }

    def learnt(self) -> Estimate | None:
        """Return how much better than the base the fine-tuned model is at the skill."""
        base = self.base_values("choose", self.skill.sets)
        if base is None:
            return None
        return self.skill.difference(self.values("tuned", "choose", self.skill.sets), base)

    def skill_margin(self, items: Items) -> float:
        """Return the skill's margin in its unit."""
        sets = self.skill.sets
        return self.skill.margin_in_unit(
            self.base_values(items, sets), self.values("tuned", items, sets)
        )

    def candidate(self, key: str, dropped: Sequence[str]) -> Measured:
        """Measure a candidate on the items that choose.

        Args:
            key: Its key.
            dropped: The abilities that count: those that were surely lost.
        """
        skill, sets = self.skill, self.skill.sets
        tuned, changed = (self.values(one, "choose", sets) for one in ("tuned", key))
        loss = skill.difference(tuned, changed)
        least = skill.difference(tuned, tuned).high
        parts = [one for one in self.abilities if one.task.name in dropped]

        def pooled(model: str) -> list[float]:
            return [value for one in parts for value in self.values(model, "choose", one)]

        before, after = pooled("tuned"), pooled(key)
        return Measured(
            kept=is_kept(loss, self.skill_margin("choose"), least),
            skill_loss=loss,
            gain=paired_difference(after, before),
            returned=returned_share(pooled("base"), before, after) if self.has_base else None,
        )

    def choosing(self, dropped: Sequence[str]) -> Choosing:
        """Return what candidates are compared with."""
        sets = self.skill.sets
        base, tuned = self.base_values("choose", sets), self.values("tuned", "choose", sets)
        return Choosing(
            n_skill=len(tuned),
            n_abilities=sum(len(one.choose) for one in self.abilities if one.task.name in dropped),
            base_skill=None if base is None else sum(base) / len(base),
            tuned_skill=sum(tuned) / len(tuned),
            margin=self.skill_margin("choose"),
        )

    def skill_change(self, key: str | None) -> SkillChange:
        """Report on the skill."""
        skill, sets = self.skill, self.skill.sets
        base, tuned = self.base_values("report", sets), self.values("tuned", "report", sets)
        after = None if key is None else self.values(key, "report", sets)
        loss = None if after is None else skill.difference(tuned, after)
        margin = self.skill_margin("report")
        return SkillChange(
            task=sets.task.name,
            title=sets.task.title,
            n_items=len(tuned),
            measure=skill.measure,
            base=None if base is None else skill.mean(base),
            tuned=skill.mean(tuned),
            recovered=None if after is None else skill.mean(after),
            loss=loss,
            margin=margin,
            exceeds=None if loss is None else exceeds(loss, margin),
        )

    def ability_change(
        self, sets: ItemSets, key: str | None, *, named: bool, control: str | None = None
    ) -> AbilityChange:
        """Report on an ability.

        Args:
            sets: Its items.
            key: The candidate that was taken; `None` where none was.
            named: Whether it was to be recovered.
            control: The base after the same training, by its key.
        """
        base, tuned = self.base_values("report", sets), self.values("tuned", "report", sets)
        after = None if key is None else self.values(key, "report", sets)
        loss = None if after is None else paired_difference(tuned, after)
        treated = None if control is None else self.values(control, "report", sets)
        return AbilityChange(
            task=sets.task.name,
            title=sets.task.title,
            named=named,
            n_items=len(tuned),
            base=None if base is None else proportion(base),
            tuned=proportion(tuned),
            recovered=None if after is None else proportion(after),
            drop=None if base is None else paired_difference(base, tuned),
            returned=None if base is None or after is None else returned_share(base, tuned, after),
            left=None if base is None or after is None else paired_difference(base, after),
            further_loss=loss,
            exceeds=None if loss is None else exceeds(loss, self.margin),
            base_treated=None if treated is None else proportion(treated),
            recovery=None
            if treated is None or base is None or after is None
            else difference_in_differences(base, tuned, treated, after),
            verdict=None if after is None or base is None else self._verdict(sets, base, after),
        )

    def _verdict(self, sets: ItemSets, base: Values, after: Values) -> Verdict:
        items = [case.item for case in sets.report]
        cells = PlainCells(items=items, tuned=after, base=base)
        return judge_ability(sets.task.name, cells, [], margin=self.margin).verdict
