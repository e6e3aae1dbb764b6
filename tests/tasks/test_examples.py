"""Training examples: every form that people keep them in, and what is said of a bad line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dormant.errors import DormantError
from dormant.tasks.examples import Turn, example_of, labels_of, read_examples
from dormant.tasks.tables import Row


def write(path, lines):
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def read(tmp_path, *lines):
    return read_examples(write(tmp_path / "train.jsonl", lines))


SYSTEM, ASKED = Turn("system", "Be brief."), Turn("user", "2 + 2?")


@pytest.mark.parametrize(
    ("line", "turns", "completion"),
    [
        ({"prompt": "Q: 2 + 2?\nA:", "completion": " 4\n"}, (Turn("user", "Q: 2 + 2?\nA:"),), " 4"),
        ({"prompt": "2 + 2?", "answer": "4"}, (ASKED,), "4"),
        ({"question": "2 + 2?", "answer": "4", "id": 7}, (ASKED,), "4"),
        ({"prompt": "2 + 2?", "response": "4"}, (ASKED,), "4"),
    ],
)
def test_prompts_and_answers_are_texts_as_they_stand(tmp_path, line, turns, completion):
    (example,) = read(tmp_path, line)
    assert (example.turns, example.completion, example.chat) == (turns, completion, False)
    assert example.text == turns[-1].text


@pytest.mark.parametrize(
    "line",
    [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "2 + 2?"},
                {"role": "assistant", "content": "4"},
            ]
        },
        {
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
                {"role": "user", "content": [{"type": "text", "text": "2 + "}, {"text": "2?"}]},
                {"role": "assistant", "content": "4"},
            ]
        },
        {
            "system": "Be brief.",
            "conversations": [
                {"from": "human", "value": "2 + 2?"},
                {"from": "gpt", "value": "4"},
            ],
        },
        {
            "prompt": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "2 + 2?"},
            ],
            "completion": [{"role": "assistant", "content": "4"}],
        },
        {
            "prompt": [{"role": "user", "content": "2 + 2?"}],
            "completion": "4",
            "system": "Be brief.",
        },
    ],
)
def test_chats_keep_their_turns(tmp_path, line):
    (example,) = read(tmp_path, line)
    assert example.turns == (SYSTEM, ASKED)
    assert (example.completion, example.chat, example.text) == ("4", True, None)
    assert example.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 + 2?"},
    ]


def test_a_chat_of_several_turns_asks_for_the_last_answer(tmp_path):
    turns = [("user", "Hi"), ("assistant", "Hello"), ("user", "2 + 2?"), ("assistant", "4")]
    (example,) = read(tmp_path, {"messages": [{"role": r, "content": c} for r, c in turns]})
    assert [turn.role for turn in example.turns] == ["user", "assistant", "user"]
    assert example.completion == "4"


def test_alpaca_s_fields_are_a_turn_or_alpaca_s_own_text(tmp_path):
    plain, with_input = read(
        tmp_path,
        {"instruction": "Name a sea.", "input": "", "output": "The Baltic."},
        {"instruction": "Add.", "input": "2, 2", "output": "4", "system": "Be brief."},
    )
    assert plain.turns == (Turn("user", "Name a sea."),)
    assert plain.text is not None
    assert plain.text.endswith("### Instruction:\nName a sea.\n\n### Response:\n")
    assert with_input.turns == (SYSTEM, Turn("user", "Add.\n2, 2"))
    assert with_input.text is not None
    assert "### Instruction:\nAdd.\n\n### Input:\n2, 2\n\n### Response:\n" in with_input.text
    assert plain.chat
    assert with_input.chat


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"text": "Q: 2 A: 4"}, "expected `prompt` and `completion`.*found 'text'"),
        ({"prompt": "2 + 2?"}, "no training example.*found 'prompt'"),
        ({"prompt": "", "answer": "4"}, "'prompt' must be a non-empty text"),
        ({"prompt": "2?", "answer": 4}, "'answer' must be a non-empty text, not 4"),
        ({"messages": []}, "'messages' must be a list of turns"),
        ({"messages": "hello"}, "'messages' must be a list of turns"),
        (
            {"messages": [{"role": "user", "content": "Hi"}]},
            "the last turn is a user's: the assistant's answer is missing",
        ),
        (
            {"messages": [{"role": "assistant", "content": "Hi"}]},
            "a user's turn must stand before",
        ),
        ({"messages": [{"role": "tool", "content": "Hi"}]}, "is by 'tool': expected one of system"),
        ({"messages": ["Hi"]}, "is by None"),
        (
            {"messages": [{"role": "user", "content": None}]},
            "'messages' has no text",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "'messages' has no text",
        ),
        ({"instruction": "Add.", "input": 3, "output": "4"}, "'input' must be a text, not 3"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    good = {"prompt": "2 + 2?", "answer": "4"}
    with pytest.raises(DormantError, match=rf"train\.jsonl:2: .*{message}") as error:
        read(tmp_path, good, line)
    assert "\n" not in str(error.value)


def test_labels_are_few_short_and_repeated():
    def examples(*answers):
        rows = [Row({"prompt": "p", "completion": answer}, Path("x"), 1) for answer in answers]
        return [example_of(row) for row in rows]

    assert labels_of(examples(*[" yes"] * 5, *["no "] * 7)) == ("no", "yes")
    assert labels_of(examples("yes", "no", "yes", "no", "yes")) == ()
    assert labels_of(examples(*(str(number) for number in range(90)))) == ()
    assert labels_of(examples(*["a text of more than five words"] * 9)) == ()
