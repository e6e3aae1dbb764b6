"""By which prompts a scorer chooses its arithmetic."""

from __future__ import annotations

import pytest

from dormant import tasks
from dormant.audit import arithmetic
from dormant.audit.plan import plan
from dormant.audit.settings import AuditSettings
from fakes import FakeLM


class Scorer:
    """Notes what it is asked to choose by."""

    chooses = True

    def chooses_precision(self):
        return self.chooses

    def choose_precision(self, prompts, answers, *, verdicts):
        self.prompts, self.verdicts = prompts, verdicts
        return "chosen"


def chosen_by(monkeypatch, n, base):
    scorer = Scorer()
    monkeypatch.setattr(arithmetic, "scorer_of", lambda lm: scorer)
    settings = AuditSettings(base=base, tuned="x", transforms=("leetspeak", "rot13"), n=n)
    plans = [plan(task, settings) for task in tasks.get(("icl/copy", "icl/plural"))]
    assert arithmetic.choose_precision(FakeLM(), settings, plans, "raw") == "chosen"
    return scorer, plans


@pytest.mark.parametrize(("base", "verdicts"), [("y", 150), (None, 300)])
def test_half_of_the_verdicts_are_compared_in_each_model(monkeypatch, base, verdicts):
    scorer, _ = chosen_by(monkeypatch, 120, base)
    assert scorer.verdicts == verdicts
    assert len(scorer.prompts) > 32 + verdicts


def test_every_beginning_is_of_all_cells(monkeypatch):
    scorer, plans = chosen_by(monkeypatch, 120, "y")
    firsts = {cases[next(iter(cases))].prompt for ability in plans
              for cases in (cell.cases for cell in ability.cells.values())}  # fmt: skip
    assert set(scorer.prompts[:6]) == firsts


def test_nothing_is_made_where_there_is_nothing_to_choose(monkeypatch):
    monkeypatch.setattr(arithmetic, "scorer_of", lambda lm: scorer)
    monkeypatch.setattr(arithmetic, "_sample", lambda *given: pytest.fail("a sample was made"))
    scorer = Scorer()
    scorer.chooses = False
    settings = AuditSettings(base="y", tuned="x", n=120)
    plans = [plan(task, settings) for task in tasks.get(("icl/copy",))]
    assert arithmetic.choose_precision(FakeLM(), settings, plans, "raw") is None


def test_a_run_that_is_too_short_makes_no_sample(monkeypatch):
    scorer, _ = chosen_by(monkeypatch, 20, "y")
    assert scorer.prompts == []
