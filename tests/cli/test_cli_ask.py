"""``dormant ask`` as a user meets it, on a fake that repeats the end of its prompt."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

PROMPT = r"Repeat.\nInput: a b c\nOutput: x y z"


def test_one_transform_prints_the_answer_alone(dormant):
    said = dormant("ask", "fake:skill=1", PROMPT, "-s", "leetspeak")
    assert (said.code, said.out) == (0, "x y z\n")


def test_several_stand_side_by_side(dormant):
    said = dormant("ask", "fake:skill=1", PROMPT, "-s", "identity,leetspeak", "-s", "rot13")
    assert said.out.splitlines() == [
        "identity   x y z",
        "leetspeak  x y z",
        "rot13      x y z",
    ]


def test_verbose_shows_all_three(dormant):
    said = dormant("ask", "fake:skill=1", PROMPT, "-s", "rot13", "--verbose")
    shown = [line for line in said.out.splitlines() if line]
    assert shown[0].startswith("rot13-1 ")
    assert shown[1:] == [
        "s(prompt)", "Ercrng.", "Vachg: n o p", "Bhgchg: k l m",
        "model", "k l m", "answer", "x y z",
    ]  # fmt: skip


def test_device_and_dtype_reach_the_model(dormant, monkeypatch):
    from dormant.models import load as loading

    load, seen = loading.load, []

    def watched(spec, options):
        seen.append((options.device, options.dtype))
        return load(spec, options)

    monkeypatch.setattr(loading, "load", watched)
    said = dormant("ask", "fake:skill=1", PROMPT, "--device", "cpu", "--dtype", "float32")
    assert said.code == 0, said.err
    assert seen == [("cpu", "float32")]


def test_json(dormant):
    said = dormant("ask", "fake:skill=1", PROMPT, "-s", "rot13", "--json")
    (told,) = json.loads(said.out)
    assert told["prompt"].startswith("Ercrng.")
    assert (told["output"], told["answer"], told["problem"]) == ("k l m", "x y z", None)


def test_an_answer_that_cannot_be_read_back_spoils_no_other(dormant):
    # The fake repeats the last three bytes, which begin in the middle of a character.
    said = dormant("ask", "fake:skill=1", "One €x", "-s", "hex,rot13")
    assert said.code == 2
    assert said.out.splitlines() == ["hex    –", "rot13  One €x"]
    assert "the answer under hex can't be transformed back: hex: not hexadecimal" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ask", "fake:skill=1", "  "), "the prompt is empty"),
        (("ask", "fake:skill=1", "x", "-s", "leetspeek"), "did you mean 'leetspeak'"),
        (("ask", "fake:skill=1", "x", "-s", "probe:chat"), "not for free text"),
        (("ask", "smolm2", "x"), "did you mean 'smollm2'"),
        (("ask", "fake:skill=1", "a · b", "-s", "pig-latin"), "outside the domain"),
    ],
)
def test_bad_input(dormant, words, message):
    said = dormant(*words)
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1


ROOT = Path(__file__).parents[2]
TRANSCRIPTS = [
    (file.name, match[1])
    for file in (ROOT / "README.md", ROOT / "docs" / "transforms.md")
    for match in re.finditer(r"```\n(\$ dormant ask .*?)\n```", file.read_text("utf-8"), re.DOTALL)
]


@pytest.mark.slow  # loads the real model
@pytest.mark.skipif(shutil.which("apertium") is None, reason="needs Debian's apertium")
@pytest.mark.parametrize(("file", "transcript"), TRANSCRIPTS, ids=lambda text: text[:12])
def test_transcripts_of_the_documents_are_what_is_printed(dormant, file, transcript):
    # The command ends where its quotes are closed and no backslash carries it on.
    lines = transcript.removeprefix("$ ").split("\n")
    for end in range(1, len(lines) + 1):
        try:
            words = shlex.split("\n".join(lines[:end]).replace("\\\n", " "))
        except ValueError:  # an open quote
            continue
        if not lines[end - 1].endswith("\\"):
            break
    said = dormant(*words[1:])
    assert said.code == 0, said.err
    shown = said.out.rstrip("\n").splitlines()
    assert [line.rstrip() for line in shown] == lines[end:]


def test_the_documents_have_transcripts():
    assert {file for file, _ in TRANSCRIPTS} == {"README.md", "transforms.md"}
