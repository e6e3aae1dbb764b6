"""Pools that grow: samples of the first edition stay what they were, and more items come behind."""

from __future__ import annotations

import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from dormant import tasks
from dormant.audit.sample import ItemSample
from dormant.audit.transformed import plain_cases, transformed_cases
from dormant.tasks import icl
from dormant.tasks.task import draw_items, items_in, stages_of

FIRST_EDITION = {
    "icl/copy": (120, "0f3dabe687fa68cc"),
    "icl/uppercase": (120, "a258de489bc3d30f"),
    "icl/first_word": (120, "98376ecf03e4155b"),
    "icl/last_word": (120, "6f85d59cc7688a33"),
    "icl/antonym": (68, "401575a8513d6692"),
    "icl/plural": (120, "9fbfafdfdf1f34df"),
    "icl/capital": (83, "8c1c2a08c56221f8"),
    "recall/continue": (120, "eb2a159d7d8f58c0"),
    "recall/capital": (83, "42ebb90ff709d9ea"),
}
"""How many items the demo took, or the whole pool had, and a hash of their prompts at the time."""


@pytest.mark.parametrize("name", FIRST_EDITION)
def test_samples_of_the_first_edition_have_the_same_prompts(name):
    (task,) = tasks.get([name])
    n, wanted = FIRST_EDITION[name]
    digest = hashlib.sha256()
    for seed in (0, 1):
        for item in draw_items(task, n, seed):
            for language in task.languages():
                case = task.case(item, language=language, shots=2, seed=seed)
                digest.update(json.dumps([item, case.prompt, case.answers]).encode())
    assert digest.hexdigest()[:16] == wanted


GROWN = [name for name, task in tasks.shipped().items() if hasattr(task, "stages")]


@pytest.mark.parametrize("name", [name for name in GROWN if len(tasks.shipped()[name].stages) > 1])
def test_a_larger_sample_holds_the_smaller_ones(name):
    (task,) = tasks.get([name])
    stages = stages_of(task)
    pool = task.pool()
    assert list(stages) == sorted(set(stages))
    assert stages[-1] == len(pool) == len(set(pool))
    assert set(draw_items(task, stages[0], 3)) == set(pool[: stages[0]])
    sizes = sorted({stages[0], *(at for end in stages[1:] for at in (end - 40, end - 1, end))})
    drawn = [set(draw_items(task, n, 3)) for n in sizes]
    assert [len(items) for items in drawn] == sizes
    for smaller, larger in pairwise(drawn):
        assert smaller < larger
    other = draw_items(task, sizes[1], 4)
    assert set(other) != drawn[1]
    assert list(other) == [item for item in pool if item in set(other)]


@pytest.mark.parametrize("name", GROWN)
def test_new_items_are_put_with_demonstrations_of_the_first_edition(name):
    """So that an item's prompt doesn't change when the pool grows again."""
    (task,) = tasks.get([name])
    if not name.startswith("icl/"):
        pytest.skip("has no demonstrations")
    first = {icl.texts("english").pairs[task.ability][key] for key in task.pool()[: task.stages[0]]}
    for item in task.pool()[task.stages[0] :]:
        case = task.case(item, language="english", shots=3, seed=0)
        shown = [one.text for one in case.segments if one.role in ("input", "output")]
        assert len(shown) == 6
        assert set(zip(shown[::2], shown[1::2], strict=True)) <= first
        (query,) = (one.text for one in case.segments if one.role == "query")
        assert query not in shown
        assert case.target.text not in shown or task.ability in ("first_word", "last_word")


def test_an_item_has_the_same_demonstrations_in_every_language():
    (task,) = tasks.get(["icl/antonym"])
    for item in (task.pool()[3], task.pool()[100]):
        keys = []
        for language in task.languages():
            pairs = icl.texts(language).pairs["antonym"]
            case = task.case(item, language=language, shots=4, seed=1)
            texts = [one.text for one in case.segments if one.role in ("input", "output")]
            by_pair = {pair: key for key, pair in pairs.items()}
            keys.append([by_pair[pair] for pair in zip(texts[::2], texts[1::2], strict=True)])
        assert keys == keys[:1] * len(keys)


@pytest.mark.parametrize("name", GROWN)
def test_all_but_the_last_stage_have_text_in_every_language(name):
    (task,) = tasks.get([name])
    for language in task.languages():
        here = items_in(task, language)
        assert set(here) <= set(task.pool())
        common = stages_of(task)[:2][-1]
        assert set(task.pool()[:common]) <= set(here)


class Half:
    """A task that lacks every other item in its second language."""

    name, title, measure, chance, default_shots, version = "half", "Half", "greedy", 0.0, 0, "1"

    def languages(self):
        return ("english", "french")

    def pool(self):
        return tuple(tasks.get(["icl/plural"])[0].pool()[:10])

    def items_in(self, language):
        return self.pool() if language == "english" else self.pool()[::2]

    def case(self, item, *, language, shots, seed):
        assert item in self.items_in(language)
        (task,) = tasks.get(["icl/plural"])
        return task.case(item, language=language, shots=shots, seed=seed)


@pytest.mark.parametrize("name", ["french", "french+leetspeak", "french+probe:labels"])
def test_items_without_text_in_a_language_are_left_out_of_its_cells(name):
    task = Half()
    sample = ItemSample.of(task, n=10, shots=None, seed=0)
    assert len(plain_cases(task, sample).cases) == 10
    made = transformed_cases(task, sample, name)
    assert list(made.cases) == list(task.pool()[::2])
    assert made.excluded == dict.fromkeys(task.pool()[1::2], "no text in french")


def test_the_page_of_tasks_has_the_counts():
    page = (Path(__file__).parents[2] / "docs/tasks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\S+)` \| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert [name for name, *_ in rows] == GROWN
    for name, *counts in rows:
        stages = stages_of(tasks.shipped()[name])
        assert [*map(int, counts)] == [stages[0], stages[:2][-1], stages[-1]], name
