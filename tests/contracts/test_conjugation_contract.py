"""What every front end owes: one prompt, one transform and one answer mean the same in all.

A front end that is added goes into FRONT_ENDS: a function of transform, prompt, what the model
writes, and whether numbers are protected, that returns what the model was asked and what the answer
says once it is undone (`None` where it can't be read back).
"""

from __future__ import annotations

import gc
import shutil
from itertools import combinations
from typing import NamedTuple

import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.registry import register_model

import dormant as dm
import fakes
from dormant import transforms
from dormant.audit.transformed import TransformedCases, apply_transform
from dormant.errors import DormantError
from dormant.integrations.lm_eval.model import ConjugateLM
from dormant.models.ask import ask
from dormant.prompts.case import Case
from dormant.prompts.layout import cut
from dormant.prompts.protect import apply_protected, find
from dormant.prompts.segment import Segment
from dormant.transforms.fidelity import Gate

PROMPT = "Name two.\n\nInput: the sea\nOutput: the sea\n  blue\n\nInput: a house\nOutput:"
ANSWER = " A house.\nThe green garden"
NUMBERS = "Repeat 16 and 25.\n\nInput: it is 25\nOutput: it is 25\n\nInput: it is 16\nOutput:"
NUMBERED = " It is 16.\nAnd 25 of these"
SPANISH = {
    "Name two.": "Nombra dos.",
    "Repeat \ue000 and \ue001.": "Repite \ue000 y \ue001.",
    "Input": "Entrada",
    "Output": "Salida",
    "the sea": "el mar",
    "blue": "azul",
    "a house": "una casa",
    "it is \ue000": "es \ue000",
    "A house.": "Una casa.",
    "The green garden": "El jardín verde",
    "It is \ue000.": "Es \ue000.",
    "And \ue000 of these": "Y \ue000 de estos",
}


class Said(NamedTuple):
    """What a front end did."""

    asked: str
    answer: str | None


class Scripted(fakes.FakeLM):
    """Writes what the test has laid down, and notes what it is asked."""

    written, asked = "", []

    def __init__(self, **_):
        super().__init__()

    def generate_until(self, requests):
        Scripted.asked.extend(request.args[0] for request in requests)
        return [self.written for _ in requests]


register_model("scripted")(Scripted)


@pytest.fixture(autouse=True)
def script(monkeypatch, tmp_path):
    monkeypatch.setattr(Scripted, "asked", [])
    monkeypatch.setenv("INSPECT_LOG_DIR", str(tmp_path / "logs"))


def spans(text, keep):
    return find(text) if keep else ()


def by_audit(name, prompt, written, keep):
    """A generative case of an audit."""
    segments = [
        part if part.role == "layout" else Segment(part.text, part.role, spans(part.text, keep))
        for part in cut(prompt)
    ]
    case = Case(item="x", segments=tuple(segments), target=Segment("the sea"))
    plain = TransformedCases(cases={"x": case}, signature="plain")
    under = apply_transform(plain, transforms.get(name), Gate(chrf=0)).cases["x"]
    return Said(under.prompt, under.undone(written))


def by_ask(name, prompt, written, keep):
    """``dormant ask``."""
    Scripted.written = written
    said = ask(Scripted(), prompt, transforms.get(name), keep)
    return Said(said.prompt, said.answer)


def by_named_model(name, prompt, written, keep):
    """`dm.conjugate` of a model's name."""
    Scripted.written = written
    try:
        answer = dm.conjugate("scripted:", name, keep=keep)(prompt)
    except DormantError:
        answer = None
    return Said(Scripted.asked[-1], answer)


def by_function(name, prompt, written, keep):
    """`dm.conjugate` of a function."""
    if keep:
        pytest.skip("a function takes no options")
    asked = []
    try:
        answer = dm.conjugate(lambda text: asked.append(text) or written, name)(prompt)
    except DormantError:
        answer = None
    return Said(asked[-1], answer)


def by_harness(name, prompt, written, keep):
    """lm-evaluation-harness's model `dormant`."""
    Scripted.written = written
    lm = ConjugateLM("scripted", name, keep=keep)
    request = Instance("generate_until", {}, (prompt, {"until": [], "max_gen_toks": 8}), 0)
    (answer,) = lm.generate_until([request])
    return Said(Scripted.asked[-1], answer or None)  # unreadable answers count as empty


def by_inspect(name, prompt, written, keep):
    """Inspect's solver."""
    inspect = pytest.importorskip("inspect_ai")
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    from dormant.integrations.inspect import conjugate
    from dormant.integrations.logs.inspect_logs import CONJUGATED

    asked = []

    def output(messages, *_):
        asked.append(messages[-1].text)
        # Without its usage, tokens would be counted, by a tokenizer from the network.
        said = ModelOutput.from_content("mock", written)
        return said.model_copy(update={"usage": ModelUsage()})

    model = get_model("mockllm/model", custom_outputs=output, memoize=False)
    task = inspect.Task([Sample(input=prompt)], solver=conjugate(name, keep=keep))
    (log,) = inspect.eval(task, model=model, display="none", log_samples=True)
    (sample,) = log.samples
    (exchange,) = sample.metadata[CONJUGATED]["exchanges"]
    # Inspect leaves streams of its own open: they are met here, where that is expected.
    gc.collect()
    return Said(asked[-1], None if exchange["problem"] else sample.output.completion)


def by_server(name, prompt, written, keep):
    """``dormant serve``."""
    from starlette.testclient import TestClient

    from dormant.integrations.serve.app import app
    from dormant.integrations.serve.local import LocalEngine
    from dormant.integrations.serve.switch import Switch

    Scripted.written = written
    switch = Switch(offered={name: transforms.get(name)}, keep=keep)
    served = app(LocalEngine(Scripted(), "m", 8), switch)
    with TestClient(served) as client:
        made = client.post("/v1/completions", json={"prompt": prompt}).json()
    problem, (choice,) = made["dormant"]["problem"], made["choices"]
    return Said(Scripted.asked[-1], None if problem else choice["text"])


# A new front end goes here.
FRONT_ENDS = (by_audit, by_ask, by_named_model, by_function, by_harness, by_inspect, by_server)

pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
EXACT = ("base64", "hex", "morse", "leetspeak", "pig-latin", "reversed-words")
ROWS = ("leetspeak+base64", "pig-latin+morse", "spanish@fake+leetspeak")


@pytest.fixture
def fake_spanish(fake_translator, monkeypatch):
    """`spanish@fake`, out of a glossary."""
    from dormant.translation import engines

    both = SPANISH | {spanish: english for english, spanish in SPANISH.items()}
    engine = fake_translator(lambda text: both.get(text, ""))
    real = engines.engine
    monkeypatch.setattr(engines, "engine", lambda spec: engine if spec == "fake" else real(spec))
    return engine


def line_by_line(name, text, keep):
    """s of every line of an answer, as a model that has seen the prompt would write it."""
    s = transforms.get(name)
    lines = [line.strip() for line in text.split("\n")]
    return " " + "\n".join(apply_protected(s, line, spans(line, keep)) for line in lines)


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("name", [*EXACT, "spanish@fake", *ROWS])
def test_an_answer_of_two_lines(name, front_end, fake_spanish):
    written = line_by_line(name, ANSWER, False)
    said = front_end(name, PROMPT, written, False)
    assert said.answer == ANSWER
    label = transforms.get(name).apply("Output")
    assert said.asked.endswith(f"\n{label}:")
    assert said.asked.count("\n") == PROMPT.count("\n")


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=lambda one: one.__name__)
@pytest.mark.parametrize(
    "name", ["leetspeak", "pig-latin", "morse", "spanish@fake", "spanish@fake+leetspeak"]
)
def test_protected_spans(name, front_end, fake_spanish):
    written = line_by_line(name, NUMBERED, True)
    said = front_end(name, NUMBERS, written, True)
    assert said.answer == NUMBERED
    assert said.asked.count("16") == 2


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=lambda one: one.__name__)
def test_an_answer_that_cannot_be_read_back(front_end):
    """The second line is no base64: there is no answer, not half of one."""
    written = line_by_line("base64", ANSWER, False).partition("\n")[0] + "\nnot this!"
    said = front_end("base64", PROMPT, written, False)
    assert said.answer is None


@pytest.mark.skipif(shutil.which("apertium") is None, reason="needs Debian's apertium")
def test_a_real_language():
    written = " Una casa.\nEl jardín verde"
    said = [
        front_end("spanish@apertium", PROMPT, written, False)
        for front_end in FRONT_ENDS
    ]  # fmt: skip
    assert said[0].answer.count("\n") == 1
    assert "Salida:" in said[0].asked
    for one, other in combinations(said, 2):
        assert one == other
