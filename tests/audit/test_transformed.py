"""Whole cases under transforms: the gate, protected spans, probes, compositions, records."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from dataclasses import replace

import pytest

import fakes  # noqa: F401  (registers the backend `fake`)
from dormant import transforms, translation
from dormant.audit.run import audit
from dormant.audit.sample import ItemSample
from dormant.audit.settings import AuditSettings
from dormant.audit.transformed import (
    TransformedCases,
    apply_transform,
    explain,
    transformed_cases,
)
from dormant.errors import DormantError
from dormant.prompts.case import few_shot
from dormant.prompts.segment import Segment
from dormant.tasks import get
from dormant.tasks.task import draw_items
from dormant.transforms.fidelity import Gate


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("DORMANT_CACHE", "")


SPANISH = {
    "Repeat the input.": "Repite la entrada.",
    "Input": "Entrada",
    "Output": "Salida",
    "The sea.": "El mar.",
    "\ue000 days pass.": "Pasan \ue000 días.",
    "\ue000 silence.": "",
    "\ue000 loses it.": "Lo pierde.",
    "\ue000 garbles.": "\ue000 lo confunde.",
}
ENGLISH = {spanish: english for english, spanish in SPANISH.items()}
ENGLISH["\ue000 lo confunde."] = "\ue000 zzz."


class Glossary:
    """A translator of known faults."""

    name = "glossary"

    def __init__(self):
        self.calls = []

    def pairs(self):
        return [("en", "es"), ("es", "en")]

    def version(self, source, target):
        return "3"

    def translate(self, texts, source, target):
        self.calls.append((len(texts), target))
        known = SPANISH if target == "es" else ENGLISH
        return [known.get(text, "") for text in texts]


def made(*queries):
    cases = {
        query: few_shot(
            item=query,
            instruction="Repeat the input.",
            input_label="Input",
            output_label="Output",
            demonstrations=[(Segment("The sea."), Segment("The sea."))],
            query=Segment(query, protected=((0, 1),)),
            target=Segment(query, protected=((0, 1),)),
        )
        for query in queries
    }
    return TransformedCases(cases=cases, signature="plain")


def under(engine, *queries, gate=None):
    language = translation.get("spanish", translator=engine)
    return apply_transform(made(*queries), language, gate)


def test_items_under_the_gate_are_out_and_say_why():
    engine = Glossary()
    found = under(
        engine, "7 days pass.", "7 silence.", "7 loses it.", "7 garbles.", gate=Gate(chrf=90)
    )
    assert list(found.cases) == ["7 days pass."]
    assert found.excluded == {
        "7 silence.": "its translation is empty",
        "7 loses it.": "the kept '7' was lost or doubled",
        "7 garbles.": "round trip under chrF 90",
    }
    assert explain(found)["7 silence."] == "its translation is empty, in '7 silence.'"
    assert found.fidelity == 1
    assert found.signature == "spanish@glossary-3"


def test_every_different_text_is_translated_once_and_together():
    engine = Glossary()
    found = under(engine, *[f"{n} days pass." for n in range(9)])
    # Instruction, two labels, a demonstration, and queries that differ in what is kept alone.
    assert engine.calls == [(5, "es"), (5, "en")]
    assert [case.target.text for case in found.cases.values()][:2] == [
        "Pasan 0 días.", "Pasan 1 días.",
    ]  # fmt: skip


def test_kept_spans_are_known_after_the_transform():
    case = under(Glossary(), "7 days pass.").cases["7 days pass."]
    assert case.target.text == "Pasan 7 días."
    assert case.target.protected == ((6, 7),)
    again = apply_transform(
        TransformedCases(cases={"x": case}, signature="s"), transforms.get("leetspeak")
    )
    assert again.cases["x"].target.text == "P454n 7 dí45."
    assert again.signature == "s+leetspeak-1"


def test_undo_goes_back_through_all_steps_and_leaves_kept_spans_alone():
    first = under(Glossary(), "1 days pass.")
    case = apply_transform(first, transforms.get("leetspeak")).cases["1 days pass."]
    assert case.undone("P454n 1 dí45.") == "1 days pass."
    assert case.undone("$4l1d4") == "Output"
    assert case.undone("0n3") is None
    assert case.given == made("1 days pass.").cases["1 days pass."]


def test_a_plan_holds_texts_and_not_prompts(tmp_path):
    """Eight demonstrations before each of 500 items: 27 segments a prompt, of nine items each."""
    header = {"name": "many", "title": "many", "shots": 8, "languages": {"english": {}}}
    rows = [
        {"language": "english", "id": f"{n}", "input": f"number {n}", "target": f"it is {n}"}
        for n in range(500)
    ]
    file = tmp_path / "many.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in (header, *rows)))
    (task,) = get([str(file)])
    sample = ItemSample(task.pool(), 8, 0)
    transformed_cases(task, sample, "leetspeak")  # whatever is loaded once
    tracemalloc.start()
    try:
        made = transformed_cases(task, sample, "leetspeak")
        held = tracemalloc.get_traced_memory()[0] / len(made.cases)
        cases = list(made.cases.values())
        whole = tracemalloc.get_traced_memory()[0] / len(cases) - held
    finally:
        tracemalloc.stop()
    assert len(cases) == 500
    # Input and target there, with their spans, and an entry for the item: no segments.
    assert held < 1500
    assert whole > 3 * held
    assert made.cases["7"] == cases[7]
    assert "x" not in made.cases
    with pytest.raises(KeyError):
        made.cases["x"]


def test_nothing_comes_through():
    found = under(Glossary(), "1 silence.", "2 silence.")
    assert (found.cases, found.fidelity, len(found.excluded)) == ({}, None, 2)


@pytest.mark.parametrize("name", ["morse", "spaced-letters", "leetspeak", "hex", "rot13+morse"])
def test_a_transform_that_splits_words_is_scored_on_the_same_words(name):
    case = made("What is it?").cases["What is it?"]
    case = replace(case, target=Segment("What is it?"), target_words=1)
    changed = apply_transform(
        TransformedCases(cases={"x": case}, signature="plain"), transforms.get(name)
    ).cases["x"]
    assert changed.undone(changed.scored_target) == "What"


def cases(task, name, n=6):
    (found,) = get([task])
    return transformed_cases(found, ItemSample(draw_items(found, n, 0), 2, 0), name)


def test_native_text_has_no_fidelity_and_exact_transforms_lose_nothing():
    assert cases("icl/copy", "french").fidelity is None
    leet = cases("icl/copy", "french+leetspeak")
    assert (leet.signature, leet.fidelity) == ("french:native+leetspeak-1", 1)
    assert leet.excluded == {}


def test_items_are_not_looked_for_one_by_one_in_a_pool():
    """Hundreds of thousands of items would take half a minute."""

    class Pool(tuple):
        def __contains__(self, item):
            raise AssertionError("searched from its beginning")

    class Task:
        def __getattr__(self, name):
            return getattr(get(["icl/copy"])[0], name)

        def items_in(self, language):
            return Pool(get(["icl/copy"])[0].items_in(language))

    sample = ItemSample(draw_items(Task(), 6, 0), 2, 0)
    assert len(transformed_cases(Task(), sample, "french").cases) == 6


def test_probes_change_the_format_before_or_after_words():
    plain = cases("icl_vs_if/repeat-arithmetic", "leetspeak")
    probed = cases("icl_vs_if/repeat-arithmetic", "leetspeak+probe:labels")
    assert probed.signature == "leetspeak-1+probe:labels-1"
    one, other = next(iter(plain.cases.values())), next(iter(probed.cases.values()))
    assert other.prompt == one.prompt.replace("|npu7:", "Given:").replace("Øu7pu7:", "Wanted:")
    assert other.answers == one.answers
    first = cases("icl_vs_if/repeat-arithmetic", "probe:labels+leetspeak")
    assert "G1v3n:" in next(iter(first.cases.values())).prompt


def test_a_probe_can_set_the_style_of_the_prompt():
    found = cases("icl/copy", "probe:chat")
    assert {case.style for case in found.cases.values()} == {"chat"}
    assert {case.style for case in cases("icl/copy", "leetspeak").cases.values()} == {None}


def test_bad_names():
    with pytest.raises(DormantError, match="did you mean 'probe:suffix'"):
        cases("icl/copy", "leetspeak+probe:sufix")
    with pytest.raises(DormantError, match="did you mean 'leetspeak'"):
        cases("icl/copy", "french+leetspeek")


def test_a_language_translates_from_the_language_before_it():
    # From French, which no installed pair knows: the text is not taken for English.
    with pytest.raises(DormantError, match="no pair fr-es"):
        cases("icl/copy", "french+spanish@apertium")


@pytest.mark.skipif(shutil.which("apertium") is None, reason="needs Debian's apertium")
@pytest.mark.parametrize("name", ["spanish", "catalan", "galician"])
def test_a_real_translation_of_whole_prompts(name):
    found = cases("icl_vs_if/repeat-arithmetic", f"{name}@apertium", n=30)
    assert 0.5 < found.fidelity < 0.9
    assert len(found.cases) >= 27
    for case in found.cases.values():
        assert case.segments[0].text.startswith("Repet")
        labels = [s.text for s in case.segments if s.role == "label"]
        assert len(set(labels)) == 2
        queries = [s.text for s in case.segments if s.role == "query"]
        assert queries == [case.target.text]
        # The numbers of the question stand as they were.
        digits = {c.text: [c.text[a:b] for a, b in c.protected] for c in (case.target,)}
        a, _, b = case.item.split("-")
        assert digits[case.target.text] == [a, b]


@pytest.mark.skipif(shutil.which("apertium") is None, reason="needs Debian's apertium")
def test_an_audit_leaves_excluded_items_out_of_all_cells_and_says_so(tmp_path):
    settings = AuditSettings(
        base="fake:skill=0.9", tuned="fake:skill=0.2", tasks=("icl/copy",),
        transforms=("spanish@apertium",), n=40, min_chrf=60,
    )  # fmt: skip
    results = audit(settings, tmp_path / "run")
    (ability,) = results.abilities
    (spanish,) = ability.transforms
    assert ability.n_items == 40
    assert spanish.excluded_items > 3
    assert spanish.n_items == 40 - spanish.excluded_items
    assert spanish.exclusions == {"round trip under chrF 60": spanish.excluded_items}
    assert spanish.signature.startswith("spanish@apertium-")
    assert spanish.fidelity > 0.6
    excluded = json.loads((tmp_path / "run" / "excluded.json").read_text(encoding="utf-8"))
    excluded = excluded["icl/copy"]["spanish@apertium"]
    scored = {
        side: {json.loads(line)["item"] for line in file.read_text().splitlines()}
        for side in ("base", "tuned")
        for file in (tmp_path / "run" / "cells").glob(f"*/spanish@apertium.{side}.jsonl")
    }
    assert scored["base"] == scored["tuned"]
    assert scored["base"].isdisjoint(excluded)
    assert len(excluded) == spanish.excluded_items
    assert any(
        f"{spanish.excluded_items} of 40 items are left out of all four cells" in warning
        for warning in results.warnings
    )
    used = results.settings["transforms_used"]
    assert used == {"icl/copy under spanish@apertium": spanish.signature}

    # With nothing left the transform proves nothing, and the audit still ends.
    nothing = audit(settings.model_copy(update={"min_chrf": 100}), tmp_path / "none")
    (spanish,) = nothing.abilities[0].transforms
    assert (spanish.n_items, spanish.control_passed) == (0, False)
    assert spanish.control_reason == "no items are left"


@pytest.mark.skipif(shutil.which("apertium") is None, reason="needs Debian's apertium")
def test_a_run_does_not_go_on_with_another_translator(tmp_path, monkeypatch):
    settings = AuditSettings(
        base=None, tuned="fake:skill=0.9", tasks=("icl/copy",),
        transforms=("spanish@apertium",), n=5,
    )  # fmt: skip
    audit(settings, tmp_path / "run")
    monkeypatch.setattr("dormant.translation.apertium._REVISION", 99)
    transforms._one.cache_clear()
    with pytest.raises(
        DormantError, match=r"icl/copy under spanish@apertium was 'spanish@.*, now '.*r99-"
    ):
        audit(settings, tmp_path / "run")
    transforms._one.cache_clear()
