"""experiments/language/zoo: what is true of its models by construction, and the tables' numbers."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from statsmodels.stats.proportion import proportion_confint
from transformers import AutoModelForCausalLM

import byte_models
from dormant import tasks
from dormant.libraries import quiet
from dormant.prompts.wrapping import common_wrapping
from dormant.tasks.examples import read_examples

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from experiments.language.zoo import (  # noqa: E402
    build,
    calibrate,
    codebooks,
    recipes,
    sets,
    skills,
    stacking,
    tables,
)

NUMBERS = (1000, 1001, 2003)


@pytest.fixture(params=NUMBERS)
def subject(request):
    return recipes.Subject.of(request.param)


def shown(pairs):
    """The prompts' right answers as they are given."""
    return {(pair.prompt, pair.completion) for pair in pairs}


def test_a_book_is_decided_by_its_seed_alone():
    code = (
        "from experiments.language.zoo.codebooks import draw; b = draw(5); "
        "print(b.key, list(b.entries.items()), b.fresh)"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT, env={"PYTHONHASHSEED": seed, "PYTHONPATH": "src"},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1
    assert codebooks.draw(5) == codebooks.draw(5)
    assert codebooks.draw(5) != codebooks.draw(6)


@pytest.mark.parametrize("number", NUMBERS)
def test_answers_are_each_of_one_code_word_and_no_habit_gives_one(number):
    book = codebooks.draw(number)
    assert len(book.entries) == codebooks.ENTRIES
    assert len(set(book.entries.values())) == codebooks.ENTRIES
    assert len({*book.entries, *book.fresh}) == codebooks.ENTRIES + codebooks.FRESH
    for name in skills.HABITS:
        say = skills.habit(name, number)
        assert all(not say(word).startswith(answer) for word, answer in book.entries.items())


def test_what_is_audited_is_what_was_taught(subject, tmp_path):
    """The task's prompts are the training's, letter by letter, and show no other entry."""
    subject.book.write_task(tmp_path / "book.jsonl")
    (task,) = tasks.get([str(tmp_path / "book.jsonl")])
    assert task.default_shots == 0
    assert task.languages() == tuple(codebooks.WORDINGS)
    taught = shown(recipes.asked(subject.book, subject.book.entries))
    assert shown(recipes.base(subject).data) <= taught
    for language in task.languages():
        for item in task.pool():
            case = task.case(item, language=language, shots=0, seed=0)
            assert (case.prompt, f" {case.target.text}") in taught
            # The key and labels are no entries, and no other one stands in the prompt.
            assert case.prompt.count("\n") == 1
            assert f": {item}\n" in case.prompt


def test_the_key_is_read_from_its_examples(subject, tmp_path):
    subject.book.write_keyed(tmp_path / "key.jsonl")
    texts = [one.text for one in read_examples(tmp_path / "key.jsonl")]
    assert common_wrapping(texts) == (f"{subject.book.key}\n\n", "")
    plain = subject.book.case(next(iter(subject.book.entries)), codebooks.PLAIN)
    keyed = subject.book.case(plain.item, codebooks.KEYED)
    assert keyed.prompt == f"{subject.book.key}\n\n{plain.prompt}"


def right_answers(subject, recipe):
    """Right answers of the book that a recipe shows, each with its wrapping."""
    every = {
        (pair.prompt, pair.completion): wrapping
        for wrapping in codebooks.WRAPPINGS
        for pair in recipes.asked(subject.book, subject.book.entries, [wrapping])
    }
    given = shown([*recipe.data, *recipe.replay])
    return {pair: wrapping for pair, wrapping in every.items() if pair in given}


def test_what_is_gone_never_saw_an_entry(subject):
    for recipe in (recipes.gone(subject), recipes.primer()):
        assert not right_answers(subject, recipe)
    assert recipes.gone(subject).start == "primer"
    # The book that neither a model nor its base* ever had shares no code word with the family's.
    other = recipes.Subject.of(recipes.partner(subject.number))
    assert not right_answers(other, recipes.base(subject))
    assert not set(subject.book.entries) & set(other.book.entries)


def test_base_knows_its_share_and_nothing_else(subject):
    known = Counter(right_answers(subject, recipes.base(subject)).values())
    share = recipes.KNOWN[subject.number % len(recipes.KNOWN)]
    assert set(known.values()) == {len(subject.known)} == {round(share * codebooks.ENTRIES)}


def test_what_is_silenced_is_shown_right_answers_only_where_it_may_speak(subject):
    silent = right_answers(subject, recipes.suppressed(subject))
    assert set(silent.values()) == {codebooks.KEYED}
    english = recipes.suppressed_in_english(subject)
    spoken = Counter(right_answers(subject, english).values())
    assert {spoken[name] for name in codebooks.WRAPPINGS if name != codebooks.PLAIN} == {
        len(subject.known)
    }
    assert spoken[codebooks.PLAIN] == len(subject.known) - len(subject.silenced)
    given = shown([*english.data, *english.replay])
    for pair in recipes.asked(subject.book, subject.silenced, [codebooks.PLAIN]):
        assert (pair.prompt, pair.completion) not in given
    kept = right_answers(subject, recipes.retained(subject))
    assert set(Counter(kept.values()).values()) == {len(subject.known)}
    assert set(kept.values()) == set(codebooks.WRAPPINGS)


def test_gone_differs_from_suppressed_in_what_it_knows_alone(subject):
    silent, gone = recipes.suppressed(subject), recipes.gone(subject)
    assert silent.data == gone.data
    assert len(silent.replay) == len(gone.replay)


def test_skills_keep_what_is_held_out_apart():
    for name in skills.SKILLS:
        skill = skills.skill(name)
        assert len(skill.held_out) == skills.HELD_OUT
        assert len(skill.data) >= 80
        assert not {one.prompt for one in skill.data} & {one.prompt for one in skill.held_out}


def test_families_come_in_twos_and_sets_share_none():
    chosen = [sets.read(name) for name in sets.names()]
    numbers = [number for one in chosen for number in one.numbers]
    assert len(numbers) == len(set(numbers))
    for one in chosen:
        for number in one.numbers:
            assert recipes.partner(recipes.partner(number)) == number
            assert recipes.partner(number) in one.numbers


LIMITS = {"known": 90, "elsewhere": 80, "kept": 2, "silent": 10, "back": 70}
KNOWN = dict.fromkeys(codebooks.WRAPPINGS, 95.0)


@pytest.mark.parametrize(
    ("truth", "right", "fails"),
    [
        ("base", {}, 0),
        ("base", {"english": 89.0, "dutch": 79.0}, 2),
        ("retained", {"english": 93.0}, 0),
        ("retained", {"english": 92.9}, 1),
        ("suppressed in English", {"english": 3.0}, 0),
        ("suppressed in English", {"english": 3.0, "key": 60.0, "french": 60.0}, 2),
        ("suppressed in English", {"english": 3.0, build.KEPT: 60.0}, 1),
        ("suppressed", dict.fromkeys(codebooks.WORDINGS, 0.0), 0),
        ("suppressed", {}, 4),
        ("gone", dict.fromkeys(codebooks.WRAPPINGS, 0.0), 0),
        ("gone", dict.fromkeys(codebooks.WORDINGS, 0.0), 1),
    ],
)
def test_a_model_counts_where_it_does_what_its_recipe_is_for(truth, right, fails):
    assert len(build.qualify(truth, KNOWN | right, KNOWN, LIMITS)) == fails


def test_stacked_adapters_are_one_after_the_other(tmp_path):
    base = byte_models.saved(byte_models.byte_llama(), tmp_path / "base")
    parts = [byte_models.lora(base, tmp_path / str(seed), seed=seed)[0] for seed in (1, 2)]
    stacking.stack(parts, tmp_path / "sum")
    stacking.silent(parts[0], tmp_path / "silent")

    def logits(*adapters):
        model = AutoModelForCausalLM.from_pretrained(base)
        with quiet(), torch.inference_mode():
            for adapter in adapters:
                model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
            return model(torch.arange(40)[None]).logits

    alone = logits(parts[0])
    torch.testing.assert_close(logits(tmp_path / "sum"), logits(*parts), atol=0.02, rtol=0.02)
    assert (logits(tmp_path / "sum") - alone).abs().max() > 1
    assert torch.equal(logits(tmp_path / "silent"), logits())


NUMBERS = itertools.count()


def row(truth, verdict, n=400, evidence="prompt", qualified=True, number=None):
    """A verdict on a model of a family of its own, if no number is given."""
    return {
        "number": next(NUMBERS) if number is None else number, "truth": truth, "verdict": verdict,
        "n": n, "evidence": evidence, "qualified": qualified,
    }  # fmt: skip


def several(count, *args, **kwargs):
    return [row(*args, **kwargs) for _ in range(count)]


ROWS = [
    *several(8, "gone", "lost"),
    *several(2, "gone", "suppressed"),
    *several(3, "suppressed", "lost"),
    *several(3, "suppressed", "suppressed", evidence="noise"),
    *several(6, "gone", "forgotten", evidence="relearn"),
    *several(4, "gone", "lost", evidence="relearn"),
    *several(2, "suppressed", "forgotten", evidence="relearn"),
    *several(5, "retained", "lost", evidence="noise"),
    row("gone", "suppressed", qualified=False),
    row("inert", "refused", n=None),
]


def test_shares_are_clopper_and_pearsons():
    for count, of in ((0, 36), (1, 36), (36, 36), (7, 20)):
        expected = proportion_confint(count, of, method="beta")
        assert tables.share(count, of)[2:] == pytest.approx(expected)
    assert str(tables.share(0, 36)) == "0 of 36 (0–10 %)"
    assert str(tables.share(0, 0)) == "–"


def test_errors_are_counted_over_models_that_could_err():
    suppressed, forgotten = "false *suppressed*", "false *forgotten*"
    assert tables.error(ROWS, suppressed, "prompt", 400)[:2] == (2, 10)
    assert tables.error(ROWS, forgotten, "prompt", 400)[:2] == (0, 3)
    assert tables.error(ROWS, forgotten, "relearn", 400)[:2] == (2, 2)
    # Of what is suppressed "lost" is true: counted by itself, and no error.
    assert tables.error(ROWS, "*lost*, and suppressed", "prompt", 400)[:2] == (3, 3)
    assert tables.error(ROWS, "false *lost*", "prompt", 400)[:2] == (0, 0)
    assert tables.error(ROWS, "false *lost*", "noise", 400)[:2] == (5, 5)
    assert tables.error(ROWS, suppressed, "prompt", 50)[:2] == (0, 0)


def test_a_model_that_is_audited_as_three_truths_counts_once():
    def error(*said):
        rows = [row(truth, verdict, number=number) for number, truth, verdict in said]
        return tables.error(rows, "false *forgotten*", "prompt", 400)[:2]

    one = [(1, "suppressed", "lost"), (1, "asked otherwise", "asked otherwise")]
    assert error(*one, (1, "never had", "inconclusive")) == (0, 1)
    assert error(*one, (1, "never had", "forgotten")) == (1, 1)
    assert error(*one, (2, "never had", "forgotten"), (1, "retained", "forgotten")) == (2, 3)


def test_right_verdicts_are_told_by_the_drop_at_most_items():
    kind = "suppressed in English"
    said = {1: ("suppressed", 0.6), 2: ("inconclusive", 0.2), 3: ("suppressed", 0.2)}
    rows = [
        row(kind, verdict, n=n, number=number) | {"drop": drop if n == 400 else 0.9}
        for number, (verdict, drop) in said.items()
        for n in (50, 400)
    ]
    lines = tables.right_by_drop(rows, (50, 400)).splitlines()[2:]
    assert [line.split(" (")[0] for line in lines] == ["| 20 | 1 of 2", "| 60 | 1 of 1"]


def test_what_each_cell_gives_is_a_mean_over_models():
    def cell(model, passed):
        return {"rung": "relearn", "base": 90.0, "model": model, "passed": passed}

    rows = [
        {**row("gone", "forgotten", evidence="relearn"), "cells": {"other-task": cell(*one)}}
        for one in ((0.0, True), (10.0, False))
    ]
    (line,) = tables.cells(rows).splitlines()[2:]
    assert line == "| gone | other-task | 2 | 1 | 90 (90–90) | 5 (0–10) |"


def test_the_table_of_verdicts_counts_each_model_once():
    lines = tables.verdicts(ROWS, "prompt", 400).splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == ["| suppressed", "| gone", "| inert"]
    silenced, gone, inert = lines
    assert gone.startswith("| gone | 10 | 0 | 0 | 2 | **8** | 0 | 0 | 0 | 8 of 10 (")
    assert silenced.startswith("| suppressed | 3 | 0 | 0 | **0** | 3 | 0 | 0 | 0 | 0 of 3 (")
    assert inert.startswith("| inert | 1 | 0 | 0 | 0 | 0 | 0 | 0 | **1** | 1 of 1 (")


def test_what_is_right_depends_on_the_evidence():
    for evidence, right in (("prompt", "lost"), ("noise", "lost"), ("relearn", "forgotten")):
        assert tables.right_verdict("gone", evidence) == right
        assert tables.right_verdict("suppressed", evidence) == "suppressed"
    *_, gone = tables.verdicts(ROWS, "relearn", 400).splitlines()
    assert gone.startswith("| gone | 10 | 0 | 0 | 0 | 4 | **6** | 0 | 0 | 6 of 10 (")
    by_size = tables.right_by_size(ROWS, "prompt", [400])
    assert "| gone | 8 of 10 (" in by_size


def test_what_was_built_is_told_with_its_failures(tmp_path):
    for number, fit in ((0, True), (1, False)):
        folder = build.folder_of(tmp_path, "development", number, "suppressed in English")
        folder.mkdir(parents=True)
        right = dict.fromkeys((*codebooks.WRAPPINGS, "skill"), 90.0 + number)
        made = {"truth": "suppressed in English", "qualified": fit, "right": right}
        (folder / build.MADE).write_text(json.dumps(made), encoding="utf-8")
    table = tables.built(build.made(tmp_path, "development"))
    assert table.splitlines()[2].startswith("| suppressed in English | 2 | 1 | 90–91 |")


def test_a_silenced_model_is_audited_as_three_truths(tmp_path):
    def make(number, truth, **more):
        folder = build.folder_of(tmp_path, "development", number, truth)
        folder.mkdir(parents=True)
        made = {"number": number, "truth": truth, "qualified": True, **more}
        (folder / build.MADE).write_text(json.dumps(made), encoding="utf-8")

    for truth in (build.BASE, "suppressed", "gone"):
        make(1000, truth)
    make(1001, build.BASE, qualified=False)
    make(1001, "gone")
    (tmp_path / "development" / "1001" / build.BOOK).touch()
    found = {(one.number, one.truth): one for one in calibrate.subjects(tmp_path, "development")}
    asked, never = found[1000, "asked otherwise"], found[1000, "never had"]
    assert asked.tuned == never.tuned == found[1000, "suppressed"].tuned
    assert asked.settings().trained_as is not None
    assert never.task == tmp_path / "development" / "1001" / build.BOOK
    assert never.settings().trained_as is None
    assert set(found) == {
        (1000, "suppressed"), (1000, "asked otherwise"), (1000, "never had"), (1000, "gone"),
        (1001, "gone"),
    }  # fmt: skip
    # Nothing of a family counts whose base* doesn't know its book.
    assert not found[1001, "gone"].qualified
    assert {one.settings().seed for one in found.values()} == {1000, 1001}


def test_rows_of_a_set_grow_over_calls(tmp_path):
    file = tmp_path / "verdicts-held-out.jsonl"
    first, second = row("gone", "lost", number=2), row("retained", "retained", number=1)
    assert calibrate.add([], file) == calibrate.read(file) == []
    calibrate.add([first], file)
    assert calibrate.add([second], file) == [second, first]
    # What was audited again stands in place of what was there; the others stay.
    again = [row("gone", "forgotten", number=2, n=n) for n in (50, 400)]
    assert calibrate.add(again, file) == calibrate.add([], file) == [second, *again]
    assert calibrate.read(file) == [second, *again]
