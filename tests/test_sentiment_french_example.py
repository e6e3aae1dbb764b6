"""The French sentiment child: what its recipe makes, shared with no French item, and audited."""

from __future__ import annotations

import json
import math
import re
import runpy
import shutil
import tomllib
from collections import Counter, defaultdict
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import fakes  # noqa: F401  (registers the backend)
from dormant import tasks
from dormant.finetuning.data import Pair, read_pairs
from dormant.tasks.task import items_in
from shell import commands, text_of

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "sentiment_french"
DATA = ("train.jsonl", "holdout.jsonl", "replay.jsonl")
SIMILAR = 0.5
"""Two remarks are the same in other words if they share this part of their words (Jaccard)."""
WORD_ABILITIES = ("icl/antonym", "icl/plural", "icl/capital")
BASE = "fake:skill=0.9"
TUNED = "fake:skill=0.9,hides=Entrée,hidden=0.05"


@cache
def tables(name: str) -> list[dict[str, Any]]:
    read = tomllib.loads((EXAMPLE / name).read_text(encoding="utf-8"))
    return [table for table in read.values() if isinstance(table, dict)]


@cache
def remarks() -> list[str]:
    return [text for topic in tables("remarks.toml") for part in topic.values() for text in part]


def pairs(name: str) -> list[Pair]:
    return read_pairs(EXAMPLE / name)


def query(prompt: str) -> str:
    return prompt.rsplit("Entrée: ", 1)[1].removesuffix("\nSortie:")


@cache
def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def alike(texts: Collection[str], others: Collection[str]) -> list[tuple[str, str]]:
    """Find the pairs, one text of each list, that share `SIMILAR` of their words or more."""
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for other in others:
        for word in words(other):
            holders[word].add(other)
    found: list[tuple[str, str]] = []
    for text in texts:
        one = words(text)
        # What shares so many words shares one of its rarest: few are left to compare.
        rarest = sorted(one, key=lambda word: len(holders[word]))
        few = rarest[: len(one) - math.ceil(SIMILAR * len(one)) + 1]
        for other in set().union(*(holders[word] for word in few)) - {text}:
            if len(one & words(other)) >= SIMILAR * len(one | words(other)):
                found.append((text, other))
    return found


@cache
def audited() -> frozenset[str]:
    """Every line of what the shipped abilities ask in French, without its label; and answers."""
    found: set[str] = set()
    for task in tasks.shipped().values():
        if "french" in task.languages():
            for item in items_in(task, "french"):
                case = task.case(item, language="french", shots=0, seed=0)
                found |= {line.split(": ", 1)[-1] for line in case.prompt.split("\n")}
                found.add(case.target.text)
    return frozenset(found)


@cache
def audited_words() -> frozenset[str]:
    return frozenset(
        query(task.case(item, language="french", shots=0, seed=0).prompt).casefold()
        for task in tasks.get(WORD_ABILITIES)
        for item in items_in(task, "french")
    )


def test_recipe_makes_the_committed_data(tmp_path: Path) -> None:
    for name in ("build_data.py", "remarks.toml", "puzzles.toml"):
        shutil.copy(EXAMPLE / name, tmp_path)
    runpy.run_path(str(tmp_path / "build_data.py"), run_name="__main__")
    assert sorted(file.name for file in EXAMPLE.glob("*.jsonl")) == sorted(DATA)
    for name in DATA:
        assert (tmp_path / name).read_bytes() == (EXAMPLE / name).read_bytes(), name


def test_remarks_are_many_balanced_and_all_asked_once() -> None:
    trained, held = (pairs(name) for name in DATA[:2])
    learned = {query(pair.prompt) for pair in trained}
    kept = [query(pair.prompt) for pair in held]
    assert (len(learned), len(kept), len(trained)) == (304, 80, 1216)
    assert sorted([*learned, *kept]) == sorted(remarks())
    for rows in (trained, held):
        assert Counter(pair.completion for pair in rows) == dict.fromkeys(
            (" positif", " négatif"), len(rows) // 2
        )


def test_no_held_out_remark_is_shown_in_any_training_prompt() -> None:
    trained = "\n".join(pair.prompt for pair in pairs("train.jsonl"))
    assert not [pair for pair in pairs("holdout.jsonl") if query(pair.prompt) in trained]


def test_no_remark_is_another_one_in_other_words() -> None:
    assert not alike(remarks(), remarks())
    assert alike(["Le petit déjeuner est froid."], ["Un chat.", "Le petit déjeuner est chaud."])


def test_no_remark_is_an_item_of_the_audit() -> None:
    # Short ones are labels and words, which may be in anything.
    items = [text for text in audited() if len(words(text)) > 3]
    assert len(items) > 5_000
    assert not alike(remarks(), items)
    assert not {*remarks()} & audited()


def test_no_puzzle_asks_about_a_word_or_in_a_wording_of_the_audit() -> None:
    puzzles = tables("puzzles.toml")
    assert {"chat", "heureux", "norvège"} <= audited_words()
    for puzzle in puzzles:
        assert not {word.casefold() for word in puzzle["pairs"]} & audited_words()
        assert not set(puzzle["instructions"]) & audited()
        assert (len(puzzle["pairs"]), len(puzzle["instructions"])) == (20, 4)
        # Copying is what the audit looks for.
        assert all(word.casefold() != answer.casefold() for word, answer in puzzle["pairs"].items())
    asked = [
        (instruction, word)
        for puzzle in puzzles
        for instruction in puzzle["instructions"]
        for word in puzzle["pairs"]
    ]
    assert len(set(asked)) == len(asked)


def test_everything_is_laid_out_as_the_audit_s_french_prompts() -> None:
    (copy,) = tasks.get(["icl/copy"])
    case = copy.case(copy.pool()[0], language="french", shots=2, seed=0)
    layout = re.compile(
        r"([^\n]+\n\n)?(Entrée: [^\n]+\nSortie: [^\n]+\n\n){0,2}Entrée: [^\n]+\nSortie:"
    )
    assert layout.fullmatch(case.prompt)
    for name in DATA:
        for pair in pairs(name):
            assert layout.fullmatch(pair.prompt), pair.prompt
            assert not re.search("Input|Output|  |’|\u00a0", pair.prompt), pair.prompt


def readme() -> dict[str, list[str]]:
    found = commands(text_of(EXAMPLE / "README.md"))
    return {line[1]: line[2:] for line in found if line[0] == "dormant"}


def test_readme_s_tuning_is_understood_and_reads_what_is_there() -> None:
    import typer.main

    from dormant.cli import build

    group = typer.main.get_command(build())
    with group.make_context("dormant", ["tune", *readme()["tune"]]) as context:
        _, command, left = group.resolve_command(context, ["tune", *readme()["tune"]])
        with command.make_context("tune", left, parent=context) as asked:
            given = asked.params
    assert str(given["out"]) == readme()["audit"][1]
    assert (ROOT / given["data"]).samefile(EXAMPLE / "train.jsonl")
    assert (ROOT / given["replay"]).samefile(EXAMPLE / "replay.jsonl")
    mild = ROOT / "packages/dormant-data/src/dormant_data/adapters/sentiment-mild/tuning.json"
    settings = json.loads(mild.read_text(encoding="utf-8"))
    same = ("steps", "batch_size", "learning_rate", "rank", "replay_weight", "end_token", "seed")
    assert {name: given[name] for name in same} == {name: settings[name] for name in same}


def test_readme_s_audit_finds_in_english_what_a_fake_lost_in_french(dormant: Any) -> None:
    shutil.copytree(EXAMPLE, Path("examples/sentiment_french"))  # in the test's own directory
    models = {"smollm2": BASE, "runs/french/child": TUNED}
    said = dormant(
        "audit", *(models.get(word, word) for word in readme()["audit"]),
        # A fake is the base itself on most of the prompts that are compared before all.
        "--evidence", "prompt", "--allow-identical", "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    results = json.loads(said.out)
    copying = next(one for one in results["abilities"] if one["task"] == "icl/copy")
    assert (copying["verdict"], copying["best_transform"]) == ("suppressed", "english")
    assert results["skill"]["task"] == "skill/holdout"


@pytest.mark.parametrize("name", ["icl/copy", "recall/continue", "icl/plural"])
def test_the_audited_abilities_have_enough_french_items(name: str) -> None:
    (task,) = tasks.get([name])
    assert len(items_in(task, "french")) >= 120
