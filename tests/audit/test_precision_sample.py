"""By how many prompts a scorer chooses its precision."""

from __future__ import annotations

from dormant import tasks
from dormant.audit import run
from dormant.audit.plan import plan
from dormant.audit.settings import AuditSettings
from fakes import FakeLM


def test_two_cells_make_a_sample_of_32():
    settings = AuditSettings(base=None, tuned="x", transforms=("leetspeak",), n=40)
    (task,) = tasks.get(("icl/copy",))
    prompts, answers = run._sample(FakeLM(), [plan(task, settings)], "raw")
    assert len(prompts) == len(answers) == 32
    assert len(set(prompts)) == 32
