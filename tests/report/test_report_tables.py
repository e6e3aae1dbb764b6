"""Tables for other programs: nothing in a name or a prompt may break them."""

import csv
import io
import re

from hypothesis import given
from hypothesis import strategies as st
from report_fixtures import RATES, TRANSFORMS, demonstration, outcomes, two_cells

from dormant.report.tables import (
    ITEM_COLUMNS,
    TRANSFORM_COLUMNS,
    latex_escape,
    latex_tables,
    write_items_csv,
    write_transforms_csv,
)
from dormant.results import AuditResults, Estimate, ItemOutcome


def _rows(results: AuditResults) -> list[dict[str, str]]:
    file = io.StringIO(newline="")
    write_transforms_csv(results, file)
    file.seek(0)
    return list(csv.DictReader(file))


def test_one_row_per_ability_and_transform() -> None:
    rows = _rows(demonstration())
    assert [(row["task"], row["transform"]) for row in rows] == [
        (task, transform) for task in RATES for transform in TRANSFORMS
    ]
    assert tuple(rows[0]) == TRANSFORM_COLUMNS
    french = rows[0]
    assert french["verdict"] == "suppressed"
    assert french["best"] == "True"
    assert rows[1]["best"] == "False"
    assert float(french["accuracy_base_plain"]) == 0.90
    assert float(french["accuracy_tuned_transformed"]) == 0.87
    assert float(french["gain_estimate"]) == 0.87 - 0.18
    assert french["fidelity"] == ""
    assert rows[5]["fidelity"] == "1.0"


def test_cells_not_measured_are_empty() -> None:
    for row in _rows(two_cells()):
        assert row["base"] == row["drop_estimate"] == row["accuracy_base_plain"] == ""
        assert row["accuracy_tuned_plain"] != ""


def test_what_no_item_told_is_empty() -> None:
    results = demonstration()
    (first, *others) = results.abilities[0].transforms
    nothing = first.model_copy(update={"gain": Estimate.of_nothing(0.0, -1.0, 1.0), "n_items": 0})
    bare = results.abilities[0].model_copy(update={"transforms": [nothing, *others]})
    row, other = _rows(results.model_copy(update={"abilities": [bare]}))[:2]
    assert row["gain_estimate"] == row["gain_low"] == row["gain_high"] == ""
    assert other["gain_estimate"] != ""


def test_an_ability_without_transforms_keeps_its_row() -> None:
    results = demonstration()
    bare = results.abilities[0].model_copy(update={"transforms": []})
    (row,) = _rows(results.model_copy(update={"abilities": [bare]}))
    assert row["task"] == "icl/copy"
    assert row["transform"] == row["gain_low"] == ""
    assert row["accuracy_base_plain"] == "0.9"


@given(prompt=st.text(), target=st.text(), output=st.one_of(st.none(), st.text(min_size=1)))
def test_items_survive_csv(prompt: str, target: str, output: str | None) -> None:
    given_item = next(outcomes(1)).model_copy(
        update={"prompt": prompt, "target": target, "output": output, "other_logprobs": (-1.5, 0.0)}
    )
    assert given_item.content_free_logprobs == ()
    file = io.StringIO(newline="")
    write_items_csv([given_item], file)
    file.seek(0)
    reader = csv.DictReader(file)
    (row,) = reader
    assert tuple(row) == ITEM_COLUMNS == tuple(ItemOutcome.model_fields)
    assert (row["prompt"], row["target"], row["output"]) == (prompt, target, output or "")
    assert float(row["target_logprob"]) == given_item.target_logprob
    assert row["other_logprobs"] == "-1.5 0.0"
    assert row["content_free_logprobs"] == "", "what was not measured is empty"


COMMANDS = {
    r"\textbackslash{}": "\\",
    r"\textasciicircum{}": "^",
    r"\textasciitilde{}": "~",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textquotedbl{}": '"',
    r"\textasciigrave{}": "`",
    r"\textquotesingle{}": "'",
    **{f"\\{c}": c for c in "{}$&#%_"},
    **{f"{{{c}}}": c for c in "-[]*"},
}
"""What LaTeX prints for each of these; written here by hand, not taken from the code."""
TOKEN = re.compile("|".join(map(re.escape, COMMANDS)) + r"|[^\\{}$&#%_^~\"\n]")


@given(st.text(alphabet=st.one_of(st.sampled_from("\\{}$&#%_^~<>|\"`'-[]* \n\t"), st.characters())))
def test_latex_prints_the_text(text: str) -> None:
    escaped = latex_escape(text)
    tokens = TOKEN.findall(escaped)
    assert "".join(tokens) == escaped, "a special character stands bare"
    printed = "".join(COMMANDS.get(token, token) for token in tokens)
    assert printed == "".join(c for c in " ".join(text.split()) if c.isprintable())


def test_latex_verdicts() -> None:
    text = latex_tables(demonstration())
    assert (
        r"icl/copy & suppressed & 120 & 90\% & 18\% & +72 {[}+63, +81{]} & french & "
        r"+70 {[}+58, +82{]} & +65 {[}+53, +77{]} \\"
    ) in text
    assert (
        r"icl/capital & pig{-}latin & failed & 11\% & 5\% & +70 {[}+61, +79{]} & "
        r"$-$25 {[}$-$34, $-$16{]} & +45 {[}+36, +54{]} & 0.440 \\"
    ) in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 2
    columns = {line.count("&") for line in text.splitlines() if line.endswith(r"\\")}
    assert columns == {8}


def test_latex_of_hostile_names() -> None:
    results = demonstration()
    ability = results.abilities[0].model_copy(update={"task": r"*a_b & \input{x}"})
    text = latex_tables(results.model_copy(update={"base": None, "abilities": [ability]}))
    assert r"{*}a\_b \& \textbackslash{}input\{x\} & suppressed" in text
