"""A process of a cluster that answers for an audit: it plans alike, and scores what it is told to.

It writes nothing. Whoever asks it owns the run directory (`dormant.audit.ray`).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from dormant import devices
from dormant.audit.arithmetic import choose_precision
from dormant.audit.gate import Gate
from dormant.audit.lazy_cases import some
from dormant.audit.manifest import LIBRARIES, recorded
from dormant.audit.pair import pair_of
from dormant.audit.plan import Known
from dormant.audit.run_dir import CellKey
from dormant.audit.score import refuse_long, score_cases
from dormant.audit.settings import AuditSettings
from dormant.audit.training import Training
from dormant.errors import DormantError
from dormant.models.pair import Which
from dormant.prompts.case import Case
from dormant.results import Comparison, ItemOutcome
from dormant.rundirs import versions

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Part(NamedTuple):
    """Some items of one cell."""

    cell: CellKey
    items: Sequence[str]


class Scored(NamedTuple):
    """What a model made of a part.

    Attributes:
        outcomes: One an item, as `score_cases` returns them.
        precision: How the model computes, in words; `None` where nothing was chosen.
        warnings: What a reader should know of how the models were loaded.
    """

    outcomes: Sequence[ItemOutcome]
    precision: str | None
    warnings: Sequence[str]


class Told(NamedTuple):
    """What a worker answers: a value, or why there is none, in one line."""

    value: Any
    error: str = ""


def _in_one_line(
    method: Callable[Concatenate[Worker, _P], _T],
) -> Callable[Concatenate[Worker, _P], Told]:
    """Give a `DormantError` as a value: exceptions lose their words between processes."""

    @functools.wraps(method)
    def told(self: Worker, *args: _P.args, **named: _P.kwargs) -> Told:
        try:
            with devices.use(self.settings.device):
                return Told(method(self, *args, **named))
        except DormantError as error:
            return Told(None, str(error))

    return told


class Worker:
    """Scores parts of an audit's cells.

    Nothing is done before it is asked: an error must reach the one who asks.

    Args:
        settings: The audit's.
        known: What its planning found out.
        folder: The working directory of whoever asks, so that relative names mean the same.
        threads: Processors it may use; their number may decide the last digit of a number.
    """

    def __init__(self, settings: AuditSettings, known: Known, folder: str, threads: int) -> None:
        self.settings, self._known = settings, known
        self._folder, self._threads = folder, threads
        self._open: tuple[Which, LM, str | None] | None = None
        self._stack = contextlib.ExitStack()

    @_in_one_line
    def begin(self) -> tuple[str, dict[str, Any], dict[str, str]]:
        """Plan, and say on which machine, what decides the numbers, and with which libraries.

        Raises:
            DormantError: As `dormant.audit.run.audit`.
        """
        if os.path.isdir(self._folder):  # noqa: PTH112 - a name from another machine
            os.chdir(self._folder)
        import torch

        torch.set_num_threads(self._threads)
        pair = pair_of(self.settings, {})
        training = Training.of(self.settings, pair)
        plans = training.plans(self.settings, pair, lambda _: self._known)
        self._pair = pair
        self._first = [ability.at(0) for ability in plans]
        self._plans = {ability.task.name: ability for ability in plans}
        decisive = recorded(self.settings, pair, plans, training)
        return socket.gethostname(), json.loads(json.dumps(decisive)), versions(*LIBRARIES)

    @_in_one_line
    def compare(self, parts: Sequence[Part]) -> Comparison:
        """Look at both models, before anything is scored.

        Args:
            parts: All that is going to be asked.

        Raises:
            DormantError: A model can't be loaded, or a prompt is too long for it.
        """
        gate = Gate(self.settings, self._pair, self._first)
        for which in self._pair.models():
            lm = self._opened(which)
            gate.look(which, lm)
            for part in parts:
                if part.cell.model == which:
                    self._refuse_long(lm, part)
        return gate.seen

    @_in_one_line
    def score(self, part: Part) -> Scored:
        """Put a part to its model.

        Raises:
            DormantError: The model can't be loaded, or fails.
        """
        which, task = part.cell.model, self._plans[part.cell.task].task
        lm = self._opened(which)
        style = self.settings.style(which)
        assert self._open is not None
        _, _, precision = self._open
        self._refuse_long(lm, part)
        if precision is None:
            precision = choose_precision(lm, self.settings, self._first, style) or ""
            self._open = which, lm, precision
        outcomes = score_cases(lm, task, self._cases(part), style)
        return Scored(outcomes, precision or None, self._pair.warnings())

    def _opened(self, which: Which) -> LM:
        """Return a model; the other one's memory is free first."""
        if self._open is not None and self._open[0] == which:
            return self._open[1]
        self._stack.close()
        self._open = None
        lm = self._stack.enter_context(self._pair.open(which))
        self._open = which, lm, None
        return lm

    def _cases(self, part: Part) -> Sequence[Case]:
        return some(self._plans[part.cell.task].cells[part.cell.transform].cases, part.items)

    def _refuse_long(self, lm: LM, part: Part) -> None:
        task = self._plans[part.cell.task].task
        refuse_long(lm, task, self._cases(part), self.settings.style(part.cell.model))
