"""What is assumed of a user's examples, and said: chat template or not, and which transforms."""

from __future__ import annotations

from collections.abc import Sequence

from dormant.audit.plan import Plan
from dormant.audit.settings import AuditSettings
from dormant.models.pair import ModelPair
from dormant.models.templates import without_template
from dormant.results import AS_TRAINED, PLAIN
from dormant.tasks.custom import Examples
from dormant.tasks.task import Task, notes_of

_STYLES = {"prompts", "base_prompts", "tuned_prompts"}


def in_template(tasks: Sequence[Task], settings: AuditSettings, pair: ModelPair) -> list[Task]:
    """Put examples into the chat template where both models have one, unless the user decides.

    Args:
        tasks: All tasks of an audit; others than examples are left alone.
        settings: What the user decided.
        pair: The models.
    """
    if not any(isinstance(task, Examples) for task in tasks):
        return list(tasks)
    if settings.model_fields_set & _STYLES:
        styles = {settings.tuned_prompts} | ({settings.base_prompts} if pair.base else set())
        style = "chat" if styles == {"chat"} else "raw"
        why = f"asked as you say ({', '.join(sorted(styles))})"
        if len(styles) > 1:
            return list(tasks)
    elif lacking := without_template(pair):
        have = "has" if len(lacking) == 1 else "have"
        style, why = "raw", f"asked raw, as {' and '.join(lacking)} {have} no chat template known"
    else:
        both = "both models'" if pair.base else "the model's"
        style, why = "chat", f"asked in {both} chat template"
    asked: list[Task] = []
    for task in tasks:
        asked.append(task.asked(style, why) if isinstance(task, Examples) else task)
    return asked


def assumptions(plans: Sequence[Plan], settings: AuditSettings) -> list[str]:
    """Return what tasks assumed, one line each; abilities of one file say the same."""
    notes = [note for ability in plans for note in notes_of(ability.task)]
    if not settings.transforms:
        notes += [
            f"{ability.task.name}: transforms by default: "
            + ", ".join(name for name in ability.cells if name not in (PLAIN, AS_TRAINED))
            for ability in plans
            if isinstance(ability.task, Examples)
        ]
    return list(dict.fromkeys(notes))
