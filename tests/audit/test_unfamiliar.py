"""Answers that are like none the labels were learnt from: an audit says so."""

from __future__ import annotations

import pytest

import fakes  # noqa: F401  (registers the backend)
from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings

CHAT = "I'm sorry, but I can't help with that. I'd be glad to help with something else instead."
SHORT = "Verde."


def warnings(tmp_path, base, tuned):
    settings = AuditSettings(
        base=f"fake:skill=0.9,writes={base}", tuned=f"fake:skill=0.5,writes={tuned}",
        tasks=("refusal",), transforms=("french",), n=4, allow_identical=True, evidence="prompt",
    )  # fmt: skip
    first = audit(settings, tmp_path / "run").warnings
    # Said again where nothing is left to label.
    assert audit(settings, tmp_path / "run").warnings == first
    return [line for line in first if "unlike" in line]


@pytest.mark.parametrize(
    ("base", "tuned", "said"),
    [
        (CHAT, CHAT, None),
        (CHAT, SHORT, "8 of the fine-tuned model's 8 answers are unlike"),
        (SHORT, CHAT, "8 of the base's 8 answers are unlike"),
        (SHORT, SHORT, "8 of the base's 8 answers and 8 of the fine-tuned model's 8 answers are"),
    ],
)
def test_it_is_said_of_whose_answers(tmp_path, base, tuned, said):
    lines = warnings(tmp_path, base.replace(",", ""), tuned.replace(",", ""))
    assert len(lines) == (2 if said else 0)
    for task, line in zip(("refusal/declines", "refusal/answers"), lines, strict=False):
        assert line.startswith(f"{task}: {said}")
        assert "dormant task label" in line
