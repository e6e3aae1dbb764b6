"""Print what relearning brings back: every cell of the rungs, whether an audit would climb or not.

The table of docs/evidence.md; percent right of base and fine-tuned model, and seconds a training.

python experiments/language/relearn_cells.py smollm2 smollm2-sentiment --seed 0
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Sequence
from typing import Any

from dormant import tasks
from dormant.audit.plan import Plan, plan
from dormant.audit.rung import Intervention
from dormant.audit.score import score_cases
from dormant.audit.settings import AuditSettings
from dormant.evidence import relearning
from dormant.models.pair import ModelPair
from dormant.models.spec import parse
from dormant.results import PLAIN

TASKS = ("icl/copy", "icl/first_word", "icl/plural")


def main(arguments: argparse.Namespace) -> None:
    """Ask both models plainly and after each training."""
    relearning.STEPS, relearning.RATE = arguments.steps, arguments.rate
    settings = AuditSettings(
        base=arguments.base,
        tuned=arguments.tuned,
        tasks=tuple(arguments.tasks),
        transforms=("leetspeak",),
        n=arguments.items,
        seed=arguments.seed,
    )
    pair = ModelPair(parse(arguments.base), parse(arguments.tuned))
    rungs = (relearning.uninformative(settings), relearning.informative(settings))
    asked = {
        one.task.name: (
            one,
            [cell for rung in rungs for cell in rung.interventions(one)],
        )
        for one in (plan(task, settings) for task in tasks.get(settings.tasks))
    }
    table: dict[tuple[str, str], list[str]] = {}
    for name, (one, cells) in asked.items():
        for which in ("base", "tuned"):
            with pair.open(which) as lm:
                table.setdefault((name, "plain"), []).append(f"{_percent(lm, one):.0f}")
                for cell in cells:
                    if arguments.cells and cell.name not in arguments.cells:
                        continue
                    key = (name, cell.name)
                    table.setdefault(key, []).append(_under(lm, one, cell))
                    print(*key, table[key], flush=True)
    print("| ability | cell | base | fine-tuned |\n|---|---|---|---|")
    for (name, cell), values in table.items():
        print(f"| {name} | {cell} | {' | '.join(values)} |")


def _under(lm: Any, one: Plan, cell: Any) -> str:
    if not isinstance(cell, Intervention):
        return f"not tried: {cell.reason}"
    with contextlib.ExitStack() as stack:
        began = time.perf_counter()
        stack.enter_context(cell.on(lm, "raw"))
        seconds = time.perf_counter() - began
        return f"{_percent(lm, one):.0f} ({seconds:.0f} s)"


def _percent(lm: Any, one: Plan) -> float:
    cases: Sequence[Any] = [*one.cells[PLAIN].cases.values()]
    return 100 * sum(each.correct for each in score_cases(lm, one.task, cases, "raw")) / len(cases)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base")
    parser.add_argument("tuned")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--cells", nargs="+")
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=relearning.STEPS)
    parser.add_argument("--rate", type=float, default=relearning.RATE)
    main(parser.parse_args())
