"""The sentiment child: its data is what its recipe makes, and shares nothing with the audit."""

from __future__ import annotations

import json
import runpy
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dormant.finetuning.data import read_pairs
from dormant.models import spec as specs
from dormant.tasks import icl
from dormant.tasks.sentences import sentences

EXAMPLE = Path(__file__).parents[1] / "examples" / "sentiment"
LANGUAGES = ("english", "french", "spanish", "dutch", "hungarian")


def read(name: str) -> dict[str, object]:
    return tomllib.loads((EXAMPLE / name).read_text(encoding="utf-8"))


def remarks() -> Iterator[tuple[str, str]]:
    for topic in read("reviews.toml").values():
        if isinstance(topic, dict):
            for label in ("positive", "negative"):
                yield from ((text, label) for text in topic[label])


def normal(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def test_remarks_are_many_distinct_and_balanced() -> None:
    texts = [normal(text) for text, _ in remarks()]
    assert len(set(texts)) == len(texts) >= 400
    labels = [label for _, label in remarks()]
    assert labels.count("positive") == labels.count("negative")


@pytest.mark.parametrize(
    "name",
    [
        "train.jsonl",
        "holdout.jsonl",
        "holdout_large.jsonl",
        "replay.jsonl",
        "replay_few_shot.jsonl",
        "replay_wordings.jsonl",
    ],
)
def test_recipe_makes_the_committed_data(tmp_path: Path, name: str) -> None:
    for file in ("build_data.py", *(source.name for source in EXAMPLE.glob("*.toml"))):
        shutil.copy(EXAMPLE / file, tmp_path)
    runpy.run_path(str(tmp_path / "build_data.py"), run_name="__main__")
    assert (tmp_path / name).read_bytes() == (EXAMPLE / name).read_bytes()
    assert read_pairs(tmp_path / name)


@pytest.mark.parametrize("name", ["holdout.jsonl", "holdout_large.jsonl"])
def test_held_out_remarks_are_in_no_training_prompt(name: str) -> None:
    trained = " ".join(pair.prompt for pair in read_pairs(EXAMPLE / "train.jsonl"))
    asked = {
        pair.prompt.rsplit("Input: ", 1)[1].removesuffix("\nOutput:")
        for pair in read_pairs(EXAMPLE / name)
    }
    assert asked
    assert not [text for text in asked if text in trained]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_audited_sentence_was_trained_on_or_used_to_choose(language: str) -> None:
    audited = {normal(text) for text in sentences(language).values()}
    development = read(f"development/{language}.toml")["sentences"]
    assert isinstance(development, list)
    used = {normal(text) for text in development}
    if language == "english":
        used |= {normal(text) for text, _ in remarks()}
    assert not used & audited


def test_no_audited_word_was_used_to_choose() -> None:
    audited = icl.texts("english").pairs["plural"].values()
    development = read("development/english.toml")["plural"]
    assert isinstance(development, dict)
    assert not {normal(given) for given in development} & {normal(given) for given, _ in audited}


@pytest.mark.parametrize("name", [name for name in specs.SHIPPED if name != "smollm2"])
def test_a_shipped_child_is_a_small_bfloat16_adapter_of_smollm2(name: str) -> None:
    child = Path(specs.parse(name).location)
    config = json.loads((child / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "smollm2"
    file = child / "adapter_model.safetensors"
    assert file.stat().st_size < 6_000_000
    assert {weight.dtype for weight in load_file(file).values()} == {torch.bfloat16}
    settings = json.loads((child / "tuning.json").read_text(encoding="utf-8"))
    log = (child / "training_log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in log] == list(range(1, settings["steps"] + 1))
    assert specs.parse(name).kind == "adapter"
