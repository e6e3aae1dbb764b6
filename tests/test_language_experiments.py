"""experiments/language: the paper's Table 1 of a run, and the law of closeness."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fakes  # noqa: F401
from dormant.audit.run_dir import RunDirectory
from dormant.results import Estimate
from word_tasks import task_file

sys.path.insert(0, str(Path(__file__).parents[1]))

from experiments.language import closeness_law, table1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    import dormant as dm

    folder = tmp_path_factory.mktemp("run")
    files = []
    for name in ("one", "two"):
        file = task_file(folder / f"{name}.jsonl", [f"{name}{n}" for n in range(60)])
        file.write_text(file.read_text().replace("mine/words", f"mine/{name}"))
        files.append(str(file))
    dm.audit(
        "fake:skill=0.9", "fake:skill=0.9,hides=Input,hidden=0.1", tasks=files, n=60,
        transforms=["french"], out=folder / "run", progress=False, closeness=True,
        evidence="prompt",
    )  # fmt: skip
    return RunDirectory.read(folder / "run")


def test_table_1_is_the_mean_of_the_tasks(run):
    results = run.results()
    (tasks,) = table1.pairs([run.path]).values()
    plain, french = table1.lines(tasks)
    assert (plain.name, french.name) == ("plain", "french")
    drops = [one.drop for one in results.abilities]
    assert plain.drop.estimate == pytest.approx(sum(one.estimate for one in drops) / 2)
    assert plain.base.estimate - plain.tuned.estimate == pytest.approx(plain.drop.estimate)
    # Two tasks tell more than one, and less than if they were the same items twice.
    width = plain.drop.high - plain.drop.low
    assert width == pytest.approx((drops[0].high - drops[0].low) / 2**0.5, rel=0.15)
    assert abs(french.drop.estimate) < 0.05 < 0.5 < plain.drop.estimate
    assert table1.table([plain]).splitlines()[2].startswith("| plain | ")


def test_runs_of_one_pair_are_one_table_of_the_transforms_that_all_have(run, tmp_path):
    import dormant as dm

    file = tmp_path / "three.jsonl"
    file.write_text(
        task_file(tmp_path / "words.jsonl", [f"three{n}" for n in range(60)])
        .read_text()
        .replace("mine/words", "mine/three")
    )
    dm.audit(
        "fake:skill=0.9", "fake:skill=0.9,hides=Input,hidden=0.1", tasks=[str(file)], n=40,
        transforms=["leetspeak"], out=tmp_path / "run", progress=False, evidence="prompt",
    )  # fmt: skip
    (tasks,) = table1.pairs([run.path, tmp_path / "run"]).values()
    assert [one.ability.task for one in tasks] == ["mine/one", "mine/two", "mine/three"]
    (plain,) = table1.lines(tasks)
    drops = [one.ability.drop.estimate for one in tasks]
    assert plain.drop.estimate == pytest.approx(sum(drops) / 3)


def test_intervals_of_means_are_movers():
    parts = [Estimate(estimate=0.5, low=0.4, high=0.8), Estimate(estimate=0.1, low=0.1, high=0.5)]
    found = table1.mean(parts)
    assert found.estimate == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - 0.1 / 2)
    assert found.high == pytest.approx(0.3 + 0.5 / 2)


def frame(slope, seed=0, tasks=12, items=20):
    """Prompts whose chance to be kept depends on closeness, on their item and on nothing else."""
    draw = np.random.default_rng(seed)
    rows = []
    for task in range(tasks):
        far = draw.normal()
        for item in range(items):
            luck = draw.normal()
            for transform in ("plain", "french"):
                close = far + draw.normal() - (transform == "french")
                kept = 1 / (1 + np.exp(-(slope * close + luck)))
                rows.append(
                    {
                        "task": f"t{task}", "transform": transform, "item": f"t{task}/{item}",
                        "base": True, "tuned": draw.random() < kept, "closeness": close,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_a_difference_of_abilities_is_no_law_within_them():
    """Abilities that are close lose more, and of their prompts the close ones don't."""
    draw = np.random.default_rng(1)
    rows = [
        {
            "task": f"t{task}", "transform": "plain", "item": f"t{task}/{item}", "base": True,
            "tuned": draw.random() < 1 / (1 + np.exp(2.0 * (task - 5.5) / 3.5)),
            "closeness": task + 0.5 * draw.normal(),
        }
        for task in range(12)
        for item in range(30)
    ]  # fmt: skip
    confounded = pd.DataFrame(rows)
    assert closeness_law.kept_by_closeness(confounded)[2] < -1
    _, low, high = closeness_law.kept_by_closeness(confounded, within=True)
    assert low < 0 < high
    # What is so within them stays.
    assert closeness_law.kept_by_closeness(frame(-1.5), within=True)[2] < 0


def test_a_law_is_found_where_there_is_one():
    middle, low, high = closeness_law.kept_by_closeness(frame(-1.5))
    assert high < 0
    assert low < middle < high
    found = closeness_law.kept_by_closeness(frame(0.0))
    assert found[1] < 0 < found[2]
    lost = frame(-1.5).assign(tuned=True)
    assert closeness_law.kept_by_closeness(lost) is None


def test_a_forecast_ranks_cells():
    point, low, high, cells, tasks = closeness_law.forecast(frame(-3.0, items=40), resamples=200)
    assert (cells, tasks) == (24, 12)
    assert 0.5 < low < point <= 1
    plain = closeness_law.forecast(frame(-3.0, items=40), plain_only=True, resamples=200)
    assert (plain.cells, plain.tasks) == (12, 12)
    _, low, high, *_ = closeness_law.forecast(frame(0.0), resamples=200)
    assert low < 0 < high


def test_the_commands_print_their_tables(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", str(run.path), "--figure", str(tmp_path / "one.png")])
    table1.main()
    assert "| french |" in capsys.readouterr().out
    assert (tmp_path / "one.png").stat().st_size > 5000
    drawn = tmp_path / "law.png"
    monkeypatch.setattr(sys, "argv", ["x", str(run.path), "--figure", str(drawn)])
    closeness_law.main()
    assert drawn.stat().st_size > 5000
    said = capsys.readouterr().out
    assert "2 plain cells of 2 abilities" in said
    assert "4 cells of 2 abilities" in said
    assert said.count("log-odds of being kept") == 4
    # These fakes find every prompt equally likely.
    assert said.count("all equally close") == 4
    assert "one of the two never varies" in said
