"""The model `dormant` inside the harness: what reaches the model below, and what comes back."""

from __future__ import annotations

import functools
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

from dormant import transforms
from dormant.errors import DormantError
from dormant.integrations.lm_eval import base, register
from dormant.integrations.lm_eval.model import ConjugateLM

ROOT = Path(__file__).resolve().parents[3]


@register_model("recorder")
class Recorder(LM):
    """Answers by a rule, and keeps all that it was asked and given."""

    calls: list = []  # noqa: RUF012
    made: list = []  # noqa: RUF012
    breaks_after: int | None = None

    def __init__(self, completion="ubefr", rank="0", world="1", **given):
        super().__init__()
        self.completion, self._rank, self._world_size = completion, int(rank), int(world)
        self.given = given
        self.made.append(self)

    def _answer(self, method, request, answer):
        if self.breaks_after is not None and len(self.calls) >= self.breaks_after:
            raise RuntimeError("the power failed")
        self.calls.append((method, *request.args))
        self.cache_hook.add_partial(method, request.args, answer)
        return answer

    def loglikelihood(self, requests):
        return [
            self._answer("loglikelihood", r, (-1.0 - sum(map(ord, "".join(r.args))) % 97, False))
            for r in requests
        ]

    def loglikelihood_rolling(self, requests):
        return [
            self._answer("loglikelihood_rolling", r, -float(sum(map(ord, r.args[0])) % 97))
            for r in requests
        ]

    def generate_until(self, requests, disable_tqdm=False):
        return [self._answer("generate_until", r, self.completion) for r in requests]

    def apply_chat_template(self, chat_history, add_generation_prompt=True):
        turns = "".join(f"<|{m['role']}|>{m['content']}<|end|>" for m in chat_history)
        if not add_generation_prompt:
            return turns.removesuffix("<|end|>")
        return f"<|begin|>{turns}<|assistant|>"

    def chat_template(self, chat_template=False):
        return f"template {chat_template}"

    @property
    def tokenizer_name(self):
        return "recorder"

    def get_model_info(self):
        return {"size": 3}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(Recorder, "calls", [])
    monkeypatch.setattr(Recorder, "made", [])
    monkeypatch.setattr(Recorder, "breaks_after", None)


@pytest.fixture
def evaluate(tasks):
    """Run the harness on one of the local tasks, whose text may be changed before."""
    register()

    def run(task, transform="rot13", *, change=None, more="", **options):
        args = {"base": "recorder", "transform": transform, **options.pop("args", {})}
        file = tasks / f"{task}.yaml"
        text = file.read_text() + more
        for old, new in (change or {}).items():
            assert old in text
            text = text.replace(old, new)
        file.write_text(text)
        return simple_evaluate(
            "dormant",
            model_args=args,
            tasks=[task],
            task_manager=TaskManager(include_path=tasks, include_defaults=False),
            bootstrap_iters=0,
            **options,
        )

    return run


def rot13(text):
    return transforms.get("rot13").apply(text)


# -- raw prompts ------------------------------------------------------------------------------


def test_context_and_continuation_are_transformed(evaluate):
    evaluate("tiny_choice", limit=1, system_instruction="Be brief.")
    prompt = "Or oevrs.\n\nPubbfr gur evtug nafjre.\n\nDhrfgvba: Juvpu vf na navzny?\nNafjre:"
    assert Recorder.calls == [
        ("loglikelihood", prompt, f" {rot13(choice)}") for choice in ("a stone", "a horse", "a cup")
    ]


@pytest.mark.parametrize(
    ("few", "target"), [("\\n\\n", " "), ("\\n---\\n", "\\n"), (" || ", "\\t")]
)
def test_delimiters_of_demonstrations_and_targets_survive(evaluate, few, target):
    evaluate(
        "tiny_choice",
        "pig-latin",
        more=f'fewshot_delimiter: "{few}"\ntarget_delimiter: "{target}"\n',
        change={"doc_to_target: answer": "doc_to_target: answer\nnum_fewshot: 2"},
        limit=2,
    )
    assert Recorder.calls
    few, target = (text.encode().decode("unicode_escape") for text in (few, target))
    for _, prompt, answer in Recorder.calls:
        blocks = prompt.partition("\n\n")[2].split(few)
        assert len(blocks) == 3
        assert all(block.startswith("Estionquay: ") for block in blocks)
        assert all(f"\nAnsweryay:{target}" in block for block in blocks[:-1])
        assert blocks[-1].endswith("\nAnsweryay:")
        assert answer.startswith(target)
        assert "ay" in answer


def test_rolling_texts_are_transformed(evaluate):
    evaluate("tiny_rolling", limit=1)
    assert Recorder.calls == [
        ("loglikelihood_rolling", rot13("Which is an animal? It may be a horse."))
    ]


def test_generation_there_and_back(evaluate):
    found = evaluate("tiny_generate", limit=1, args={"completion": " N ubefr"})
    ((_, prompt, settings),) = Recorder.calls
    assert prompt == "Dhrfgvba: Juvpu vf na navzny?\nNafjre:"
    assert settings == {"until": ["\n\n", "Dhrfgvba:"], "max_gen_toks": 6, "do_sample": False}
    (sample,) = found["samples"]["tiny_generate"]
    assert sample["resps"] == [[" A horse"]]
    # What the task asked for, not what the model read: logs of several transforms can be paired.
    assert sample["arguments"][0][0] == "Question: Which is an animal?\nAnswer:"


def test_answers_that_can_not_be_read_back_are_empty_and_told(evaluate, caplog, tmp_path):
    # The cache undoes an answer once more, which must not count twice.
    cache = {"use_cache": str(tmp_path / "answers")}
    found = evaluate("tiny_generate", "base64", args={"completion": "horse!"}, **cache)
    assert {tuple(s["resps"][0]) for s in found["samples"]["tiny_generate"]} == {("",)}
    assert "base64: 6 of 6 answers can't be read back, and count as empty" in caplog.text


def test_answers_that_become_the_same_are_told(evaluate, caplog, monkeypatch):
    import dataclasses

    blurred = dataclasses.replace(
        transforms.get("rot13"),
        exact=False,
        apply_batch=lambda texts: [text.replace("stone", "cup") for text in texts],
    )
    monkeypatch.setattr("dormant.transforms.get", lambda *_: blurred)
    evaluate("tiny_choice", "blurred")
    assert "have become the same in 1 of 6 prompts" in caplog.text
    assert (
        "blurred is a translation: answers to choose from are translated one by one" in caplog.text
    )


# -- chat templates ---------------------------------------------------------------------------


def test_messages_are_transformed_and_the_template_is_not(evaluate):
    evaluate(
        "tiny_choice",
        more="num_fewshot: 1\n",
        limit=1,
        apply_chat_template=True,
        system_instruction="Be brief.",
    )
    _, prompt, answer = Recorder.calls[1]
    assert answer == "n ubefr"
    begin, system, question, told, query, end = _turns(prompt)
    assert (begin, end) == ("<|begin|>", "<|assistant|>")
    assert system == "<|system|>Or oevrs.\n\nPubbfr gur evtug nafjre.\n\n"
    assert question.startswith("<|user|>Dhrfgvba: Juvpu ")
    assert told.startswith("<|assistant|>")
    assert query == "<|user|>Dhrfgvba: Juvpu vf na navzny?\nNafjre:"


def _turns(prompt):
    """Cut a prompt of the recorder's into its turns, with what begins and ends it."""
    turns = prompt.removeprefix("<|begin|>").removesuffix("<|assistant|>").split("<|end|>")
    assert turns.pop() == ""
    return ["<|begin|>", *turns, "<|assistant|>"]


def test_demonstrations_in_one_message(evaluate):
    evaluate(
        "tiny_choice",
        more="num_fewshot: 2\n",
        limit=1,
        apply_chat_template=True,
        fewshot_as_multiturn=False,
    )
    _, system, user, _ = _turns(Recorder.calls[0][1])
    assert system == "<|system|>Pubbfr gur evtug nafjre.\n\n"
    assert user.count("\n\nDhrfgvba: ") == 2
    assert user.count("\nNafjre: ") == 2


def test_an_answer_that_is_begun(evaluate):
    evaluate(
        "tiny_choice",
        more='gen_prefix: "The answer is"\n',
        limit=1,
        apply_chat_template=True,
    )
    _, prompt, answer = Recorder.calls[0]
    assert prompt.endswith("<|end|><|assistant|>Gur nafjre vf")
    assert answer == " n fgbar"


def test_generation_in_a_chat(evaluate):
    found = evaluate("tiny_generate", apply_chat_template=True, limit=1)
    ((_, prompt, settings),) = Recorder.calls
    assert prompt == "<|begin|><|user|>Dhrfgvba: Juvpu vf na navzny?\nNafjre:<|end|><|assistant|>"
    assert settings["until"] == ["\n\n", "Dhrfgvba:"]
    assert found["samples"]["tiny_generate"][0]["resps"] == [["horse"]]


def test_kept_numbers_of_a_chat_come_back(evaluate, tasks):
    data = tasks / "docs.jsonl"
    data.write_text('{"question": "Is 16 less than 9?", "choices": ["16", "9"], "answer": 0}\n')
    args = {"keep": True, "completion": "16 15 l355"}
    found = evaluate("tiny_generate", "leetspeak", apply_chat_template=True, args=args)
    assert "|5 16 l355 7h4n 9?" in Recorder.calls[0][1]
    assert found["samples"]["tiny_generate"][0]["resps"] == [["16 is less"]]


def test_a_prompt_that_a_task_changes_after_the_template_is_refused():
    lm = ConjugateLM(base="recorder", transform="rot13")
    prompt = lm.apply_chat_template([{"role": "user", "content": "Hello, who is there?"}])
    from lm_eval.api.instance import Instance

    with pytest.raises(DormantError, match="changes its prompts after the chat template"):
        lm.loglikelihood([Instance("loglikelihood", {}, (f"{prompt} More.", " yes"), 0)])
    assert not Recorder.calls
    # Another task's raw prompt is none of the template's.
    lm.loglikelihood([Instance("loglikelihood", {}, ("Hello", " yes"), 0)])
    assert Recorder.calls == [("loglikelihood", "Uryyb", " lrf")]


def test_messages_for_a_server_of_chats(monkeypatch):
    from lm_eval.api.instance import Instance
    from lm_eval.models.api_models import JsonChatStr

    monkeypatch.setattr(
        Recorder,
        "apply_chat_template",
        lambda self, history, add_generation_prompt=True: JsonChatStr(history[0]["content"]),
    )
    lm = ConjugateLM(base="recorder", transform="leetspeak", keep=True, completion="16 15 0k")
    prompt = lm.apply_chat_template([{"role": "user", "content": "Is 16 ok?"}])
    request = Instance("generate_until", {}, (prompt, {"until": None}), 0)
    assert lm.generate_until([request], disable_tqdm=True) == ["16 is ok"]
    assert Recorder.calls == [("generate_until", JsonChatStr("|5 16 0k?"), {"until": None})]


# -- caches -----------------------------------------------------------------------------------


def answers(found, task="tiny_choice"):
    return [sample["resps"] for sample in found["samples"][task]]


def test_two_transforms_can_share_a_cache_of_answers(evaluate, tmp_path):
    # The cache writes each answer to disk: two documents are enough.
    evaluate = functools.partial(evaluate, use_cache=str(tmp_path / "answers"), limit=2)
    first = evaluate("tiny_choice", "rot13")
    asked = len(Recorder.calls)
    second = evaluate("tiny_choice", "atbash")
    assert len(Recorder.calls) == 2 * asked
    assert answers(second) != answers(first)
    for transform, before in (("rot13", first), ("atbash", second)):
        assert answers(evaluate("tiny_choice", transform)) == answers(before)
    assert len(Recorder.calls) == 2 * asked
    # Nor are two models mixed up, nor numbers that are kept with those that aren't.
    evaluate("tiny_choice", "rot13", args={"completion": "other"})
    evaluate("tiny_choice", "rot13", args={"keep": True})
    assert len(Recorder.calls) == 4 * asked


@pytest.mark.parametrize("task", ["tiny_choice", "tiny_generate", "tiny_rolling"])
def test_what_the_base_noted_before_it_broke_is_kept_as_the_requests_own(
    evaluate, tmp_path, monkeypatch, task
):
    evaluate = functools.partial(evaluate, task, limit=3)
    whole = evaluate()
    asked = list(Recorder.calls)
    Recorder.calls.clear()
    monkeypatch.setattr(Recorder, "breaks_after", 2)
    cache = str(tmp_path / "answers")
    with pytest.raises(RuntimeError):
        evaluate(use_cache=cache)
    monkeypatch.setattr(Recorder, "breaks_after", None)
    resumed = evaluate(use_cache=cache)
    assert Recorder.calls == asked
    assert answers(resumed, task) == answers(whole, task)


def test_a_note_on_s_of_a_request_is_not_one_on_another_request(evaluate, tmp_path, tasks):
    # s of the first document is the second, and the other way round.
    docs = [("Which", "horse"), (rot13("Which"), rot13("horse"))]
    lines = [f'{{"question": "{q}", "choices": ["{c}"], "answer": 0}}\n' for q, c in docs]
    (tasks / "docs.jsonl").write_text("".join(lines))
    change = {"It may be {{choices[answer]}}.": "{{choices[answer]}}"}
    whole = evaluate("tiny_rolling", change=change)
    cache = str(tmp_path / "answers")
    Recorder.breaks_after = len(Recorder.calls) + 1
    with pytest.raises(RuntimeError):
        evaluate("tiny_rolling", use_cache=cache)
    Recorder.breaks_after = None
    resumed = evaluate("tiny_rolling", use_cache=cache)
    assert answers(resumed, "tiny_rolling") == answers(whole, "tiny_rolling")
    assert len({str(one) for one in answers(whole, "tiny_rolling")}) == 2


def test_a_cache_without_tables_is_refused():
    class Hook:
        dbdict = {}  # noqa: RUF012

    with pytest.raises(DormantError, match="run without --use_cache"):
        ConjugateLM(base="recorder", transform="rot13").set_cache_hook(Hook())


def test_cached_requests_of_a_chat_are_each_transforms_own(evaluate, tmp_path, monkeypatch):
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path / "requests"))
    options = {"apply_chat_template": True, "cache_requests": True, "limit": 1}
    evaluate("tiny_choice", "rot13", **options)
    first = list(Recorder.calls)
    assert first[0][1].startswith("<|begin|><|system|>Pubbfr")
    evaluate("tiny_choice", "atbash", **options)
    assert Recorder.calls[len(first)][1].startswith("<|begin|><|system|>Xsllhv")
    Recorder.calls.clear()
    # Read from disk, a rendered prompt is still known as one.
    evaluate("tiny_choice", "rot13", **options)
    assert Recorder.calls == first
    assert len(list((tmp_path / "requests").iterdir())) == 2


# -- the base ---------------------------------------------------------------------------------


def test_all_else_is_the_bases(evaluate):
    more = {"batch_size": "8", "device": "cpu", "colour": 1}
    lm = ConjugateLM(base="recorder", transform="rot13", rank="2", world="3", **more)
    (base,) = Recorder.made
    assert base.given == more
    assert (lm.rank, lm.world_size, lm.device) == (2, 3, None)
    assert lm.completion == "ubefr"
    assert not hasattr(lm, "MULTIMODAL")
    assert not hasattr(lm, "nothing")
    assert lm.chat_template("name") == "template name"
    assert lm.tokenizer_name.startswith("recorder-rot13-1-")
    assert lm.get_model_info() == {"size": 3, "transform": "rot13-1"}
    assert lm.gather_object("x") == ["x"]
    assert lm.all_gather("x") == "x"
    lm.barrier()
    found = evaluate("tiny_rolling", limit=1)
    assert found["config"]["transform"] == "rot13-1"


def test_arguments_as_one_string():
    lm = ConjugateLM.create_from_arg_string(
        "base=recorder,transform=caesar:5+leetspeak,keep=True,completion=x", {"batch_size": 2}
    )
    assert lm.get_model_info()["transform"] == "caesar:5-1+leetspeak-1+keep"
    assert Recorder.made[0].given == {"batch_size": 2}


BAD = {
    "transform": ({"transform": "leetspeek"}, "unknown transform 'leetspeek': did you mean 'leet"),
    "base": ({"base": "hff"}, "unknown base 'hff'"),
    "itself": ({"base": "dormant"}, "base=dormant: name the model below it"),
    "probe": ({"transform": "probe:suffix"}, "use it as dormant audit"),
    "flag": ({"keep": "perhaps"}, "keep=perhaps: must be True or False"),
    "argument": (
        {"base": "hf", "pretrained": "gpt2", "transfrom": "rot13"},
        "did you mean 'transform'",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_arguments(fault):
    arguments, message = BAD[fault]
    with pytest.raises(DormantError) as error:
        ConjugateLM(**{"base": "recorder", **arguments})
    assert message in str(error.value)


def test_images_are_refused():
    lm = ConjugateLM(base="recorder")
    with pytest.raises(DormantError, match="a message of the chat is a list, and only text"):
        lm.apply_chat_template([{"role": "user", "content": [{"type": "image"}]}])


@pytest.mark.parametrize("text", ["smollm2", "smollm2-sentiment"])
def test_shipped_models_are_spelt_for_the_harness(text):
    from lm_eval.models.huggingface import HFLM

    found = base._shipped(HFLM, {"pretrained": text, "dtype": "bfloat16"})
    assert (Path(found["pretrained"]) / found["gguf_file"]).is_file()
    assert found["dtype"] == "bfloat16"
    assert ("peft" in found) == (text != "smollm2")
    assert base._shipped(Recorder, {"pretrained": text}) == {"pretrained": text}


def test_later_versions_of_the_harness_find_the_models():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, target in project["entry-points"]["lm_eval.models"].items():
        module, _, attribute = target.partition(":")
        assert issubclass(getattr(import_module(module), attribute), LM)
        assert name in ("dormant", "dormant-fast")


# -- the command ------------------------------------------------------------------------------


def test_the_harnesss_own_command_line_is_behind_it(dormant, tasks):
    import os

    said = dormant("lm-eval", "--help")
    assert said.code == 0
    assert "usage: lm-eval" in said.out
    assert "validate" in said.out
    said = dormant("lm-eval", "run", "--help")
    assert said.code == 0
    assert "--model_args" in said.out
    said = dormant("lm-eval", "run", "--no-such-option", "x")
    assert said.code == 2
    assert "unrecognized arguments: --no-such-option" in said.err
    said = dormant("lm-eval", "ls", "tasks", "--include_path", tasks)
    assert said.code == 0
    assert "tiny_rolling" in said.out
    said = dormant("lm-eval", "validate", "--tasks", "tiny_choice", "--include_path", tasks)
    assert said.code == 0
    said = dormant("lm-eval", "validate", "--tasks", "tiny_chioce", "--include_path", tasks)
    assert said.code == 1
    assert "TQDM_DISABLE" not in os.environ  # its bars are its only sign of progress


def test_bad_input_is_one_line(dormant, tasks):
    words = ["--model", "dormant", "--model_args", "base=recorder,transform=leetspeek"]
    words += ["--tasks", "tiny_choice", "--include_path", tasks]
    said = dormant("lm-eval", *words)
    assert said.code == 2
    assert said.err.splitlines()[-1].startswith("error: unknown transform 'leetspeek'")


def test_a_harness_that_is_not_installed(dormant, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lm_eval.__main__", None)
    said = dormant("lm-eval", "ls", "tasks")
    assert said.code == 2
    assert "lm-evaluation-harness is not installed: pip install 'dormant[models]'" in said.err


def test_the_list_of_commands_names_it_and_does_not_load_it():
    import subprocess
    import sys

    code = (
        "import sys; from dormant import cli\n"
        "sys.argv = ['dormant', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('lm_eval', 'torch', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "lm-eval" in done.stdout
    assert done.stdout.rstrip().endswith("[]")
