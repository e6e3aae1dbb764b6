"""What is asked of every rung alike: memory that runs out, and what then is said."""

from __future__ import annotations

import pytest
import torch
from relearnt_runs import NOISE, RELEARN, TEACH

from audited_runs import kept, run, told
from dormant.audit import scoring
from dormant.audit.run_dir import RunDirectory
from dormant.finetuning import training
from dormant.report import write_report
from dormant.report.tables import latex_tables, transform_rows
from dormant.results import RUNGS
from dormant.scoring.forward import Forward
from dormant.scoring.memory import too_much

ON_EACH = {"prompt": "plain", "noise": "noise-0.1", "relearn": "other-task", "teach": "taught-16"}
"""A cell of each rung."""

pytestmark = pytest.mark.usefixtures("steps")


def logprobs(out):
    return {
        (one.model, one.transform, one.item): one.target_logprob
        for one in RunDirectory.read(out).all_outcomes()
    }


def test_where_memory_runs_out_at_any_rung_it_goes_on_in_halves(
    settings, truth, tmp_path, monkeypatch
):
    whole = run(settings, tmp_path / "whole")
    asked: dict[str, int] = {}
    trained: dict[str, list[int]] = {}
    real, real_loss = Forward.__call__, training.completion_loss

    def small(self, rows, mode, *, half):
        # Once a cell: what was too much is not tried again, so a cell's first pass is smaller.
        if truth.now in ON_EACH.values() and truth.now not in asked and len(rows) > 1:
            asked[truth.now] = len(rows)
            raise torch.OutOfMemoryError("no more")
        return real(self, rows, mode, half=half)

    def short(model, part, device):
        if truth.now in ON_EACH.values() and len(part) > 2:
            trained.setdefault(truth.now, []).append(len(part))
            raise torch.OutOfMemoryError("no more")
        return real_loss(model, part, device)

    monkeypatch.setattr(Forward, "__call__", small)
    monkeypatch.setattr(training, "completion_loss", short)
    results = run(settings, tmp_path / "short")
    assert [*asked] == [*ON_EACH.values()]
    # Eight examples, and both halves of them, for each model; then it is known.
    assert trained == {"other-task": [8, 4, 4] * 2, "taught-16": [8, 4, 4] * 2}
    (ability,) = results.abilities
    assert ability.not_tried == []
    assert [one.rung for one in ability.rungs] == list(RUNGS)
    assert ability.verdict == whole.abilities[0].verdict == "forgotten"
    first, second = logprobs(tmp_path / "whole"), logprobs(tmp_path / "short")
    assert first.keys() == second.keys()
    for place, known in first.items():
        # Halves are the same but for rounding.
        assert second[place] == pytest.approx(known, abs=1e-3), place


@pytest.mark.parametrize("missing", [("noise-0.1",), RELEARN, ("taught-4",)])
def test_where_a_single_prompt_is_too_much_the_cell_is_named(
    settings, truth, tmp_path, monkeypatch, missing
):
    real = scoring.score_cases

    def score(*given):
        if truth.now in missing:
            raise too_much()
        return real(*given)

    with monkeypatch.context() as short:
        short.setattr(scoring, "score_cases", score)
        results = run(settings, tmp_path / "run")
    (ability,) = results.abilities
    (why,) = {one.reason for one in ability.not_tried}
    assert why.startswith("out of memory on a single prompt")
    # A rung of which nothing is left is named as a whole.
    names = ["the relearn rung"] if missing == RELEARN else [*missing]
    said = f"Not tried: {', '.join(f'{name} ({why})' for name in names)}."
    assert said in ability.reason
    page = write_report(results, (), tmp_path / "page.html", "html")
    assert said in page.read_text(encoding="utf-8")
    assert why in latex_tables(results)
    assert all(why in str(row["not_tried"]) for row in transform_rows(results))
    there = [cell.name for cell in ability.transforms]
    assert there == [
        name for name in ("leetspeak", *NOISE, *RELEARN, *TEACH) if name not in missing
    ]
    # What is left of the trainings says it.
    assert (ability.verdict, ability.rung) == ("forgotten", "teach")
    # The same command on a machine with room goes on with what is missing.
    again = run(settings, tmp_path / "run")
    assert again.abilities[0].not_tried == []
    assert told(again) == told(run(settings, tmp_path / "whole"))
    assert kept(tmp_path / "run") == kept(tmp_path / "whole")
