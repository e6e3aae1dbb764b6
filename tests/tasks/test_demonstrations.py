"""Demonstrations: drawn for each item, or the same before all."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fakes  # noqa: F401  (registers the backend)
from dormant import tasks
from dormant.audit.plan import plan
from dormant.audit.settings import AuditSettings
from dormant.results import PLAIN
from dormant.tasks.demonstrations import draw_demonstrations, same_for_all

NAMES = [f"n{number}" for number in range(40)]


def drawn(item, shots, seed):
    others = [name for name in NAMES if name != item]
    return draw_demonstrations("mine", item, others, shots, seed)


@given(st.integers(1, 6), st.integers(0, 50))
def test_all_items_have_the_same_but_those_that_are_among_them(shots, seed):
    with same_for_all():
        shown = {item: drawn(item, shots, seed) for item in NAMES}
    (usual, count), *_ = Counter(map(tuple, shown.values())).most_common()
    assert count == len(NAMES) - shots
    for item in usual:
        others = [name for name in usual if name != item]
        assert shown[item][:-1] == others
        assert shown[item][-1] not in usual


def test_seeds_and_tasks_have_others():
    with same_for_all():
        assert len({tuple(drawn("n0", 3, seed)) for seed in range(20)}) > 15
        other = draw_demonstrations("other", "n0", NAMES[1:], 3, 0)
        assert other != drawn("n0", 3, 0)
    assert drawn("n0", 3, 0) != drawn("n1", 3, 0)


@pytest.mark.parametrize("name", ["icl/copy", "icl/antonym", "icl_vs_if/repeat-blank", "rule/date"])
def test_an_audit_puts_the_same_demonstrations_before_all_items_in_every_language(name):
    settings = AuditSettings(
        base="fake:", tuned="fake:", tasks=(name,), transforms=("french", "leetspeak"), n=30,
        demonstrations="fixed",
    )  # fmt: skip
    (task,) = tasks.get([name])
    cells = plan(task, settings).cells
    for transform in (PLAIN, "french", "leetspeak"):
        prompts = [case.prompt for case in cells[transform].cases.values()]
        before = Counter("\n\n".join(text.split("\n\n")[:-1]) for text in prompts)
        assert before.most_common(1)[0][1] >= len(prompts) - 2
    plainly = plan(task, settings.model_copy(update={"demonstrations": "drawn"})).cells[PLAIN]
    before = Counter("\n\n".join(c.prompt.split("\n\n")[:-1]) for c in plainly.cases.values())
    assert before.most_common(1)[0][1] < 5


def test_a_users_task_has_them_too(tmp_path):
    rows = ['{"name": "mine/t", "title": "t", "shots": 2, "languages": {"english": {}}}']
    rows += [
        f'{{"language": "english", "id": "{n}", "input": "{n}", "target": "x{n}"}}' for n in NAMES
    ]
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(rows))
    (task,) = tasks.get([str(file)])
    with same_for_all():
        prompts = [task.case(n, language="english", shots=2, seed=0).prompt for n in NAMES]
    before = Counter("\n\n".join(text.split("\n\n")[:-1]) for text in prompts)
    assert before.most_common(1)[0][1] == len(NAMES) - 2
