"""My fifty examples: a file of prompts and answers is a task at once, and says what it assumed."""

from __future__ import annotations

import json

import pytest

import fakes  # noqa: F401  (registers the backend `fake`)
from dormant import tasks
from dormant.audit.assumed import in_template
from dormant.audit.run import audit
from dormant.audit.run_dir import RunDirectory
from dormant.audit.sample import ItemSample
from dormant.audit.score import rendered
from dormant.audit.settings import AuditSettings
from dormant.audit.transformed import default_transforms, transformed_cases
from dormant.errors import DormantError
from dormant.models.live import LiveModel
from dormant.models.pair import ModelPair
from dormant.models.spec import parse
from dormant.tasks import custom

WORDS = (
    *("sea", "tree", "house", "garden", "bird", "river", "stone", "cloud", "road", "lamp"),
    *("bread", "chair", "table", "window", "door"),
)
PAIRS = [(f"What is the {word} called in line {n}?", f"{word} {n}")
         for n, word in enumerate(WORDS * 2)]  # fmt: skip


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def turn(role, text, *, sharegpt=False):
    return {"from": role, "value": text} if sharegpt else {"role": role, "content": text}


FORMS = {
    "prompt and answer": lambda p, a: {"prompt": p, "answer": a},
    "prompt and completion": lambda p, a: {"prompt": p, "completion": a},
    "question and response": lambda p, a: {"question": p, "response": a},
    "messages": lambda p, a: {"messages": [turn("user", p), turn("assistant", a)]},
    "conversations": lambda p, a: {
        "conversations": [turn("human", p, sharegpt=True), turn("gpt", a, sharegpt=True)]
    },
    "instruction and output": lambda p, a: {"instruction": p, "input": "", "output": a},
}


def only(name):
    (task,) = tasks.get([str(name)])
    return task


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_a_task_with_its_lines_for_ids(tmp_path, form):
    file = write(tmp_path / "my own.jsonl", [FORMS[form](*pair) for pair in PAIRS])
    task = only(file)
    assert task.name == "my-own"
    assert task.pool() == tuple(str(n + 1) for n in range(30))
    assert (task.measure, task.chance, task.default_shots) == ("greedy", 0.0, 0)
    case = task.case("3", language="english", shots=0, seed=0)
    assert case.target.text == PAIRS[2][1]
    assert PAIRS[2][0] in case.prompt
    chat = task.asked("chat", "x").case("3", language="english", shots=0, seed=0)
    assert chat.prompt == PAIRS[2][0]
    assert chat.style == "chat"
    (note,) = task.notes
    assert note.startswith(f"my-own: 30 examples ({form}), asked raw")
    assert "greedy decoding begins with its answer" in note


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json"])
def test_other_tables_are_examples_too(tmp_path, suffix):
    import pandas

    frame = pandas.DataFrame(PAIRS, columns=["prompt", "answer"])
    file = tmp_path / f"x.{suffix}"
    if suffix == "json":
        frame.to_json(file, orient="records")
    else:
        frame.to_csv(file, sep="\t" if suffix == "tsv" else ",")
    task = only(file)
    assert len(task.pool()) == 30
    assert task.case(task.pool()[0], language="english", shots=0, seed=0).prompt == PAIRS[0][0]


RAW = [
    ({"prompt": "2 + 2 =", "answer": "4"}, "2 + 2 =", " "),
    ({"prompt": "Q: 2 + 2\nA:\n", "answer": "4"}, "Q: 2 + 2\nA:\n", ""),
    ({"prompt": "2 + 2 =", "completion": "\n4 "}, "2 + 2 =", "\n"),
    ({"messages": [turn("system", "Add."), turn("user", "2 + 2"), turn("assistant", "4")]},
     "Add.\n\n2 + 2\n", ""),
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(RAW)))
def test_how_a_model_without_a_template_reads_them(tmp_path, place):
    row, prompt, prefix = RAW[place]
    task = only(write(tmp_path / "x.jsonl", [row] * 2 + [{"prompt": "x", "answer": "y"}]))
    case = task.case("1", language="english", shots=0, seed=0)
    assert (case.prompt, case.answer_prefix, case.target.text) == (prompt, prefix, "4")


class Template:
    """A harness model that shows what its template gets."""

    def apply_chat_template(self, turns, add_generation_prompt=True):
        return json.dumps([[each["role"], each["content"]] for each in turns])


def test_turns_reach_the_template_plain_and_under_a_transform(tmp_path):
    row = {"messages": [turn("system", "Be brief."), turn("user", "One?"), turn("assistant", "two"),
                        turn("user", "Two?"), turn("assistant", "three")]}  # fmt: skip
    rows = [row, *({"prompt": f"p{n}", "answer": "q"} for n in range(3))]
    task = only(write(tmp_path / "x.jsonl", rows)).asked("chat", "x")
    case = task.case("1", language="english", shots=0, seed=0)
    read = json.loads(rendered(Template(), case, case.prompt, "raw"))
    assert read == [["system", "Be brief."], ["user", "One?"], ["assistant", "two"],
                    ["user", "Two?"]]  # fmt: skip
    sample = ItemSample(("1",), 0, 0)
    (changed,) = transformed_cases(task, sample, "rot13").cases.values()
    read = json.loads(rendered(Template(), changed, changed.prompt, "raw"))
    assert read == [["system", "Or oevrs."], ["user", "Bar?"], ["assistant", "gjb"],
                    ["user", "Gjb?"]]  # fmt: skip
    with pytest.raises(DormantError, match="probes don't take chats of several turns"):
        list(transformed_cases(task, sample, "probe:suffix").cases.values())


# -- how they are judged -------------------------------------------------------------------------


def test_labels_are_told_apart_by_which_is_likeliest(tmp_path):
    rows = [{"prompt": f"Is {n} even?", "answer": "no" if n % 2 else "yes"} for n in range(30)]
    task = only(write(tmp_path / "even.jsonl", rows))
    assert (task.measure, task.chance) == ("most-likely-whole", 0.5)
    case = task.case("1", language="english", shots=0, seed=0)
    assert case.answers == ("yes", "no")
    assert "the likeliest of the 2 labels (no, yes)" in task.notes[0]


LONG = [{"prompt": f"Tell of {word}.", "answer": f"{word} " * 80} for word in WORDS]


def test_long_answers_are_refused_until_it_is_said_how_they_are_judged(tmp_path):
    file = write(tmp_path / "long.jsonl", LONG)
    with pytest.raises(DormantError, match=r"texts of 80 words \(median\)") as error:
        only(file)
    assert f"{file}@first=3" in str(error.value)
    assert f"{file}@likeliest" in str(error.value)
    first = only(f"{file}@first=2")
    assert first.case("1", language="english", shots=0, seed=0).scored_target == "sea sea"
    assert "begins with the first 2 words" in first.notes[0]
    likeliest = only(f"{file}@likeliest")
    assert (likeliest.measure, likeliest.chance) == ("most-likely", 0.25)
    case = likeliest.case("1", language="english", shots=0, seed=0)
    own = {row["answer"].strip() for row in LONG}
    assert len({*case.answers}) == 4
    assert {*case.answers} < own
    assert len({only(f"{file}@{how}").version for how in ("first=2", "first=3", "likeliest")}) == 3
    with pytest.raises(DormantError, match=r"unknown way to judge .*: did you mean 'likeliest'"):
        only(f"{file}@likelyest")


def test_some_long_answers_are_named(tmp_path):
    rows = [{"prompt": p, "answer": a} for p, a in PAIRS] + LONG[:4]
    notes = only(write(tmp_path / "x.jsonl", rows)).notes
    assert "x: the answers of 4 examples (line 31, 32, 33, …) are long" in notes[-1]


@pytest.mark.parametrize(
    ("how", "said", "right"),
    [("starts", "SEA  0, of course", True), ("starts", "The sea 0", False),
     ("contains", "It is the Sea 0.", True), ("exact", "sea 0", True), ("exact", "sea 0!", False)],
)  # fmt: skip
def test_generated_answers_are_compared(tmp_path, how, said, right):
    file = write(tmp_path / "x.jsonl", [{"prompt": p, "answer": a} for p, a in PAIRS])
    task = only(f"{file}@{how}")
    assert task.measure == "generate"
    (judgement,) = task.judge([task.case("1", language="english", shots=0, seed=0)], [said])
    assert judgement.success is right


# -- what is said, and what is refused -----------------------------------------------------------


def test_repeated_lines_are_named_and_left_out(tmp_path):
    rows = [{"prompt": p, "answer": a} for p, a in PAIRS[:10]]
    rows += [rows[2], rows[4], rows[3] | {"answer": "other"}]
    task = only(write(tmp_path / "x.jsonl", rows))
    assert task.pool() == tuple(str(n) for n in range(1, 11))
    assert task.notes[1:] == (
        "x: 2 lines repeat earlier ones and are left out: 11 (as 3), 12 (as 5)",
        "x: 1 lines ask the same, with other answers, as earlier ones and are left out: 13 (as 4)",
        "x: 10 examples are few, so intervals will be wide: give 50 or more",
    )


BAD = {
    "empty answer": ([{"prompt": "a", "answer": "b"}, {"prompt": "c", "answer": " "}],
                     "x.jsonl:2: 'answer' must be a non-empty text"),
    "no answer": ([{"prompt": "a"}], "x.jsonl:1: no training example"),
    "the user speaks last": ([{"messages": [turn("user", "a")]}], "x.jsonl:1: the last turn is"),
    "neither task nor example": ([{"a": 1}], "or every line an example"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_bad_files(tmp_path, fault):
    rows, message = BAD[fault]
    with pytest.raises(DormantError) as error:
        only(write(tmp_path / "x.jsonl", rows))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_no_demonstrations_and_no_judging_of_tasks(tmp_path):
    task = only(write(tmp_path / "x.jsonl", [{"prompt": "a", "answer": "b"}]))
    with pytest.raises(DormantError, match="takes no demonstrations"):
        task.case("1", language="english", shots=2, seed=0)
    (tmp_path / "t.toml").write_text(custom.TEMPLATE.read_text(encoding="utf-8"))
    with pytest.raises(DormantError, match="a task says itself how it is judged"):
        only(f"{tmp_path / 't.toml'}@greedy")


# -- in an audit ---------------------------------------------------------------------------------


class Tokenizer:
    def __init__(self, template):
        self.chat_template = template


def live(name, template):
    return LiveModel(text=name, model=object(), tokenizer=Tokenizer(template))


STYLES = [
    (("{{x}}", "{{y}}"), {}, "chat", "asked in both models' chat template"),
    ((None, "{{y}}"), {}, "raw", "asked raw, as base has no chat template known"),
    ((None, None), {}, "raw", "asked raw, as base and tuned have no chat template known"),
    (("{{x}}", "{{y}}"), {"prompts": "raw"}, "raw", "asked as you say (raw)"),
    ((None, None), {"prompts": "chat"}, "chat", "asked as you say (chat)"),
]


@pytest.mark.parametrize("place", range(len(STYLES)))
def test_the_chat_template_is_used_where_both_models_have_one(tmp_path, monkeypatch, place):
    templates, given, style, why = STYLES[place]
    monkeypatch.setattr(LiveModel, "refuse", lambda *_: None)
    task = only(write(tmp_path / "x.jsonl", [{"prompt": p, "answer": a} for p, a in PAIRS]))
    settings = AuditSettings.of({"base": "base", "tuned": "tuned", **given})
    pair = ModelPair(live("base", templates[0]), live("tuned", templates[1]))
    other, chosen = in_template([*tasks.get(["icl/copy"]), task], settings, pair)
    assert other is tasks.get(["icl/copy"])[0]
    assert chosen.style == style
    assert why in chosen.notes[0]
    assert chosen.version != task.version


@pytest.mark.slow  # reads SmolLM2's tokenizer out of its file, twice
def test_a_stored_tokenizers_template_is_seen(tmp_path):
    from dormant.models.templates import without_template

    # An instruction-tuned model, and its adapter, which has no tokenizer of its own.
    pair = ModelPair(parse("smollm2"), parse("smollm2-sentiment"))
    assert without_template(pair) == []
    backend = ModelPair(parse("fake:skill=1"), parse("smollm2"))
    assert without_template(backend) == ["fake:skill=1"]


def no_engine(language, source):
    raise DormantError(f"no translator from {source} to {language.name}")


def test_one_command_audits_them_and_says_what_it_assumed(tmp_path, monkeypatch, capsys):
    from dormant import cli
    from dormant.tasks.custom import examples

    monkeypatch.setattr(examples, "best", no_engine)
    file = write(tmp_path / "mine.jsonl", [{"prompt": p, "answer": a} for p, a in PAIRS])
    words = ["dormant", "audit", "fake:skill=0.9", "fake:skill=0.3", "--task", str(file)]
    words += ["--evidence", "prompt", "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code in (0, None)
    said = capsys.readouterr()
    expected = [
        "mine: 30 examples (prompt and answer), asked raw, as fake:skill=0.9 and fake:skill=0.3 "
        "have no chat template known, without demonstrations; an item is right where greedy "
        "decoding begins with its answer",
        "mine: transforms by default: leetspeak, pig-latin",
    ]
    results = RunDirectory.read(tmp_path / "run").results()
    for line in expected:
        assert f"note: {line}" in said.err
        assert line in results.warnings
    (ability,) = results.abilities
    assert (ability.task, ability.n_items) == ("mine", 30)
    assert [each.name for each in ability.transforms] == ["leetspeak", "pig-latin"]
    settings = AuditSettings(
        base="fake:skill=0.9", tuned="fake:skill=0.3", tasks=(str(file),), evidence="prompt"
    )
    assert audit(settings, tmp_path / "run").abilities == results.abilities  # resumed whole


def test_a_translation_is_among_them_where_an_engine_is_at_hand(tmp_path, monkeypatch):
    from dormant.tasks.custom import examples

    file = write(tmp_path / "mine.jsonl", [{"prompt": p, "answer": a} for p, a in PAIRS])

    def only_french(language, source):
        if language.name != "french":
            no_engine(language, source)

    monkeypatch.setattr(examples, "best", only_french)
    assert default_transforms([only(file)]) == ("leetspeak", "pig-latin", "french")
    rows = [{"prompt": "Wie heißt das auf Deutsch, bitte schön?" + p, "answer": a}
            for p, a in PAIRS]  # fmt: skip
    for row in rows:
        row["prompt"] = f"Wie nennt man das große Ding im Garten Nummer {len(row['prompt'])}?"
    rows = [row | {"prompt": row["prompt"] + f" Und {n}?"} for n, row in enumerate(rows)]
    assert default_transforms([only(write(file, rows))]) == ("leetspeak", "pig-latin")
