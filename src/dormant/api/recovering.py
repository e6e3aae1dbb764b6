"""``dm.recover``: what ``dormant recover`` does, with values in place of files and tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from dormant.api.options import ModelName, RecoverOptions
from dormant.names import flat_names

if TYPE_CHECKING:
    from dormant.results.recovery import RecoveryResults


def recover(
    base: ModelName,
    tuned: ModelName | None = None,
    *,
    tasks: str | Sequence[str],
    skill: ModelName,
    out: str | os.PathLike[str] | None = None,
    budget: float | None = None,
    progress: bool = True,
    **options: Unpack[RecoverOptions],
) -> RecoveryResults:
    """Give suppressed abilities back to a fine-tuned model and keep its new skill.

    What is saved is a model like any other, with a card that tells what was done: an adapter, or
    the checkpoint's files where the update of a full fine-tune was scaled. Stopped for any reason,
    the same call goes on where it was.

    Args:
        base: The base model, by name: weights are read from files. Alone, it is the fine-tuned one.
        tuned: The fine-tuned model.
        tasks: Abilities to give back.
        skill: What the model was tuned on, which is to be kept: held-out examples, or a task.
        out: Where the model is saved; default: ``recovered/TUNED``.
        budget: Seconds after which no further candidate is made.
        progress: Show a bar, in a terminal, or in a notebook that has ipywidgets.
        options: See `RecoverOptions`; the defaults are those of the command line.

    Returns:
        Candidates, the one that was taken and why, and what it did on items that nothing trained
        or chose.

    Raises:
        DormantError: Bad input, no skill to keep, a model that can't be loaded or whose weights
            can't be reached, a disk that is full.
    """
    from dormant.console import progress as bar
    from dormant.console import watched
    from dormant.recovery.run import recover as run
    from dormant.recovery.settings import RecoverSettings, default_out

    given: dict[str, Any] = dict(options)
    for name in ("also", "treatments"):
        if isinstance(given.get(name), str):
            given[name] = flat_names([given[name]]) if name == "also" else (given[name],)
    if given.get("skill_train") is not None:
        given["skill_train"] = os.fspath(given["skill_train"])
    settings = RecoverSettings.of(
        {
            "base": None if tuned is None else os.fspath(base),
            "tuned": os.fspath(base if tuned is None else tuned),
            "tasks": flat_names([tasks] if isinstance(tasks, str) else tasks),
            "skill": os.fspath(skill),
            **given,
        }
    )
    folder = Path(default_out(settings) if out is None else out)
    with bar(quiet=not (progress and watched())) as shown:
        return run(settings, folder, shown, budget=budget)
