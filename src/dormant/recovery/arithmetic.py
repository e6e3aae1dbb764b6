"""Which arithmetic each model of a recovery is asked in: chosen once, by prompts that decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dormant.audit.arithmetic import choose_on, hangs_on_margins
from dormant.audit.settings import Style
from dormant.prompts.case import Case
from dormant.scoring.harness import scorer_of
from dormant.tasks.skill import by_likelihood
from dormant.tasks.task import Task


class Arithmetics:
    """Lets models choose as they do in an audit; a model that is opened again has what it chose.

    Args:
        style: Raw prompts, or the models' chat templates.
    """

    def __init__(self, style: Style) -> None:
        self._style: Style = style
        self._scored: list[Mapping[str, Case]] = []
        self._chosen: dict[str, Any] = {}

    def choose_by(self, asked: Sequence[tuple[Task, Sequence[Case]]]) -> None:
        """Say by which prompts; where a likelihood is measured, nothing is chosen.

        Args:
            asked: What decides between candidates, and of which task.
        """
        if any(by_likelihood(task) for task, _ in asked):
            return
        self._scored = [
            {case.item: case for case in cases} for task, cases in asked if hangs_on_margins(task)
        ]

    def choose(self, model: str, lm: Any) -> None:
        """Let a model choose.

        Args:
            model: Its name, or a candidate's key.
            lm: The model, just opened.
        """
        if not (self._scored and scorer_of(lm).chooses_precision()):
            return
        if model in self._chosen:
            lm.precision = self._chosen[model]
            return
        choose_on(lm, self._scored, self._scored, self._style)
        self._chosen[model] = lm.precision
