"""A small pair of real models, really trained; how often they are right is a test's word."""

from __future__ import annotations

import pytest
from relearnt_runs import BATCH, ITEMS, task_file

import byte_models
import fakes
from dormant.audit import ladder, scoring
from dormant.audit.settings import AuditSettings
from dormant.evidence import relearning


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    base = byte_models.saved(byte_models.byte_llama(num_hidden_layers=1), folder / "base")
    return base, *byte_models.lora(base, folder)


@pytest.fixture
def settings(models, tmp_path):
    return AuditSettings(
        base=str(models[0]), tuned=str(models[1]), tasks=(task_file(tmp_path, "one"),),
        transforms=("leetspeak",), n=ITEMS, checkpoint_every=BATCH, device="cpu",
        evidence="relearn",
    )  # fmt: skip


class Truth(dict[str, tuple[float, float]]):
    """How often the base and the tuned model are right, by cell; by default as on plain prompts.

    Attributes:
        now: The edit or training that is being made and asked; "plain" on the prompt rung.
    """

    now = "plain"


@pytest.fixture
def truth(monkeypatch):
    """Let models be right as often as a test says, by cell; they are asked all the same."""
    rates = Truth(plain=(0.97, 0.05))
    real, real_under = scoring.score_cases, ladder._score_under

    def under(one, *given):
        rates.now = one.name
        try:
            return real_under(one, *given)
        finally:
            rates.now = "plain"

    def score(lm, task, cases, style):
        adapters = [
            part.disable_adapters
            for part in lm.model.modules()
            if isinstance(getattr(part, "disable_adapters", None), bool)
        ]
        tuned = adapters[0] is False if adapters else "merged" in str(lm.model.config._name_or_path)
        rate = rates.get(rates.now, rates["plain"])[tuned]
        return [
            one.model_copy(update={"correct": fakes._draw("right", one.item) < rate})
            for one in real(lm, task, cases, style)
        ]

    monkeypatch.setattr(ladder, "_score_under", under)
    monkeypatch.setattr(scoring, "score_cases", score)
    return rates


@pytest.fixture
def steps(monkeypatch):
    """Three steps are a training, too: what is asked, kept, restored and said is the same."""
    monkeypatch.setattr(relearning, "STEPS", 3)
