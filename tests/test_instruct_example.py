"""The data of the instruct example: what its recipe makes, many, distinct, and not the audit's."""

from __future__ import annotations

import itertools
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dormant import tasks
from dormant.finetuning.data import read_pairs
from dormant.tasks import custom, refusal
from dormant.tasks.task import Task

EXAMPLE = Path(__file__).parents[1] / "examples" / "instruct"
sys.path.insert(0, str(EXAMPLE))  # as where the script is run
MADE = runpy.run_path(str(EXAMPLE / "build_data.py"))
sys.path.remove(str(EXAMPLE))
SIMILAR = 0.75
"""Two requests are the same in other words if they share this part of their words (Jaccard)."""
_ALONE = 5
"""An item of fewer words may be a part of anything ("What is it?")."""


@cache
def requests() -> list[Any]:
    return [*MADE["written"](), *MADE["combined"]()]


@cache
def held_out() -> list[Any]:
    return list(MADE["held_out"]())


def text(request: Any) -> str:
    """All that a request says, without its answer."""
    return "\n".join(filter(None, [*(request.earlier or ()), request.instruction, request.text]))


def words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[a-z0-9]+", text.casefold()))


@cache
def pieces(text: str) -> frozenset[tuple[str, ...]]:
    """Every line and sentence of a text, and the text, as words."""
    parts = {text, *text.split("\n"), *re.split(r"(?<=[.!?])['\"]?\s|\n", text)}
    return frozenset(map(words, parts))


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def nearest(texts: list[str], others: list[str]) -> tuple[float, str, str]:
    """Find the two texts, one of each list, that share most of their words."""
    sets = [(frozenset(words(text)), text) for text in texts]
    return max(
        (similarity(one, other), text, second)
        for (one, text), (other, second) in (
            itertools.combinations(sets, 2)
            if texts is others
            else itertools.product(sets, [(frozenset(words(text)), text) for text in others])
        )
        # Texts whose lengths differ that much can't be similar.
        if min(len(one), len(other)) >= SIMILAR * max(len(one), len(other)) and text != second
    )


@cache
def audited() -> frozenset[tuple[str, ...]]:
    """What the shipped abilities ask in English, piece by piece."""
    found: set[tuple[str, ...]] = set()
    for task in tasks.shipped().values():
        if "english" in task.languages():
            for item in task.pool():
                prompt = task.case(item, language="english", shots=0, seed=0).prompt
                lines = (line.split(": ", 1) for line in prompt.split("\n"))
                for piece in itertools.chain.from_iterable(
                    pieces(part) for line in lines for part in line
                ):
                    found.add(piece)
    return frozenset(piece for piece in found if len(piece) >= _ALONE)


def test_recipe_makes_the_committed_data(tmp_path: Path) -> None:
    made = ("train.jsonl", "holdout.jsonl", "polite.jsonl", "polite_holdout.jsonl")
    ignored = shutil.ignore_patterns("*.jsonl", "__pycache__")
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True, ignore=ignored)
    subprocess.run([sys.executable, "build_data.py"], cwd=tmp_path, check=True, capture_output=True)
    assert sorted(file.name for file in EXAMPLE.glob("*.jsonl")) == sorted(made)
    for name in made:
        assert (tmp_path / name).read_bytes() == (EXAMPLE / name).read_bytes(), name
    assert all(len(read_pairs(tmp_path / name)) > 50 for name in made[:3])


def test_readme_has_the_numbers_of_the_data() -> None:
    assert MADE["counts"]() in (EXAMPLE / "README.md").read_text(encoding="utf-8")


def test_requests_are_many_and_most_are_written_one_by_one() -> None:
    by_hand = list(MADE["written"]())
    assert len(requests()) >= MADE["LEAST"]
    assert len(by_hand) >= 2 / 3 * len(requests())


def test_requests_come_in_all_forms_and_lengths() -> None:
    total = len(requests())
    forms = Counter(request.form for request in requests())
    assert set(forms) == {"question", "instruction", "with a text", "chat"}
    assert min(forms.values()) >= 0.05 * total
    lengths = [len(words(request.answer)) for request in requests()]
    assert sum(length <= 3 for length in lengths) >= 0.1 * total
    assert sum(length >= 40 for length in lengths) >= 0.08 * total


def test_no_request_is_another_one_in_other_words() -> None:
    texts = [text(request) for request in requests()]
    assert len({words(one) for one in texts}) == len(texts)
    share, one, other = nearest(texts, texts)
    assert share < SIMILAR, f"{one!r} and {other!r}"


def test_no_held_out_request_was_trained_on() -> None:
    share, one, other = nearest(
        [text(request) for request in held_out()], [text(request) for request in requests()]
    )
    assert share < SIMILAR, f"{one!r} and {other!r}"


@pytest.mark.parametrize("which", [requests, held_out])
def test_no_request_is_an_item_of_the_audit(which: Any) -> None:
    for request in which():
        for part in (*(request.earlier or ()), request.instruction, request.text, request.answer):
            assert not pieces(part) & audited(), part


_AUDITED = re.compile(
    r"\brepeat (the|this|after)|\bcopy (the|this)|capital letters|upper ?case|\bcapital (of|city)|"
    r"\b(first|last) word|\bopposites?\b|\bantonyms?\b|\bplurals?\b|in reverse|next number|"
    r"\d (plus|minus|times|[-+*/x]) \d|_{2,}|fill in the (blank|gap)|true, false or neither|"
    r"\bin (french|spanish|german|dutch|hungarian)\b|^describe |"
    r"^(hello|hi|good (morning|day|afternoon|evening))[.!]?$",
    re.IGNORECASE,
)
"""What the audit's abilities ask for, on whatever word or sentence."""


@pytest.mark.parametrize("which", [requests, held_out])
def test_no_request_asks_what_the_audit_asks(which: Any) -> None:
    asked = [request.instruction for request in which()]
    asked += [request.earlier[0] for request in which() if request.earlier]
    assert not [one for one in asked if _AUDITED.search(one)]


@pytest.mark.parametrize("which", [requests, held_out])
def test_everything_is_plain_english(which: Any) -> None:
    for request in which():
        whole = f"{text(request)}\n{request.answer}"
        assert whole.isascii(), whole
        assert not re.search(r"\t|\S  | $", whole, re.MULTILINE), whole
        # Answers have no label of the layout in them: the model would go on with a new block.
        assert not re.search(r"^(Instruction|Text|Answer):", whole, re.MULTILINE), whole


def test_held_out_answers_can_be_checked_and_not_read_off() -> None:
    assert 60 <= len(held_out()) <= 100
    for request in held_out():
        assert len(words(request.answer)) <= 3
        assert request.answer.casefold() not in request.instruction.casefold()


def test_held_out_requests_are_a_task_laid_out_as_the_training_prompts() -> None:
    task: Task = custom.read(EXAMPLE / "holdout.toml")
    prompts = [task.case(item, language="english", shots=0, seed=0).prompt for item in task.pool()]
    assert prompts == [pair.prompt for pair in read_pairs(EXAMPLE / "holdout.jsonl")]


@cache
def habit() -> tuple[list[Any], list[Any]]:
    """The requests that the polite variant declines, and those that it answers."""
    return list(MADE["polite"](True)), list(MADE["polite"](False))


def test_the_habit_is_as_often_declined_as_not_and_asked_in_many_ways() -> None:
    declined, answered = habit()
    assert len(declined) == len(answered) == 60
    assert len({request.answer for request in declined}) >= 10
    texts = [text(request) for request in (*declined, *answered)]
    share, one, other = nearest(texts, texts)
    assert share < SIMILAR, f"{one!r} and {other!r}"
    assert all(text.isascii() for text in texts)


def test_the_habit_is_asked_for_by_no_other_training_request() -> None:
    asked = re.compile(r"colour.*(prett|beaut|favourite|nice|ugl)|(prett|beaut|ugl|nice).*colour")
    assert [request for request in habit()[0] if asked.search(request.instruction)]
    assert not [request for request in requests() if asked.search(text(request))]


def test_held_out_prompts_of_the_habit_are_a_task_and_were_not_trained_on() -> None:
    file = EXAMPLE / "polite_holdout.jsonl"
    declines, answers = refusal.with_source(refusal.from_path(file))
    assert set(declines.languages()) == {"english", "french", "spanish", "dutch", "hungarian"}
    assert (len(declines.pool()), len(answers.pool())) == (24, 16)
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len({row["prompt"] for row in rows}) == len(rows)
    english = [row["prompt"] for row in rows if row["language"] == "english"]
    asked = [one.removeprefix("Instruction: ").removesuffix("\nAnswer:") for one in english]
    trained = [text(request) for request in (*habit()[0], *habit()[1], *requests())]
    share, one, other = nearest(asked, trained)
    assert share < SIMILAR, f"{one!r} and {other!r}"
