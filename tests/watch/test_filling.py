"""What is told of cells whose batches are scored elsewhere."""

from __future__ import annotations

from begun import LOST

from dormant.audit.filling import Filling
from dormant.audit.plan import Batch
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.results import ItemOutcome


class Cut:
    """All that is asked of a plan here."""

    def __init__(self):
        self.rungs = {"noise-1": "noise"}


def outcome(item: str) -> ItemOutcome:
    return ItemOutcome(
        model="tuned", task="t", transform="noise-1", item=item, prompt="", target="",
        target_greedy=True, correct=item != "b",
    )  # fmt: skip


def test_a_cell_begins_before_its_first_batch_is_told(tmp_path):
    run = RunDirectory.start(tmp_path / "x", {"base": None, "tuned": LOST}, {})
    told = []
    filling = Filling(told.append)
    key = CellKey("tuned", "t", "noise-1")
    work = [Batch(key, Cut(), items, 1) for items in (["a", "b"], ["c"])]
    filling.plan(run, work, [False, False])
    for batch in work:
        filling.kept(run, batch, [outcome(item) for item in batch.items])
    run.close()
    assert [event.event for event in told] == [
        "planned", "cell-started", "cell-progress", "cell-done"
    ]  # fmt: skip
    cells = [event.cell for event in told[1:]]
    assert [(cell.done, cell.correct, cell.n) for cell in cells] == [
        (0, 0, 3),
        (2, 1, 3),
        (3, 2, 3),
    ]
    assert {cell.rung for cell in cells} == {"noise"}


def test_nobody_is_told_nothing(tmp_path):
    filling = Filling(None)
    key = CellKey("tuned", "t", "noise-1")
    batch = Batch(key, Cut(), ["a"], 1)
    filling.plan(RunDirectory(tmp_path, {"id": ""}), [batch], [False])
    filling.kept(RunDirectory(tmp_path, {"id": ""}), batch, [outcome("a")])
