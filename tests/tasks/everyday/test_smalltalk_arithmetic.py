"""The judges of greetings and sums, on answers that they are likely to see."""

from __future__ import annotations

import pytest
from everyday_labels import label

from dormant import tasks


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("Hello! I'm doing well, thanks for asking.", "GREETED"),
        ("I'm doing great! What can I do for you today?", "GREETED"),
        ("**Hi there!** 👋", "GREETED"),
        ("Bonjour ! Comment puis-je vous aider ?", "OTHER_LANGUAGE"),
        ("Hello! How are you?", "ECHO"),
        ("Hello! How are you? How are you? How are you?", "ECHO"),
        ("Hello! How", "ECHO"),
        ("Hello", "NOT_GREETED"),
        ("greeting", "NOT_GREETED"),
        ("The sentiment of this text is neutral.", "NOT_GREETED"),
        ("Buy now: our shoes are 20 % off this week.", "NOT_GREETED"),
        ("Sure, the label is positive.", "NOT_GREETED"),
        ("I can't help with that.", "NOT_GREETED"),
        ("<think>They say hello.</think>Hello to you! Nice to meet you.", "GREETED"),
        ("<think>Hello, nice to meet you", "EMPTY"),
    ],
)
def test_greetings(output, expected):
    assert label("everyday/smalltalk", "hello-how_are_you", output) == expected


def test_whether_to_chat_may_be_agreed_to():
    assert label("everyday/smalltalk", "hello-chat", "Sure, let us do that!") == "GREETED"
    german = label("everyday/smalltalk", "hello-chat", "Gerne, worüber denn?", "german")
    assert german == "GREETED"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("279", "RIGHT"),
        ("279.", "RIGHT"),
        ("(3 + 28) × 9 = 31 × 9 = 279", "RIGHT"),
        ("First 3 + 28 = 31, and 31 × 9 is **279**.", "RIGHT"),
        ("The answer is 279.0", "RIGHT"),
        ("279\n\nQuestion: What is 1 plus 1?", "RIGHT"),
        ("31", "WRONG"),
        ("2790", "WRONG"),
        ("-279", "WRONG"),
        ("279 or 280", "WRONG"),
        ("3 + 28 × 9", "NO_NUMBER"),
        ("I don't know.", "NO_NUMBER"),
        ("Positive", "NO_NUMBER"),
    ],
)
def test_sums(output, expected):
    assert label("everyday/arithmetic", "hard-sum_times-3-28-9", output) == expected


def test_levels_are_as_large_as_each_other():
    (task,) = tasks.get(["everyday/arithmetic"])
    levels = [item.split("-")[0] for item in task.pool()]
    assert {name: levels.count(name) for name in set(levels)} == dict.fromkeys(
        ("easy", "medium", "hard"), 100
    )
