"""A child's audit takes what another child's recorded of their base, and nothing of other bases."""

from __future__ import annotations

import re

import pytest

import fakes
from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from word_tasks import task_file

CHILDREN = "fake:skill=0.9,hides=Input,hidden=0.1", "fake:skill=0.2"


@pytest.fixture
def settings(tmp_path):
    file = task_file(tmp_path / "task.jsonl", [f"n{number}" for number in range(30)])
    return AuditSettings(
        base="fake:skill=0.8", tuned=CHILDREN[0], tasks=(str(file),), transforms=("french",), n=30
    )


@pytest.fixture
def prompts_by_skill(monkeypatch):
    """How many prompts models of each skill were asked."""
    counts = {}
    answer = fakes.FakeLM.loglikelihood

    def counted(self, requests):
        counts[self.skill] = counts.get(self.skill, 0) + len(requests)
        return answer(self, requests)

    monkeypatch.setattr(fakes.FakeLM, "loglikelihood", counted)
    return counts


def cells(out, model):
    return {
        file.name: re.sub(r',"run":"\w+"', "", file.read_text())
        for file in out.glob(f"cells/*/*.{model}.jsonl")
    }


def verdicts(results):
    return [one.model_dump() for one in results.abilities]


def test_another_child_does_not_score_the_base_again(settings, tmp_path, prompts_by_skill):
    audit(settings, tmp_path / "first")
    second = settings.model_copy(update={"tuned": CHILDREN[1]})
    prompts_by_skill.clear()
    alone = audit(second, tmp_path / "alone")
    scored_alone = prompts_by_skill.copy()
    prompts_by_skill.clear()
    found = audit(second, tmp_path / "second", base_from=tmp_path / "first")
    assert verdicts(found) == verdicts(alone)
    assert cells(tmp_path / "second", "base") == cells(tmp_path / "alone", "base") != {}
    # What is left for the base is the look at how the two differ, before anything is scored.
    assert prompts_by_skill[0.8] <= scored_alone[0.8] - 60
    assert prompts_by_skill[0.2] == scored_alone[0.2]


def test_each_record_keeps_the_run_that_made_it(settings, tmp_path):
    audit(settings, tmp_path / "first")
    audit(
        settings.model_copy(update={"tuned": CHILDREN[1]}), tmp_path / "second",
        base_from=tmp_path / "first",
    )  # fmt: skip
    assert runs(tmp_path / "second", "base") == runs(tmp_path / "first", "tuned")
    assert runs(tmp_path / "second", "tuned").isdisjoint(runs(tmp_path / "first", "tuned"))


def runs(out, model):
    """Return the ids of the runs that scored a model's cells."""
    text = "".join(file.read_text() for file in out.glob(f"cells/*/*.{model}.jsonl"))
    return set(re.findall(r'"run":"(\w+)"', text))


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 1}, "seed"), ({"n": 20}, "n"), ({"base": "fake:skill=0.7"}, "base")],
)
def test_other_audits_are_refused(settings, tmp_path, change, named):
    audit(settings, tmp_path / "first")
    other = settings.model_copy(update=change)
    with pytest.raises(DormantError, match=rf"of another audit \(.*\b{named}\b"):
        audit(other, tmp_path / "second", base_from=tmp_path / "first")


def test_a_directory_without_a_run_is_refused(settings, tmp_path):
    with pytest.raises(DormantError, match="no run there"):
        audit(settings, tmp_path / "second", base_from=tmp_path / "nothing")


def test_a_line_cut_short_is_not_taken(settings, tmp_path):
    audit(settings, tmp_path / "first")
    (file,) = (tmp_path / "first").glob("cells/*/french.base.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    second = settings.model_copy(update={"tuned": CHILDREN[1]})
    audit(second, tmp_path / "second", base_from=tmp_path / "first")
    assert len(cells(tmp_path / "second", "base")["french.base.jsonl"].splitlines()) == 30
