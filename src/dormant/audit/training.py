"""What an audit is told of the training data: its wrapping, its answers' format, the skill."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dormant import tasks
from dormant.audit.as_trained import (
    TEMPLATE,
    template_wrapping,
    wrapping_of_examples,
)
from dormant.audit.assumed import in_template
from dormant.audit.plan import Known, Plan, plan, plan_skill
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.models.chat_template import chat_template
from dormant.models.pair import ModelPair
from dormant.prompts.wrapping import Wrapping
from dormant.tasks.examples import Example, Render, read_examples
from dormant.tasks.plain_language import asked_in
from dormant.tasks.skill import SkillTask
from dormant.tasks.tables import read_rows
from dormant.tasks.task import Task
from dormant.tasks.training_format import TrainingFormat


@dataclass(frozen=True)
class Training:
    """What is known of the training data; all of it is optional.

    Attributes:
        wrapping: What stands around its prompts.
        format: What its answers have in common.
        skill: What it was to teach, as a task.
        digest: Fingerprint of the examples, for the records; `None` where none were given.
    """

    wrapping: Wrapping | None = None
    format: TrainingFormat | None = None
    skill: Task | None = None
    digest: str | None = None

    @classmethod
    def of(cls, settings: AuditSettings, pair: ModelPair) -> Training:
        """Read what the settings name.

        Raises:
            DormantError: A file can't be read or has no wrapping, or the skill is no single task.
        """
        render = chat_template(pair)
        wrapping, examples = _wrapping(settings, render)
        skill = None if settings.skill is None else skill_task(settings.skill, render)
        if not examples and isinstance(skill, SkillTask):
            examples = skill.examples
        content = "\0".join(f"{example.turns}\0{example.completion}" for example in examples)
        return cls(
            wrapping=wrapping,
            format=TrainingFormat.of(examples) if examples else None,
            skill=skill,
            digest=hashlib.sha256(content.encode()).hexdigest()[:16] if examples else None,
        )

    def plans(
        self,
        settings: AuditSettings,
        pair: ModelPair,
        known: Callable[[Sequence[Task]], Known] | None = None,
    ) -> list[Plan]:
        """Plan the skill, which comes first, and every ability.

        Args:
            settings: The audit's.
            pair: Its models.
            known: Returns what an earlier start of the same run found out about these tasks.

        Raises:
            DormantError: An ability is unknown, more items are asked for than its pool has, or a
                transform is unknown.
        """
        named = asked_in(tasks.get(settings.tasks), settings.plain)
        chosen = in_template(named, settings, pair)
        skills = [] if self.skill is None else [self.skill]
        before = {} if known is None else known([*skills, *chosen])
        plans = [plan(task, settings, self.wrapping, before) for task in chosen]
        if self.skill is None:
            return plans
        # A skill that is audited too has its plain prompts there.
        rest = [one for one in plans if one.task.name != self.skill.name]
        if len(rest) < len(plans):
            return [replace(one, skill=one not in rest) for one in plans]
        return [plan_skill(self.skill, settings, before), *plans]


def _wrapping(settings: AuditSettings, render: Render) -> tuple[Wrapping | None, Sequence[Example]]:
    given, plain = settings.trained_as, settings.tuned_prompts
    if given is None:
        return None, ()
    if given == TEMPLATE:
        return template_wrapping(render, plain), ()
    path = Path(given).expanduser()
    examples = read_examples(path)
    return wrapping_of_examples(examples, path, render, plain), examples


def skill_task(name: str, render: Render) -> Task:
    """Return what a model was tuned on, as a task.

    Args:
        name: A file of held-out training examples, or a task's name.
        render: The fine-tuned model's chat template.

    Raises:
        DormantError: The file can't be read, or the name stands for several tasks.
    """
    path = Path(name).expanduser()
    if path.suffix == ".jsonl" and "languages" not in read_rows(path)[0].values:
        return SkillTask(path, render)
    named = tasks.get([name])
    if len(named) > 1:
        listed = ", ".join(task.name for task in named)
        raise DormantError(f"--skill {name} stands for {len(named)} tasks ({listed}): name one")
    return named[0]
