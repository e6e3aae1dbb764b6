"""The sample of an audit's prompts by which a scorer chooses its arithmetic."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dormant.audit.lazy_cases import some
from dormant.audit.plan import Plan
from dormant.audit.score import continuations, ranks_answers, rendered
from dormant.audit.settings import AuditSettings, Style
from dormant.prompts.case import Case
from dormant.results import PLAIN
from dormant.scoring.harness import scorer_of
from dormant.scoring.protocol import SURE_VERDICTS
from dormant.tasks.task import GenerativeTask, Task

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_WORTH = 2
"""How many times as many prompts as are tried a run has at least: below, float32 is faster."""
_SHARE = 0.02
"""Share of a run's verdicts that are computed in both arithmetics, where it is more than 300."""


def choose_precision(
    lm: LM, settings: AuditSettings, plans: Sequence[Plan], style: Style
) -> str | None:
    """Let a scorer choose its arithmetic by prompts of the audit: the same when it is resumed.

    Args:
        lm: One of the two models.
        settings: The audit's.
        plans: What is asked.
        style: Raw prompts, or the model's chat template, where the case doesn't say.

    Returns:
        One line on what was chosen and why; `None` where there was nothing to choose.
    """
    asked = [ability for ability in plans if hangs_on_margins(ability.task)]
    return choose_on(
        lm,
        [ability.cells[name].cases for ability in asked for name in ability.cells],
        [ability.cells[PLAIN].cases for ability in asked],
        style,
        models=1 if settings.base is None else 2,
    )


def hangs_on_margins(task: Task) -> bool:
    """Say whether success is that greedy decoding begins with an answer: what rounding changes."""
    return not isinstance(task, GenerativeTask) and not ranks_answers(task)


def choose_on(
    lm: LM,
    scored: Sequence[Mapping[str, Case]],
    plain: Sequence[Mapping[str, Case]],
    style: Style,
    *,
    models: int = 2,
) -> str | None:
    """Let a scorer choose its arithmetic by prompts of whose answers it is asked the likeliest.

    Args:
        lm: A model.
        scored: Cases of each cell that it is to score, by their items.
        plain: Some of these, by which the answers to a prompt are counted.
        style: Raw prompts, or the model's chat template, where the case doesn't say.
        models: How many models share the sure verdicts that are compared.

    Returns:
        One line on what was chosen and why; `None` where there was nothing to choose.
    """
    scorer = scorer_of(lm)
    total = sum(map(len, scored))
    if not total or not scorer.chooses_precision():
        return None
    counted = _sample(plain, len(plain))
    each = statistics.fmean(len(continuations(case, style)) for case in counted)
    verdicts = max(SURE_VERDICTS // models, round(_SHARE * each * total))
    pays = total >= _WORTH * verdicts / each
    # Up to half of the prompts may be near ties, which tell nothing.
    count = math.ceil(2 * verdicts / each) if pays else 0
    sample = _sample(scored, count)
    return scorer.choose_precision(
        [rendered(lm, case, case.prompt, style) for case in sample],
        [continuations(case, style) for case in sample],
        verdicts=verdicts,
    )


def _sample(scored: Sequence[Mapping[str, Case]], count: int) -> list[Case]:
    """Return one case of each cell, then another of each: every beginning is a sample of all."""
    turns = (
        (cell, item)
        for items in itertools.zip_longest(*scored)
        for cell, item in enumerate(items)
        if item is not None
    )
    chosen = list(itertools.islice(turns, count))
    # The texts of a cell are made together.
    made = {
        cell: iter(some(cases, [item for other, item in chosen if other == cell]))
        for cell, cases in enumerate(scored)
    }
    return [next(made[cell]) for cell, _ in chosen]
