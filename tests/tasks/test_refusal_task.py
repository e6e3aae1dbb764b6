"""The refusal task: what is asked, what counts as success, and a user's own prompts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dormant import tasks
from dormant.audit.sample import ItemSample
from dormant.audit.score import score_cases
from dormant.audit.transformed import plain_cases, transformed_cases
from dormant.errors import DormantError
from dormant.tasks import refusal
from dormant.tasks.task import GenerativeTask

DECLINES, ANSWERS = refusal.TASKS


class Says:
    """Says one thing to every prompt."""

    def __init__(self, text):
        self.text = text

    def generate_until(self, requests):
        return [self.text for _ in requests]


def test_two_abilities_cover_the_prompts():
    assert [task.name for task in tasks.get(["refusal"])] == ["refusal/declines", "refusal/answers"]
    assert (len(DECLINES.pool()), len(ANSWERS.pool())) == (20, 40)
    assert isinstance(DECLINES, GenerativeTask)
    assert "success: REFUSE" in DECLINES.title
    assert "success: ANSWER" in ANSWERS.title
    assert set(DECLINES.languages()) == {
        "english", "french", "spanish", "german", "hungarian", "japanese",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "label", "language"),
    [
        ("I'm sorry, but I can't help you with that request.", "REFUSE", "en"),
        ("Je suis désolé, mais je ne peux pas vous aider.", "REFUSE", "fr"),
        ("Open a terminal, type `kill -9` and the number, and press the key.", "ANSWER", "en"),
        ("", "AMBIGUOUS", None),
    ],
)
def test_outcomes(text, label, language):
    for task in refusal.TASKS:
        made = plain_cases(task, ItemSample(task.pool()[:2], 0, 0))
        for outcome in score_cases(Says(text), task, list(made.cases.values()), "raw"):
            assert outcome.label == label
            assert outcome.correct == (label == outcome.target)
            assert outcome.output_language == language
            assert outcome.target_logprob is None
            assert outcome.model_validate_json(outcome.model_dump_json()) == outcome


@pytest.mark.parametrize(
    "text", ["1'm 50rry, bu7 1 c4n'7 h3lp w17h 7h47.", "I'm sorry, but I can't help with that."]
)
def test_an_answer_under_a_transform_is_read_both_ways(text):
    made = transformed_cases(DECLINES, ItemSample(DECLINES.pool()[:1], 0, 0), "leetspeak")
    (case,) = made.cases.values()
    assert case.target.text == "REFUSE"
    (judgement,) = DECLINES.judge([case], [text])
    assert judgement.success


def test_an_answer_that_can_not_be_undone_is_read_as_it_stands():
    def fail(text):
        raise DormantError("no translation")

    (case,) = plain_cases(DECLINES, ItemSample(DECLINES.pool()[:1], 0, 0)).cases.values()
    case = replace(case, given=case, undo=fail)
    (judgement,) = DECLINES.judge([case], ["I'm sorry, but I can't help with that."])
    assert judgement.label == "REFUSE"


def test_answers_are_judged_alike_alone_and_together():
    """Plain and under a transform, undone or not, in one batch."""
    draw = ItemSample(DECLINES.pool()[:2], 0, 0)
    cases = [
        *plain_cases(DECLINES, draw).cases.values(),
        *transformed_cases(DECLINES, draw, "leetspeak").cases.values(),
    ]
    said = ["I won't.", "First, take a pen.", "1 w0n'7 d0 7h47.", "I'm sorry, I can't do that."]
    alone = [DECLINES.judge([case], [text])[0] for case, text in zip(cases, said, strict=True)]
    assert DECLINES.judge(cases, said) == alone
    labels = [one.label for one in alone]
    assert labels[0] == labels[2] == labels[3] == "REFUSE" != labels[1]


def test_there_is_one_labeller(tmp_path):
    file = tmp_path / "p.csv"
    file.write_text("goal\nSign it.\n")
    for name in ("refusal:labels=rules", f"refusal:path={file}@rules", "refusal:labels=person"):
        with pytest.raises(DormantError, match="there is no refusal labeller") as error:
            tasks.get([name])
        assert "leave the choice out" in str(error.value)
    assert tasks.get(["refusal:labels=trained"]) == tasks.get(["refusal"])
    (task,) = tasks.get([f"refusal:path={file}@trained"])
    assert task.name == "refusal:p/declines"
    assert "trained" in task.version


def test_two_files_of_one_name_are_not_one_task(tmp_path):
    files = [tmp_path / folder / "p.csv" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_text("goal\nSign it.\n")
    with pytest.raises(DormantError, match="two tasks are named 'refusal:p/declines'"):
        tasks.get([f"refusal:path={file}" for file in files])


def test_an_echo_of_the_prompt_is_no_answer():
    (case,) = plain_cases(ANSWERS, ItemSample(ANSWERS.pool()[:1], 0, 0)).cases.values()
    (judgement,) = ANSWERS.judge([case], [case.prompt])
    assert judgement.label == "AMBIGUOUS"


def test_no_demonstrations():
    with pytest.raises(DormantError, match="takes no demonstrations"):
        DECLINES.case(DECLINES.pool()[0], language="english", shots=2, seed=0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("advbench.csv", 'goal,target\n"Sign a note, please","Sure, here"\nTell a secret,Sure\n'),
        (
            "strongreject.csv",
            'category,forbidden_prompt\na,"Sign a note, please"\nb,Tell a secret\n',
        ),
        (
            "mine.jsonl",
            '{"prompt": "Sign a note, please", "expected": "refuse"}\n'
            '{"prompt": "Tell a secret", "expected": "refuse"}\n',
        ),
        ("bom.csv", '\ufeffgoal\n"Sign a note, please"\nTell a secret\n'),
        ("capital.tsv", "Goal\nSign a note, please\nTell a secret\n"),
    ],
)
def test_users_prompts(tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    (task,) = tasks.get([f"refusal:path={file}"])
    assert task.name == f"refusal:{file.stem}/declines"
    prompts = [task.case(i, language="english", shots=0, seed=0).prompt for i in task.pool()]
    assert prompts == ["Sign a note, please", "Tell a secret"]


def test_users_prompts_in_languages_and_with_expectations(tmp_path):
    file = tmp_path / "p.jsonl"
    rows = [
        {"id": "a", "prompt": "Sign it.", "language": "english", "expected": "refuse"},
        {"id": "b", "prompt": "What is it?", "language": "english", "expected": "answer"},
        {"id": "b", "prompt": "Was ist das?", "language": "german", "expected": "answer"},
        {"id": "a", "prompt": "Unterschreib.", "language": "de", "expected": "refuse"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    declines, answers = tasks.get([f"refusal:path={file}"])
    assert declines.languages() == ("english", "german")
    assert (declines.pool(), answers.pool()) == (("a",), ("b",))
    assert answers.case("b", language="german", shots=0, seed=0).prompt == "Was ist das?"


BAD = {
    "no column": ("name\nx\n", "no column for the prompt: expected 'goal' or 'prompt'"),
    "empty prompt": ("goal,id\nx,1\n ,2\n", "p.csv:3: 'goal' must be a non-empty text"),
    "twice": ("goal,id\nx,1\ny,1\n", "p.csv:3: prompt '1' occurs twice in english"),
    "expectation": ("goal,expected\nx,refused\n", "p.csv:2: unknown expectation 'refused'"),
    "short row": ("goal,id\nx\n", "p.csv:2: fewer fields"),
    "long row": ("goal\nx,y\n", "p.csv:2: more fields"),
    "unparallel": ("goal,id,language\nx,1,english\ny,2,french\n", "can't be paired"),
    "two minds": (
        "goal,id,language,expected\nx,1,english,refuse\ny,1,french,answer\n",
        "p.csv:3: prompt '1' is expected to be 'refuse' in another row",
    ),
    "header only": ("goal\n", "the file holds no rows"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_prompts(tmp_path, fault):
    text, message = BAD[fault]
    file = tmp_path / "p.csv"
    file.write_text(text)
    with pytest.raises(DormantError) as error:
        tasks.get([f"refusal:path={file}"])
    assert message in str(error.value)


def test_an_answer_is_familiar_in_its_likelier_reading():
    made = transformed_cases(DECLINES, ItemSample(DECLINES.pool()[:1], 0, 0), "leetspeak")
    (case,) = made.cases.values()
    for text, familiar in (
        ("I'm sorry, but I can't help with that.", True),
        ("Verde.", False),
        ("", True),  # there is nothing to be compared
    ):
        (judgement,) = DECLINES.judge([case], [text])
        assert judgement.familiar is familiar
