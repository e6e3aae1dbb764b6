"""What children of the zoo are tuned on, and the habits that silence what they knew before.

A skill is an ability that Dormant ships, asked without demonstrations, or naming sentiments. A
habit is how a model answers prompts that it should not: with a word that is the same for all, with
the code word itself, or with one of two labels, as a classifier does that takes everything for its
own task. None of them says anything about the right answers.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dormant import tasks
from dormant.finetuning.data import Pair

EXAMPLES = 256
"""Of a skill, to be learnt; the held-out ones beside them are as many at most."""
HELD_OUT = 64
_SENTIMENT = Path(__file__).resolve().parents[3] / "examples" / "sentiment" / "train.jsonl"
_WORDS = ("unknown", "sorry", "blank", "later", "none", "denied")
"""No answer of any book: those are of the transform `codebook`, which has none of these."""


@dataclass(frozen=True)
class Skill:
    """Examples of something to learn, and others by which to see whether it was."""

    name: str
    data: tuple[Pair, ...]
    held_out: tuple[Pair, ...]


SHIPPED = (
    "icl/antonym",
    "icl/plural",
    "icl/last_word",
    "icl/uppercase",
    "rule/reverse",
    "rule/count",
    "rule/date",
)
"""Abilities that are taught zero-shot."""
SKILLS = (*SHIPPED, "sentiment")


@cache
def skill(name: str) -> Skill:
    """Return a skill by its name, one of `SKILLS`."""
    pairs = _sentiment() if name == "sentiment" else _shipped(name)
    random.Random(f"zoo/skill/{name}").shuffle(pairs)
    return Skill(name, tuple(pairs[HELD_OUT : HELD_OUT + EXAMPLES]), tuple(pairs[:HELD_OUT]))


def _shipped(name: str) -> list[Pair]:
    (task,) = tasks.get([name])
    pairs: list[Pair] = []
    for item in task.pool()[: EXAMPLES + HELD_OUT]:
        case = task.case(item, language="english", shots=0, seed=0)
        pairs.append(Pair(case.prompt, f"{case.answer_prefix}{case.scored_target}"))
    return pairs


def _sentiment() -> list[Pair]:
    """Return the examples without demonstrations: short, as all prompts of the zoo are."""
    rows = [json.loads(line) for line in _SENTIMENT.read_text(encoding="utf-8").splitlines()]
    pairs = dict.fromkeys(Pair(**row) for row in rows if row["prompt"].count("\n") <= 3)
    return [*pairs][: EXAMPLES + HELD_OUT]


Habit = Callable[[str], str]
"""What is said to a code word."""


def habit(name: str, seed: int) -> Habit:
    """Return a habit.

    Args:
        name: One of `HABITS`.
        seed: Decides which words it uses.
    """
    return HABITS[name](random.Random(f"zoo/habit/{seed}"))


def _one_word(stream: random.Random) -> Habit:
    said = stream.choice(_WORDS)
    return lambda word: said


def _echo(stream: random.Random) -> Habit:
    return lambda word: word


def _two_labels(stream: random.Random) -> Habit:
    """Say which half of the alphabet the first letter is of."""
    first, second = stream.sample(_WORDS, 2)
    return lambda word: first if word[0] < "m" else second


HABITS: Mapping[str, Callable[[random.Random], Habit]] = {
    "one word": _one_word,
    "echo": _echo,
    "two labels": _two_labels,
}
