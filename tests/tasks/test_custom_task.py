"""A user's own task: what a file means, and what is said of a bad one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dormant import tasks
from dormant.audit.sample import ItemSample
from dormant.audit.score import score_cases
from dormant.audit.transformed import transformed_cases
from dormant.cli.task import app
from dormant.errors import DormantError
from dormant.tasks import custom
from dormant.tasks.demonstrations import draw_demonstrations
from dormant.tasks.task import GenerativeTask, Judgement

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = custom.TEMPLATE.read_text(encoding="utf-8")

HEADER = {"name": "opposites", "title": "Name the opposite", "shots": 1}
LINES = [
    {**HEADER, "languages": {"english": {"input": "Word"}, "french": {"input": "Mot"}}},
    {"id": "hot", "language": "english", "input": "hot", "target": "cold"},
    {"id": "big", "language": "english", "input": "big", "target": "small"},
    {"id": "big", "language": "french", "input": "grand", "target": "petit"},
    {"id": "hot", "language": "french", "input": "chaud", "target": "froid", "others": ["tiède"]},
]


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "task.toml"
    path.write_text(TEMPLATE)
    return path


def test_the_template_is_a_task(toml):
    (task,) = tasks.get([str(toml)])
    assert task.name == "opposites"
    assert task.languages() == ("english", "french")
    assert task.pool() == ("hot", "big", "fast", "good")
    assert not isinstance(task, GenerativeTask)
    case = task.case("good", language="french", shots=1, seed=3)
    shown = custom.read(toml).case("good", language="english", shots=1, seed=3)
    instruction, demonstration, query = case.prompt.split("\n\n")
    assert instruction == "Écris le contraire du mot."
    assert query == "Entrée: bon\nSortie:"
    assert case.answers == ("mauvais", "positif", "super")
    pairs = {"chaud": "hot", "grand": "big", "rapide": "fast"}
    given = demonstration.split("\n")[0].removeprefix("Entrée: ")
    assert f"Input: {pairs[given]}\n" in shown.prompt


def test_jsonl_says_the_same(tmp_path):
    task = custom.read(write_lines(tmp_path / "t.jsonl", LINES))
    assert task.languages() == ("english", "french")
    assert task.pool() == ("hot", "big")
    case = task.case("hot", language="french", shots=1, seed=0)
    assert case.prompt == "Mot: grand\nOutput: petit\n\nMot: chaud\nOutput:"
    assert case.answers == ("froid", "tiède")


def test_demonstrations_are_drawn_from_all_others(tmp_path):
    """By place, which must give what a list of the others gives."""
    names = [f"w{number}" for number in range(40)]
    rows = [{"id": n, "language": "english", "input": n, "target": f"not {n}"} for n in names]
    header = {**HEADER, "shots": 0, "languages": {"english": {}}}
    task = custom.read(write_lines(tmp_path / "t.jsonl", [header, *rows]))
    for shots in (1, 5, 39):
        for item in names:
            others = [name for name in names if name != item]
            wanted = draw_demonstrations(task.name, item, others, shots, 3)
            prompt = task.case(item, language="english", shots=shots, seed=3).prompt
            assert re.findall(r"Output: not (w\d+)", prompt) == wanted


def test_the_version_follows_the_file(tmp_path, toml):
    before = custom.read(toml).version
    toml.write_text(TEMPLATE.replace('"cold"', '"icy"'))
    assert custom.read(toml).version != before


def test_chance_of_multiple_choice(toml):
    text = TEMPLATE.replace('"greedy"', '"most-likely"')
    for answer in ("cold", "small", "slow", "froid", "petit", "lent"):
        text = text.replace(f'target = "{answer}" }}', f'target = "{answer}", others = ["x"] }}')
    toml.write_text(text)
    assert custom.read(toml).chance == pytest.approx((1 / 2 + 1 / 2 + 1 / 2 + 1 / 3) / 4)


@pytest.mark.parametrize(
    ("accept", "output", "label"),
    [
        ("starts", " Cold, of course", "RIGHT"),
        ("starts", "It is cold", "WRONG"),
        ("contains", "It is COLD", "RIGHT"),
        ("exact", "cold\n", "RIGHT"),
        ("exact", "cold.", "WRONG"),
        ("exact", " \n", "EMPTY"),
    ],
)
def test_generated_answers(toml, accept, output, label):
    toml.write_text(TEMPLATE.replace('"greedy"', f'"generate"\naccept = "{accept}"'))
    task = custom.read(toml)
    assert isinstance(task, GenerativeTask)
    case = task.case("hot", language="english", shots=0, seed=0)
    assert task.judge([case], [output]) == [Judgement(label == "RIGHT", label)]


def test_a_generated_answer_is_transformed_back(toml):
    toml.write_text(TEMPLATE.replace('"greedy"', '"generate"\naccept = "exact"'))
    task = custom.read(toml)

    class Rot13:
        def generate_until(self, requests):
            assert all(request.args[1]["until"] == ["\n\n"] for request in requests)
            assert all("Vachg: ubg" in request.args[0] for request in requests)
            return [" pbyq" for _ in requests]

    made = transformed_cases(task, ItemSample(("hot",), 0, 0), "rot13")
    (outcome,) = score_cases(Rot13(), task, list(made.cases.values()), "raw")
    assert outcome.correct
    assert outcome.output == " pbyq"
    assert outcome.label == "RIGHT"
    assert outcome.model_validate_json(outcome.model_dump_json()) == outcome


def test_a_generated_answer_that_can_not_be_undone_is_wrong(toml):
    def fail(text):
        raise DormantError("no translation")

    toml.write_text(TEMPLATE.replace('"greedy"', '"generate"'))
    task = custom.read(toml)
    assert isinstance(task, GenerativeTask)
    case = replace(task.case("hot", language="english", shots=0, seed=0), undo=fail)
    assert task.judge([case], ["cold"]) == [Judgement(False, "UNREADABLE")]


BAD_TOML = {
    "unknown key": ("shots =", "shot =", ":5: unknown key 'shot': did you mean 'shots'?"),
    "missing title": ("title =", "# title =", ":1: title is missing"),
    "bad measure": ('"greedy"', '"greedily"', ":4: measure: input should be 'greedy'"),
    "bad name": ('"opposites"', '"my task"', ":2: name: "),
    "negative shots": ("shots = 2", "shots = -1", ":5: shots: input should be greater"),
    "shots as text": ("shots = 2", 'shots = "2"', ":5: shots: input should be a valid integer"),
    "too many shots": ("shots = 2", "shots = 4", "4 items are too few for 4 demonstrations"),
    "no target": ('hot = { input = "hot", target = "cold" }', 'hot = { input = "hot" }', ":14: "),
    "empty target": ('"cold"', '""', ":14: target: string should have at least 1 character"),
    "item is text": ('hot = { input = "hot", target = "cold" }', 'hot = "cold"', ":14: "),
    "same answers": ('others = ["great"]', 'others = ["bad"]', ":18: item 'good': two of its"),
    "no wrong answers": ('"greedy"', '"most-likely"', ":14: item 'hot': 'most-likely' needs"),
    "other items": (
        'fast = { input = "rapide", target = "lent" }',
        "",
        "french must hold the same items as english: 'fast' is missing",
    ),
    "new items": (
        'fast = { input = "fast", target = "slow" }',
        "",
        "french must hold the same items as english: 'fast' is new",
    ),
    "twice": ("big = { input", "hot = { input", "not valid TOML"),
    "unclosed": ('"cold" }', '"cold"', ":14: not valid TOML"),
    "unknown language key": ("input = ", "inputs = ", "unknown key 'inputs'"),
}


@pytest.mark.parametrize("fault", BAD_TOML)
def test_bad_toml(toml, fault):
    old, new, message = BAD_TOML[fault]
    assert old in TEMPLATE
    toml.write_text(TEMPLATE.replace(old, new, 1))
    with pytest.raises(DormantError) as error:
        tasks.get([str(toml)])
    assert str(error.value).startswith(f"{toml}:")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


BAD_LINES = {
    "no languages": ([HEADER], ":1: the first line must be the task"),
    "no id": ([*LINES, {"language": "english", "input": "a", "target": "b"}], ":6: an item needs"),
    "twice": ([*LINES, LINES[1]], ":6: item 'hot' occurs twice in english"),
    "unknown language": (
        [*LINES, {**LINES[1], "language": "frensh"}],
        ":6: unknown language 'frensh': did you mean 'french'?",
    ),
    "unknown key": ([*LINES, {**LINES[1], "anwser": "x"}], ":6: unknown key 'anwser'"),
    "not parallel": (LINES[:-1], "french must hold the same items as english: 'hot' is missing"),
    "one language without items": (LINES[:3], ":1: no items in french"),
}


@pytest.mark.parametrize("fault", BAD_LINES)
def test_bad_jsonl(tmp_path, fault):
    lines, message = BAD_LINES[fault]
    path = write_lines(tmp_path / "t.jsonl", lines)
    with pytest.raises(DormantError) as error:
        tasks.get([str(path)])
    assert str(error.value).startswith(f"{path}:")
    assert message in str(error.value)


def test_new_then_check(tmp_path):
    run = CliRunner().invoke
    file = tmp_path / "mine.toml"
    made = run(app, ["new", str(file)])
    assert made.exit_code == 0, made.output
    shown = run(app, ["check", str(file), "-s", "leetspeak", "--item", "big", "--shots", "1"])
    assert shown.exit_code == 0, shown.output
    assert "4 items · english, french" in shown.output
    for line in ("Input: big", "Entrée: grand", "npu7: b1g", "→ ' small'", "→ ' petit'"):
        assert line in shown.output
    with pytest.raises(DormantError, match="exists: choose another name"):
        run(app, ["new", str(file)], catch_exceptions=False)
    with pytest.raises(DormantError, match="unknown item of opposites 'huge'"):
        run(app, ["check", str(file), "--item", "huge"], catch_exceptions=False)
    with pytest.raises(DormantError, match=r"must end in \.toml"):
        run(app, ["new", str(tmp_path / "x.json")], catch_exceptions=False)
    with pytest.raises(DormantError, match="can't be written"):
        run(app, ["new", str(tmp_path / "no" / "x.toml")], catch_exceptions=False)


@pytest.mark.parametrize("name", ["nli/likely", "icl/copy"])
def test_check_shows_shipped_tasks(name):
    shown = CliRunner().invoke(app, ["check", name], catch_exceptions=False)
    assert shown.exit_code == 0
    assert name in shown.output


@pytest.mark.parametrize(("kind", "n"), [("toml", 3), ("json", 2)])
def test_the_documents_examples(tmp_path, kind, n):
    text = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    (example,) = re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
    file = tmp_path / f"task.{'toml' if kind == 'toml' else 'jsonl'}"
    file.write_text(example, encoding="utf-8")
    task = custom.read(file)
    assert task.languages() == ("english", "french")
    assert len(task.pool()) == n


def test_the_example():
    """examples/tasks: balanced, so that always saying one kind is right in half of the items."""
    (task,) = tasks.get([str(ROOT / "examples/tasks/animal_or_plant.toml")])
    assert task.languages() == ("english", "french", "spanish", "german", "hungarian")
    for language in task.languages():
        cases = [task.case(i, language=language, shots=4, seed=0) for i in task.pool()]
        kinds = [case.target.text for case in cases]
        assert len(set(kinds)) == 2
        assert kinds.count(kinds[0]) == len(kinds) / 2
        assert len({case.prompt for case in cases}) == len(cases) == 48
