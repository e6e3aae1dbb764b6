"""The items of everything that a recovery measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dormant import tasks
from dormant.audit.training import skill_task
from dormant.errors import DormantError
from dormant.finetuning.data import Pair
from dormant.models.chat_template import chat_template
from dormant.models.pair import ModelPair
from dormant.prompts.case import Case
from dormant.recovery.item_sets import ItemSets, Wanted, split, split_examples
from dormant.recovery.settings import RecoverSettings
from dormant.tasks.skill import SkillTask


@dataclass(frozen=True)
class Sets:
    """The items of everything that is measured.

    Attributes:
        abilities: Those to be recovered.
        also: Those that are reported on only.
        skill: The skill.
        replay: Its training data, as cases; `None` where the fine-tuned model's own answers to
            its prompts stand in.
    """

    abilities: Sequence[ItemSets]
    also: Sequence[ItemSets]
    skill: ItemSets
    replay: SkillTask | None

    @classmethod
    def of(cls, settings: RecoverSettings, pair: ModelPair) -> Sets:
        """Cut them.

        Raises:
            DormantError: A name is unknown, a file can't be read, or a pool is too small.
        """
        render = chat_template(pair)
        skill = skill_task(settings.skill, render)
        replay = None
        if settings.skill_train is not None:
            replay = SkillTask(Path(settings.skill_train).expanduser(), render)
        named = tasks.get(settings.tasks)
        others = [one for one in tasks.get(settings.also) if one.name not in settings.tasks]
        names = {one.name for one in named}
        if skill.name in names:
            raise DormantError(f"{skill.name} is both the skill and an ability to recover")

        n, own = settings.n, 0 if replay is not None else settings.replay
        wanted = [
            *(Wanted(one, settings.train, settings.choose, n) for one in named),
            *(Wanted(one, 0, 0, n) for one in others if one.name not in names),
        ]
        examples = isinstance(skill, SkillTask)
        if not examples:
            wanted.append(Wanted(skill, own, settings.choose, n))
        sets = split(wanted, shots=settings.shots, seed=settings.seed)
        of_skill = split_examples(skill, train=own, seed=settings.seed) if examples else sets.pop()
        return cls(sets[: len(named)], sets[len(named) :], of_skill, replay)

    def replayed(
        self,
        count: int,
        complete: Callable[[Sequence[Case]], Sequence[str | None]],
        example: Callable[[Case, str], Pair],
    ) -> list[Pair]:
        """Return examples of the skill: its data, or the fine-tuned model's answers to its prompts.

        Args:
            count: How many of its data, at even distances: files may be sorted.
            complete: See `Given`; likewise `example`.
            example: See there.
        """
        if self.replay is None:
            cases = self.skill.train
            said = [text and text.strip() for text in complete(cases)]
            return [example(case, text) for case, text in zip(cases, said, strict=True) if text]
        items = self.replay.pool()
        step = max(1, len(items) // max(1, count))
        cases = [
            self.replay.case(item, language="english", shots=0, seed=0)
            for item in items[::step][:count]
        ]
        return [example(case, case.target.text) for case in cases]
