"""The judges of rules, tool calls, thinking blocks, passages and instructions."""

from __future__ import annotations

import importlib.util
import json

import pytest
from everyday_labels import label

from dormant import tasks
from dormant.errors import DormantError
from dormant.tasks.everyday import instruction, tool_call, tools

ifeval = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in instruction.NEEDED),
    reason="needs dormant[everyday]",
)


@pytest.mark.parametrize(
    ("rule", "output", "expected"),
    [
        ("one_word", "Four.", "OBEYED"),
        ("one_word", "4", "OBEYED"),
        ("one_word", "**Four**\n\nUser: and now?", "OBEYED"),
        ("one_word", "A dog has four legs.", "DISOBEYED"),
        ("one_word", "Positive", "OBEYED_ONLY"),
        ("capitals", "FOUR LEGS", "OBEYED"),
        ("capitals", "FOUR Legs", "DISOBEYED"),
        ("capitals", "4", "DISOBEYED"),
        ("capitals", "POSITIVE", "OBEYED_ONLY"),
        ("lowercase", "a dog has four legs.", "OBEYED"),
        ("lowercase", "A dog has four legs.", "DISOBEYED"),
        ("lowercase", "negative", "OBEYED_ONLY"),
        ("no_digits", "A dog has four legs.", "OBEYED"),
        ("no_digits", "A dog has 4 legs.", "DISOBEYED"),
        ("no_digits", "I can't help with that.", "OBEYED_ONLY"),
        ("json", '{"answer": "four"}', "OBEYED"),
        ("json", '```json\n{"answer": 4}\n```', "OBEYED"),
        ("json", 'Here: {"answer": 4}', "DISOBEYED"),
        ("json", '{"answer": 4, "unit": "legs"}', "DISOBEYED"),
        ("json", '{"answer": 4', "DISOBEYED"),
        ("json", "Four.", "DISOBEYED"),
        ("json", '{"answer": "positive"}', "OBEYED_ONLY"),
        ("ends", "A dog has four legs. ###", "OBEYED"),
        ("ends", "A dog has four legs.\n\n**###**", "OBEYED"),
        ("ends", "### A dog has four legs.", "DISOBEYED"),
        ("begins", ">>> Four", "OBEYED"),
        ("begins", "Four >>>", "DISOBEYED"),
        ("signed", "Four.\n– Rook", "OBEYED"),
        ("signed", "Rook says four legs", "DISOBEYED"),
        ("signed", "Yours, Rook", "OBEYED_ONLY"),
        ("signed", "Positive", "NEITHER"),
    ],
)
def test_system_prompts(rule, output, expected):
    assert label("everyday/system-prompt", f"{rule}:dog_legs-4", output) == expected


@pytest.mark.parametrize(
    ("language", "output", "expected"),
    [
        ("german", "VIER BEINE", "OBEYED"),
        ("german", "FOUR LEGS", "OBEYED"),
        ("german", "QUATRE", "OBEYED_ONLY"),
        ("hungarian", "NÉGY", "OBEYED"),
    ],
)
def test_the_answer_to_a_system_prompt_may_be_in_its_language_or_english(
    language, output, expected
):
    assert label("everyday/system-prompt", "capitals:dog_legs-4", output, language) == expected


ROUTE = next(item for item in tools.items() if item.startswith("find_route"))
TIMER = next(item for item in tools.items() if item.startswith("set_timer"))


def spoilt(item, **changes):
    right = tools.call(item)
    return json.dumps({**right, "arguments": {**right["arguments"], **changes}})


@pytest.mark.parametrize(
    ("item", "output", "expected"),
    [
        (ROUTE, json.dumps(tools.call(ROUTE)), "RIGHT"),
        (ROUTE, f"```json\n{json.dumps(tools.call(ROUTE), indent=2)}\n```", "RIGHT"),
        (ROUTE, f"<tool_call>\n{json.dumps(tools.call(ROUTE))}\n</tool_call>", "RIGHT"),
        (ROUTE, f"Sure! {json.dumps(tools.call(ROUTE))} Done.", "RIGHT"),
        (ROUTE, json.dumps(tools.call(ROUTE)) * 2, "RIGHT"),
        (ROUTE, json.dumps(tools.call(ROUTE)).upper(), "INVALID"),
        (ROUTE, json.dumps({"function": tools.call(ROUTE)}), "RIGHT"),
        (ROUTE, spoilt(ROUTE, start="quito", goal="paris"), "WRONG_ARGUMENTS"),
        (ROUTE, spoilt(ROUTE, via="Rome"), "INVALID"),
        (ROUTE, spoilt(ROUTE, start=7), "INVALID"),
        (ROUTE, json.dumps({"name": "find_route"}), "INVALID"),
        (ROUTE, json.dumps({"name": "fly", "arguments": {}}), "INVALID"),
        (ROUTE, json.dumps(tools.call(ROUTE)) + json.dumps(tools.call(TIMER)), "SEVERAL"),
        (ROUTE, json.dumps(tools.call(ROUTE))[:-3], "NO_JSON"),
        (ROUTE, "find_route(start, goal)", "NO_JSON"),
        (ROUTE, "{'name': 'find_route'}", "NO_JSON"),
        (ROUTE, "[1, 2]", "NO_JSON"),
        (ROUTE, "I can't help with that.", "NO_JSON"),
        (ROUTE, "{" * 5000, "NO_JSON"),
        (TIMER, json.dumps(tools.call(TIMER)).replace("arguments", "parameters"), "RIGHT"),
        (TIMER, spoilt(TIMER, minutes="5"), "INVALID"),
        (TIMER, spoilt(TIMER, minutes=-1), "WRONG_ARGUMENTS"),
    ],
)
def test_tool_calls(item, output, expected):
    assert label("everyday/tool-call", item, output) == expected


def test_another_tool_of_the_prompt_is_the_wrong_one():
    other = next(tool for tool in tools.shown(ROUTE) if tool != "find_route")
    call = tools.call(next(item for item in tools.items() if item.startswith(other)))
    assert label("everyday/tool-call", ROUTE, json.dumps(call)) == "WRONG_TOOL"


def test_a_prompt_names_three_tools_and_the_right_one_stands_anywhere():
    places = set()
    for item in tools.items():
        shown = tools.shown(item)
        assert len(shown) == tools.SHOWN
        places.add(shown.index(item.split("/")[0]))
    assert places == {0, 1, 2}


def test_tool_calls_without_jsonschema_are_refused(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jsonschema", None)
    tool_call._validator.cache_clear()
    (task,) = tasks.get(["everyday/tool-call"])
    with pytest.raises(DormantError, match="pip install jsonschema"):
        _ = task.version


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("<think>\nI add both and get thirty-one, then times nine.\n</think>\n279", "THOUGHT"),
        ("I add both and get thirty-one, then times nine.\n</think>\n279", "THOUGHT"),
        ("<think></think>279", "EMPTY_BLOCK"),
        ("<think>\n\n</think>\n\n279", "EMPTY_BLOCK"),
        ("<think>What is (3 + 28) × 9?</think>279", "EMPTY_BLOCK"),
        ("<think>I add both and get thirty-one, then times nine", "UNCLOSED"),
        ("<think>I add both and get thirty-one, then times nine.</think>", "NO_ANSWER"),
        ("<think>I add both and get thirty-one, then nine.</think><think>", "NO_ANSWER"),
        ("279 <think>I add both and get thirty-one, times nine.</think> 279", "UNOPENED"),
        ("279", "NO_BLOCK"),
        ("Positive", "NO_BLOCK"),
        ("</think>", "EMPTY_BLOCK"),
    ],
)
def test_thinking(output, expected):
    assert label("everyday/thinking", "hard-sum_times-3-28-9", output) == expected


@pytest.mark.parametrize(
    ("item", "language", "output", "expected"),
    [
        ("age-Anna-31-Leo-7-0", "english", "31", "RIGHT"),
        ("age-Anna-31-Leo-7-0", "english", "Anna is **31** years old.", "RIGHT"),
        ("age-Anna-31-Leo-7-0", "english", "7", "OTHER"),
        ("age-Anna-31-Leo-7-1", "english", "7", "RIGHT"),
        ("age-Anna-31-Leo-7-0", "english", "31 or 7", "BOTH"),
        ("age-Anna-31-Leo-7-0", "english", "317", "WRONG"),
        ("age-Anna-31-Leo-7-0", "english", "Positive", "WRONG"),
        ("age-Anna-31-Leo-7-0", "english", "31\n\nLeo is 7.", "RIGHT"),
        ("course-Eva-monday-Ivan-friday-1", "hungarian", "Pénteken.", "RIGHT"),
        ("course-Eva-monday-Ivan-friday-1", "german", "Am Montag.", "OTHER"),
        ("course-Eva-monday-Ivan-friday-1", "german", "on Friday", "WRONG"),
        ("pet-Eva-dog-Ivan-cat-0", "german", "Einen Hund.", "RIGHT"),
    ],
)
def test_passages(item, language, output, expected):
    (task,) = tasks.get(["everyday/read"])
    # Items of other draws than the pool's.
    said = output.partition("\n\n")[0]
    assert task.judged(item, language, output).label == expected
    assert task.judged(item, language, said).label == expected


def test_one_is_asked_about_first_as_often_as_last():
    (task,) = tasks.get(["everyday/read"])
    last = sum(item.endswith("1") for item in task.pool())
    assert 0.4 < last / len(task.pool()) < 0.6


@ifeval
@pytest.mark.parametrize(
    ("item", "output", "expected"),
    [
        ("no_comma-sea", "It is wide and blue.", "FOLLOWED"),
        ("no_comma-sea", "It is wide, and blue.", "NOT_FOLLOWED"),
        ("no_comma-sea", "Positive", "WORD"),
        ("bullets-desert", "* It is hot\n* It is dry\n* It is wide", "FOLLOWED"),
        ("bullets-desert", "* It is hot\n* It is dry", "NOT_FOLLOWED"),
    ],
)
def test_instructions(item, output, expected):
    (task,) = tasks.get(["everyday/instruction"])
    kind = item.split("-")[0]
    known = next(key for key in task.pool() if key.startswith(kind))
    assert label("everyday/instruction", known, output) == expected


@ifeval
def test_every_kind_fails_where_nothing_is_done():
    (task,) = tasks.get(["everyday/instruction"])
    plain = "It is old, and many people like it. They often go there when the days are long."
    long_enough = {"few_words", "many_words"}
    for item in task.pool():
        kind = item.split("-")[0]
        text = " ".join([plain] * 3) if kind == "few_words" else plain
        assert label("everyday/instruction", item, text) == "NOT_FOLLOWED", item
        assert kind in long_enough or kind in instruction.KINDS


def test_instructions_without_their_packages_are_refused(monkeypatch):
    monkeypatch.setattr(instruction, "NEEDED", ("lm_eval", "no_such_package"))
    (task,) = tasks.get(["everyday/instruction"])
    with pytest.raises(DormantError, match=r"not available: .* no_such_package: pip install"):
        _ = task.version
