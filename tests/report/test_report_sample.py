"""The page's sample of items: bounded, whole items only, the same whatever the order."""

import random
import tracemalloc
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from report_fixtures import RATES, outcomes

from dormant.report.sample import sample_items
from dormant.results import ItemOutcome

TASKS = list(RATES)


def test_all_items_when_they_fit() -> None:
    sample = sample_items(outcomes(12), TASKS)
    assert sample.shown == sample.total == dict.fromkeys(TASKS, 12)
    assert sample.unmatched == 0
    records = sum(len(models) for item in sample.items for models in item["c"].values())
    assert records == len(list(outcomes(12)))
    names = [item["i"] for item in sample.items if item["a"] == 0]
    assert names == sorted(names)


def test_a_cell_tells_its_record() -> None:
    record = next(outcomes(1)).model_copy(
        update={
            "target_logprob": -1.23456,
            "distractor_logprob": -float("inf"),
            "other_logprobs": (float("nan"), -2.0),
            "label": "REFUSE",
            "output": "No.",
        }
    )
    (item,) = sample_items([record], TASKS).items
    cell = item["c"]["plain"]["base"]
    strings = item["s"]
    assert strings[cell["p"]] == record.prompt
    assert strings[cell["t"]] == record.target
    assert strings[cell["d"]] == record.distractor
    assert (strings[cell["label"]], strings[cell["out"]]) == ("REFUSE", "No.")
    assert (cell["l"], cell["m"], cell["x"]) == (-1.235, "−∞", [None, -2.0])
    assert (cell["ok"], cell["g"], cell["h"]) == (
        record.correct,
        record.target_greedy,
        record.distractor_greedy,
    )


def test_nothing_is_shown_that_was_not_recorded() -> None:
    record = next(outcomes(1))
    assert record.output is None
    (item,) = sample_items([record], TASKS).items
    assert not {"out", "label", "x"} & set(item["c"]["plain"]["base"])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), max_bytes=st.integers(0, 60_000))
def test_order_does_not_matter_and_items_are_whole(seed: int, max_bytes: int) -> None:
    records = list(outcomes(10, ("icl/copy", "icl/capital")))
    shuffled = records.copy()
    random.Random(seed).shuffle(shuffled)
    first = sample_items(records, TASKS, max_bytes)
    second = sample_items(shuffled, TASKS, max_bytes)
    assert [(i["a"], i["i"]) for i in first.items] == [(i["a"], i["i"]) for i in second.items]
    assert first.shown["icl/copy"] >= 1
    assert first.total["icl/copy"] == 10
    for item in first.items + second.items:
        assert len(item["c"]) == 7
        assert all(set(models) == {"base", "tuned"} for models in item["c"].values())


def test_more_room_only_adds_items() -> None:
    before: set[tuple[int, str]] = set()
    sizes = []
    for max_bytes in (0, 20_000, 60_000, 200_000, 10**7):
        kept = {(i["a"], i["i"]) for i in sample_items(outcomes(40), TASKS, max_bytes).items}
        assert before <= kept
        before = kept
        sizes.append(len(kept))
    assert sizes[0] == len(TASKS)
    assert sizes[-1] == 40 * len(TASKS)
    assert len(set(sizes)) > 3


def test_strangers_are_counted() -> None:
    sample = sample_items(outcomes(3), ["icl/copy"])
    assert sample.unmatched == 3 * 7 * 2 * 3
    assert {item["a"] for item in sample.items} == {0}


def test_memory_is_bounded() -> None:
    template = next(outcomes(1))

    def many() -> Iterator[ItemOutcome]:
        for index in range(20_000):
            yield template.model_copy(
                update={"item": f"item-{index}", "prompt": f"{index} " + "x" * 4000}
            )

    tracemalloc.start()
    sample = sample_items(many(), TASKS, 400_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sample.total["icl/copy"] == 20_000
    # 80 MB went through; a quarter of the room was this ability's.
    assert 10 <= sample.shown["icl/copy"] <= 25
    assert peak < 6_000_000
