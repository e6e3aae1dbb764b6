"""One definition of an audit's settings: the front ends are made from it, or equal to it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

import pytest

import dormant as dm
from dormant.api import AuditOptions
from dormant.audit.model_args import parse_model_args
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.models.load import LoadOptions

NAMES = AuditSettings.names()
MODELS = {"base": None, "tuned": "x"}
WIDER = {
    "tasks": str | Sequence[str],
    "transforms": str | Sequence[str],
    **dict.fromkeys(("model_args", "base_model_args", "tuned_model_args"), Mapping[str, Any] | str),
}
"""What Python takes where the settings keep something narrower."""


def harness_words() -> dict[str, str]:
    return {
        word: name
        for name in AuditSettings.model_fields
        for word in (*AuditSettings.flag(name).synonyms, *AuditSettings.flag(name).switches)
    }


def test_python_takes_every_setting_with_its_type_and_nothing_else():
    hints = get_type_hints(AuditOptions)
    assert set(hints) == {*AuditSettings.model_fields, *harness_words()} - {*MODELS}
    for name, hint in hints.items():
        field = AuditSettings.model_fields[NAMES[name]].annotation
        if name in AuditSettings.flag(NAMES[name]).switches:
            assert hint is bool
        else:
            assert hint == WIDER.get(name, field), name
    assert inspect.signature(dm.audit).parameters["options"].annotation == "Unpack[AuditOptions]"


def test_the_command_has_an_option_for_every_word_and_shows_one_a_setting():
    import typer.main

    from dormant.cli import build

    group: Any = typer.main.get_command(build())
    options = {one.name: one for one in group.commands["audit"].params}
    for name, field in AuditSettings.model_fields.items():
        if name in MODELS:
            continue
        shown, *hidden = AuditSettings.words(name)
        assert field.description in options[shown].help
        assert not options[shown].hidden
        assert all(options[word].hidden for word in hidden)


def test_harness_words_are_synonyms():
    ours = AuditSettings(**MODELS, n=5, shots=1, prompts="chat")
    theirs = AuditSettings.of({**MODELS, "limit": 5, "num_fewshot": 1, "apply_chat_template": True})
    assert theirs == ours
    assert AuditSettings.of({**MODELS, "batch_size": "auto"}).batch_size is None
    assert AuditSettings.of({**MODELS, "batch_size": "4"}).batch_size == 4
    assert AuditSettings.of({**MODELS, "apply_chat_template": False}).prompts == "raw"


def test_two_words_for_one_setting_are_refused():
    for given in ({"shots": 1, "num_fewshot": 1}, {"prompts": "raw", "apply_chat_template": True}):
        with pytest.raises(DormantError, match="are two words for one setting"):
            AuditSettings.of({**MODELS, **given})


def test_an_old_name_works_with_a_warning():
    with pytest.warns(FutureWarning, match="batch is now checkpoint_every"):
        assert AuditSettings.of({**MODELS, "batch": 8}).checkpoint_every == 8


def test_what_is_said_of_both_models_holds_where_nothing_is_said_of_one():
    settings = AuditSettings.of(
        {
            **MODELS,
            "prompts": "chat",
            "base_prompts": "raw",
            "model_args": "revision=main,load_in_4bit=True",
            "tuned_model_args": {"revision": "v2"},
            "batch_size": 4,
            "device": "cpu",
        }
    )
    assert (settings.style("base"), settings.style("tuned")) == ("raw", "chat")
    args = {"revision": "main", "load_in_4bit": True}
    assert settings.load_options("base") == LoadOptions(device="cpu", batch_size=4, model_args=args)
    assert settings.load_options("tuned").model_args == {**args, "revision": "v2"}
    # A run directory keeps what holds, not how it was said.
    kept = settings.model_dump(mode="json")
    assert not {"prompts", "model_args"} & set(kept)
    again = AuditSettings.model_validate(kept)
    assert again.model_dump(mode="json") == kept


def test_relearning_without_a_base_is_refused():
    with pytest.raises(DormantError, match="relearn needs a base model"):
        AuditSettings.of({"base": None, "tuned": "x", "evidence": "relearn"})
    assert AuditSettings.of({"base": None, "tuned": "x"}).evidence == "noise"


def test_settings_are_strict():
    with pytest.raises(DormantError, match=r"marginn.*did you mean 'margin'"):
        AuditSettings.of({**MODELS, "marginn": 1})
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        AuditSettings.model_validate({**MODELS, "marginn": 1})


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("revision=main", {"revision": "main"}),
        ("a=1, b=0.5,c=true,d=None,e=x=y", {"a": 1, "b": 0.5, "c": True, "d": None, "e": "x=y"}),
    ],
)
def test_model_args_are_read_as_the_harness_reads_them(text, values):
    assert parse_model_args(text) == values


@pytest.mark.parametrize(
    ("text", "words_"),
    [
        ("revision", "'revision' is not KEY=VALUE"),
        ("=main", "'=main' is not KEY=VALUE"),
        ("a=1,a=2", "a is given twice"),
    ],
)
def test_malformed_model_args_are_one_line(text, words_):
    with pytest.raises(DormantError, match=words_):
        parse_model_args(text)


def test_inspect_s_tasks_have_the_settings_defaults_and_types():
    tasks = pytest.importorskip("dormant.integrations.inspect.tasks")
    for name in ("icl", "icl_vs_if", "nli", "refusal", "ability"):
        parameters = inspect.signature(getattr(tasks, name), eval_str=True).parameters
        shared = {*parameters} & {*AuditSettings.model_fields}
        assert shared >= {"n", "seed", "min_chrf"}
        for one in shared:
            field = AuditSettings.model_fields[one]
            assert parameters[one].default == field.default, (name, one)
            assert parameters[one].annotation == field.annotation, (name, one)
