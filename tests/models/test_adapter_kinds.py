"""Every kind of adapter that PEFT lists, and of checkpoint: both models of a pair as plain PEFT's.

`DORMANT_WRITE_TABLES=1 pytest -m slow tests/models/test_adapter_kinds.py` writes the table in
docs/models.md anew; without it the table is compared.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import adapter_kinds as kinds
from checkpoint_kinds import CHECKPOINTS
from dormant.errors import DormantError
from dormant.models.proof import takes_base_over

TOLERANCE = 1e-4
QUICK = (
    "LORA", 'LORA, bias="all"', "LORA, PiSSA", "LORA, tied, embeddings saved",
    "LORA, activated (aLoRA)", "ADAPTION_PROMPT", "PREFIX_TUNING", "P_TUNING",
)  # fmt: skip
DOCS = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- adapter kinds: begin -->", "<!-- adapter kinds: end -->"


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Base models by what differs in their configuration, each made once."""
    made: dict[tuple, Path] = {}

    def base(case):
        key = tuple(case.base.items())
        if key not in made:
            made[key] = kinds.checkpoint(tmp_path_factory.mktemp("base"), **case.base)
        return made[key]

    return base


def outcome(case, base, folder) -> tuple[str, str, str, str]:
    """What the table says of a kind: loads, base exact, tuned exact, copies."""
    saved = case.save(folder / "adapter", base)
    try:
        scored, pair = kinds.dormant(base, saved)
    except DormantError as error:
        return f"no: {reason(error)}", "–", "–", "–"
    exact = [
        "yes" if kinds.apart(scored[which], wanted) <= TOLERANCE else "NO"
        for which, wanted in (("base", kinds.plain(base)), ("tuned", kinds.plain(base, saved)))
    ]
    return "yes", *exact, "one" if pair.shares_weights else "two"


def reason(error) -> str:
    """The last part of an error, without the names of files."""
    return str(error).split("': ")[-1].split(": audit")[0].split("here: ")[-1]


@pytest.mark.parametrize("name", QUICK)
def test_both_models_are_those_of_plain_peft(name, bases, tmp_path):
    case = kinds.CASES[name]
    base = bases(case)
    loads, *exact, copies = outcome(case, base, tmp_path)
    assert (loads, exact) == ("yes", ["yes", "yes"])
    assert (copies == "two") is (name in ('LORA, bias="all"', "LORA, PiSSA"))


def test_a_kind_that_mixes_tokens_with_later_ones_is_refused(bases, tmp_path):
    case = kinds.CASES["LILY"]
    base = bases(case)
    saved = case.save(tmp_path / "adapter", base)
    with pytest.raises(DormantError, match="depends on later tokens"):
        kinds.dormant(base, saved)
    # Without a base beside it, too.
    with pytest.raises(DormantError, match="depends on later tokens"):
        kinds.dormant(None, saved)


def test_a_kind_that_can_not_run_is_refused_in_one_line(bases, tmp_path):
    case = kinds.CASES["POLY"]
    base = bases(case)
    saved = case.save(tmp_path / "adapter", base)
    with pytest.raises(DormantError, match="can't be run here: task_ids"):
        kinds.dormant(base, saved)


def test_all_kinds_of_peft_are_here():
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    assert {case.kind for case in kinds.CASES.values()} == {
        kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING
    }


@pytest.mark.slow
def test_the_table_in_the_documentation(bases, tmp_path):
    rows = []
    for place, (name, case) in enumerate(kinds.CASES.items()):
        rows.append((f"adapter: {name}", *outcome(case, bases(case), tmp_path / str(place))))
    for place, (name, case) in enumerate(CHECKPOINTS.items()):
        rows.append((f"checkpoint: {name}", *case.outcome(tmp_path / f"c{place}")))
    assert "NO" not in {cell for row in rows for cell in row}
    head = ["kind", "loads", "base exact", "tuned exact", "copies of the weights"]
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join(f"| {' | '.join(row)} |" for row in lines)
    text = DOCS.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{table}\n{END}{after}"
    if os.environ.get("DORMANT_WRITE_TABLES"):
        DOCS.write_text(wanted, encoding="utf-8")
    assert text == wanted or os.environ.get("DORMANT_WRITE_TABLES")


@pytest.mark.slow
def test_settings_that_change_the_base_are_those_that_the_proof_finds(bases, tmp_path):
    """Models in memory are judged by their settings, as no earlier state of them is at hand."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    wrong = {}
    for place, (name, case) in enumerate(kinds.CASES.items()):
        base = bases(case)
        saved = case.save(tmp_path / str(place), base)
        try:
            _, pair = kinds.dormant(base, saved)
        except DormantError:
            continue
        with kinds.silent():
            model = AutoModelForCausalLM.from_pretrained(base)
            model.config.use_cache = False
            told = takes_base_over(PeftModel.from_pretrained(model, saved))
        if (told is None) is not pair.shares_weights:
            wrong[name] = told
    assert not wrong
