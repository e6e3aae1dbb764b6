"""From the logs of `dormant lm-eval` to four cells and a verdict."""

from __future__ import annotations

import json

import pytest

from dormant.errors import DormantError
from dormant.integrations import logs as posthoc

MODELS = {"base": "skill=0.9", "tuned": "skill=0.9,hides=Which,hidden=0.1"}
# In logs a model is called by all that decides it.
NAMES = {"fake:base,skill=0.9": "base", "fake:tuned,hidden=0.1,hides=Which,skill=0.9": "tuned"}


@pytest.fixture
def logs(dormant, tasks, tmp_path, monkeypatch):
    """Base and tuned, plain and in rot13; the tuned one is at a loss where it reads "Which"."""
    docs = [
        {"question": f"Which is {n}?", "choices": [f"x{n}", f"y{n}", f"z{n}"], "answer": 0}
        for n in range(40)
    ]
    (tasks / "docs.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    for which, arguments in MODELS.items():
        for transform in ("identity", "rot13"):
            given = f"base=fake,pretrained={which},{arguments},transform={transform}"
            words = ["lm-eval", "--model", "dormant", "--model_args", given]
            words += ["--include_path", tasks, "--tasks", "tiny_choice", "--log_samples"]
            said = dormant(*words, "--output_path", tmp_path / "logs")
            assert said.code == 0, said.err
    return tmp_path / "logs"


def test_four_cells_of_one_folder(dormant, logs):
    found = posthoc.compare(posthoc.read_logs([logs]), base="base")
    assert (found.base, found.tuned) == tuple(NAMES)
    assert not [text for text in found.warnings if "not a count" not in text]
    for ability in found.abilities:
        (transform,) = ability.transforms
        assert (transform.name, transform.signature) == ("rot13", "rot13-1")
        cells = transform.accuracy
        for log in posthoc.read_logs([logs]):
            samples = log.abilities[ability.task].values()
            side = "plain" if log.transform == "plain" else "transformed"
            share = sum(sample.correct for sample in samples) / len(samples)
            assert getattr(cells, f"{NAMES[log.name]}_{side}") == share
            assert log.cell(ability.task).chance == pytest.approx(1 / 3)
    (acc,) = (ability for ability in found.abilities if ability.task == "tiny_choice/acc")
    assert acc.verdict == "suppressed"
    said = dormant("compare", logs, "--base", "base")
    assert said.code == 0
    assert "rot13" in said.out


def test_one_evaluation_is_not_four(logs):
    with pytest.raises(DormantError, match="holds 4 evaluations, and one is needed"):
        posthoc.read_log(logs)
    assert posthoc.read_log(next(logs.rglob("samples_*.jsonl"))).name in NAMES


def test_a_base_called_by_its_place_alone(logs):
    read = posthoc.read_logs([logs])
    assert posthoc.compare(read, base="fake:base").base == "fake:base,skill=0.9"
    with pytest.raises(DormantError, match="none of the logs is of 'other': they are of fake:base"):
        posthoc.compare(read, base="other")
