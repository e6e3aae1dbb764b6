"""A recovery's models choose their arithmetic once each, by the prompts that decide."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from dormant import tasks
from dormant.recovery import arithmetic
from dormant.recovery.arithmetic import Arithmetics
from dormant.tasks.skill import SkillTask


class Model:
    """Chooses; what it chose is a number that no other call gives."""

    made = 0

    def __init__(self):
        self.precision = None

    def chooses_precision(self):
        return True


@pytest.fixture
def asked(monkeypatch):
    seen = []

    def choose_on(lm, scored, plain, style):
        seen.append([len(cell) for cell in scored])
        Model.made += 1
        lm.precision = Model.made

    monkeypatch.setattr(arithmetic, "scorer_of", lambda lm: lm)
    monkeypatch.setattr(arithmetic, "choose_on", choose_on)
    return seen


def cases(name, count):
    (task,) = tasks.get([name])
    return task, [
        task.case(item, language="english", shots=0, seed=0) for item in task.pool()[:count]
    ]


def test_a_model_that_is_opened_again_has_what_it_chose(asked):
    every = Arithmetics("raw")
    every.choose_by([cases("icl/copy", 5), cases("icl/antonym", 3), cases("refusal/answers", 2)])
    first, other, again = Model(), Model(), Model()
    for name, lm in (("base", first), ("tuned", other), ("base", again)):
        every.choose(name, lm)
    assert first.precision == again.precision != other.precision
    # Generated answers hang on no likelihoods.
    assert asked == [[5, 3], [5, 3]]


def test_nothing_is_chosen_where_likelihoods_are_what_is_measured(asked, tmp_path):
    file = tmp_path / "long.jsonl"
    row = {"prompt": "Tell me more.", "completion": "A long text of its own, " * 30}
    file.write_text("\n".join(json.dumps(row | {"prompt": f"{n}"}) for n in range(40)))
    task = SkillTask(file, lambda messages: "")
    assert task.by_likelihood
    every = Arithmetics("raw")
    every.choose_by([cases("icl/copy", 5), (task, [])])
    every.choose("base", SimpleNamespace())
    assert asked == []
