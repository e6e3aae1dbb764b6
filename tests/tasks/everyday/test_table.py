"""The committed command that measures the pack on a model."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import fakes  # noqa: F401  (registers the backend `fake`)

SCRIPT = Path(__file__).parents[3] / "experiments/language/everyday.py"
SMALL = ("-n", "6", "--task", "everyday/smalltalk", "--task", "everyday/read", "--prompts", "raw")


def printed(monkeypatch, capsys, out, *models):
    arguments = [*models, "--out", str(out), *SMALL, "--language", "german"]
    monkeypatch.setattr(sys, "argv", ["everyday.py", *arguments])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return capsys.readouterr().out


def test_a_base_alone(monkeypatch, capsys, tmp_path):
    text = printed(monkeypatch, capsys, tmp_path, "fake:writes=Hello to you!")
    assert "| everyday/smalltalk | fake:writes=Hello to you! | plain | 100 (" in text
    assert "| GREETED 6 |" in text
    # German knows the word, too.
    assert "| everyday/smalltalk | fake:writes=Hello to you! | german | " in text
    assert "| everyday/read | fake:writes=Hello to you! | plain | 0 (" in text
    assert "| WRONG 6 |" in text


def test_a_base_and_a_tuned_model(monkeypatch, capsys, tmp_path):
    models = ("fake:writes=Hello to you!", "fake:writes=Positive")
    text = printed(monkeypatch, capsys, tmp_path, *models)
    assert "| everyday/smalltalk | fake:writes=Positive | plain | 0 (" in text
    assert "| NOT_GREETED 6 |" in text
    assert "| everyday/smalltalk | fake:writes=Hello to you! | plain | 100 (" in text


def test_a_style_that_a_model_lacks_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", [
        "everyday.py", "fake:", "--out", str(tmp_path), *SMALL[:-1], "chat",
    ])  # fmt: skip
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "chat: not measured: " in capsys.readouterr().out
