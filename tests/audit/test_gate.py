"""Before a model is scored: an audit of one model beside itself is none."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

import dormant as dm
import fakes
from dormant.audit.run import audit
from dormant.audit.run_dir import RunDirectory
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.libraries import quiet
from dormant.scoring.scorer import FastLM


def settings(base, tuned, **more):
    given = {"tasks": ("icl/copy",), "transforms": ("leetspeak",), "n": 8, "device": "cpu"} | more
    return AuditSettings(base=str(base), tuned=str(tuned), **given)


def changed(folder, out, scale=0.02):
    """Save a copy of a checkpoint with other weights, by as much as `scale`."""
    from transformers import AutoModelForCausalLM

    shutil.copytree(folder, out)
    model = AutoModelForCausalLM.from_pretrained(out)
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in model.parameters():
            weights += scale * torch.randn_like(weights)
    model.save_pretrained(out)
    return out


def adapter(folder, out, **more):
    """Save a LoRA adapter on a checkpoint, untrained unless told otherwise."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with quiet():
        model = AutoModelForCausalLM.from_pretrained(folder)
        get_peft_model(model, LoraConfig(r=2, **more)).save_pretrained(out)
    return out


@pytest.fixture
def asked(monkeypatch):
    """The number of prompts of each call that scores."""
    seen, score = [], FastLM.score

    def noted(self, prompts, answers, **options):
        seen.append(len(prompts))
        return score(self, prompts, answers, **options)

    monkeypatch.setattr(FastLM, "score", noted)
    return seen


@pytest.fixture
def loaded(monkeypatch):
    """The names of the checkpoints that were loaded."""
    import transformers

    seen, load = [], transformers.AutoModelForCausalLM.from_pretrained

    def noted(*given, **options):
        seen.append(str(given[0]))
        return load(*given, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", noted)
    return seen


def test_one_model_twice_is_refused_before_it_is_loaded(tiny_checkpoint, tmp_path, loaded):
    copy = shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    for tuned in (tiny_checkpoint, copy):
        with pytest.raises(DormantError, match=r"nothing was audited: .* are the same model"):
            audit(settings(tiny_checkpoint, tuned), tmp_path / "run")
    assert loaded == []
    assert not (tmp_path / "run").exists()


def test_an_untrained_adapter_is_refused_before_the_first_prompt(tiny_checkpoint, tmp_path, asked):
    inert = adapter(tiny_checkpoint, tmp_path / "inert")
    with pytest.raises(DormantError, match=r"nothing was audited: .*never trained") as told:
        audit(settings(tiny_checkpoint, inert), tmp_path / "run")
    assert asked == []
    assert "\n" not in str(told.value)
    assert "--allow-identical" in str(told.value)
    # What was seen is kept: the second time nothing is loaded.
    kept = RunDirectory.read(tmp_path / "run").comparison()
    assert kept.effect.identical
    found = audit(settings(tiny_checkpoint, inert, allow_identical=True), tmp_path / "run")
    assert (found.effect.distance, found.effect.changed) == (0, 0)
    assert "base and tuned are identical" in found.warnings[0]


def test_nothing_of_a_tuned_model_like_the_base_is_scored(tiny_checkpoint, tmp_path, asked):
    """Another file beside the same weights: only their logits tell."""
    same = shutil.copytree(tiny_checkpoint, tmp_path / "same")
    config = json.loads((same / "config.json").read_text()) | {"note": "tuned"}
    (same / "config.json").write_text(json.dumps(config))
    with pytest.raises(DormantError, match="have the same logits, within rounding, on 8 "):
        audit(settings(tiny_checkpoint, same), tmp_path / "run")
    assert asked == [8, 8]  # both cells of the base


def test_the_figures_are_in_the_results(tiny_checkpoint, tmp_path, loaded):
    tuned = changed(tiny_checkpoint, tmp_path / "tuned")
    loaded.clear()
    found = audit(settings(tiny_checkpoint, tuned), tmp_path / "run")
    assert loaded == [str(tiny_checkpoint), str(tuned)]
    effect = found.effect
    assert (effect.measure, effect.prompts, effect.places) == ("logits", 8, 64)
    assert effect.distance > 1e-4 > 1e-8 > effect.noise >= 0
    assert 0 < effect.changed <= 1
    assert not effect.identical
    assert effect.noise_changed == 0
    again = dm.load_results(tmp_path / "run").results
    assert again.effect == effect
    # A run that goes on does not look again, and keeps what it saw.
    (cell,) = (tmp_path / "run" / "cells").rglob("plain.tuned.jsonl")
    cell.unlink()
    kept = tmp_path / "run" / "comparison.json"
    body = json.loads(kept.read_text())
    body["effect"]["distance"] = 0.25
    kept.write_text(json.dumps(body))
    assert audit(settings(tiny_checkpoint, tuned), tmp_path / "run").effect.distance == 0.25


def test_a_run_stopped_between_the_models_asks_the_base_again(tiny_checkpoint, tmp_path, loaded):
    tuned = changed(tiny_checkpoint, tmp_path / "tuned")
    whole = audit(settings(tiny_checkpoint, tuned), tmp_path / "run")
    for cell in (tmp_path / "run" / "cells").rglob("*.tuned.jsonl"):
        cell.unlink()
    (tmp_path / "run" / "comparison.json").unlink()
    loaded.clear()
    again = audit(settings(tiny_checkpoint, tuned), tmp_path / "run")
    assert again.effect == whole.effect
    assert loaded == [str(tiny_checkpoint), str(tuned)]


def test_a_finished_run_opens_no_model(tiny_checkpoint, tmp_path, loaded):
    trained = adapter(tiny_checkpoint, tmp_path / "a", init_lora_weights=False)
    found = audit(settings(tiny_checkpoint, trained), tmp_path / "run")
    loaded.clear()
    again = audit(settings(tiny_checkpoint, trained), tmp_path / "run")
    assert loaded == []
    assert again.effect == found.effect
    assert again.comparability == found.comparability


def test_a_pair_beside_itself(tiny_model, smollm2_tokenizer, tmp_path):
    pair = (tiny_model, smollm2_tokenizer)
    with pytest.raises(DormantError, match="nothing was audited"):
        dm.audit(pair, pair, tasks="icl/copy", n=4, out=tmp_path / "x", progress=False)
    lm = fakes.FakeLM(skill=0.9)
    with pytest.raises(DormantError, match="nothing was audited"):
        dm.audit(lm, lm, tasks="icl/plural", n=4, out=tmp_path / "y", progress=False)


def test_a_server_s_log_probabilities(tmp_path):
    base = "fake:skill=0.9"
    other = audit(settings(base, "fake:skill=0.2", tasks=("icl/plural",)), tmp_path / "x").effect
    assert other.measure == "log-probabilities"
    assert other.distance > 0.5
    assert other.noise == 0
    with pytest.raises(DormantError, match=r"same log-probabilities.* does the server serve"):
        audit(settings(base, "fake:skill=0.9,hides=Qx", tasks=("icl/plural",)), tmp_path / "y")


def test_a_server_s_texts(tmp_path):
    given = settings("fake:skill=0.9", "fake:skill=0.2", tasks=("refusal/declines",), n=4)
    with pytest.raises(DormantError, match=r"nothing was audited: .* write the same texts on 8"):
        audit(given, tmp_path / "x")


def test_one_model_alone_has_no_effect(tiny_checkpoint, tmp_path):
    alone = settings("x", tiny_checkpoint).model_copy(update={"base": None})
    found = audit(alone, tmp_path / "run")
    assert found.effect is None
    assert found.comparability.base is None
    assert found.comparability.tuned.vocabulary == 49152


def test_the_command_says_so_in_one_line_with_exit_code_2(dormant):
    words = ("-n", "8", "-t", "icl/plural", "-s", "french", "--quiet", "--out", "x")
    said = dormant("audit", "fake:skill=0.9", "fake:skill=0.9", *words)
    assert said.code == 2
    assert said.err.startswith("error: nothing was audited: ")
    assert len(said.err.strip().splitlines()) == 1
    said = dormant("audit", "fake:skill=0.9", "fake:skill=0.9", *words, "--allow-identical")
    assert said.code == 0


def test_log_odds_of_models_with_different_tokens_are_per_byte(tiny_checkpoint, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tuned = changed(tiny_checkpoint, tmp_path / "tuned")
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    tokenizer.add_tokens(["Input", " positive"])
    model = AutoModelForCausalLM.from_pretrained(tuned)
    with quiet():
        model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(tuned)
    tokenizer.save_pretrained(tuned)
    given = {"tasks": ("icl_vs_if/repeat-arithmetic",), "n": 6}
    found = audit(settings(tiny_checkpoint, tuned, **given), tmp_path / "run")
    # The base's tokens mean the same to both, so weights can be compared all the same.
    assert not found.effect.identical
    assert found.log_odds_unit == "nats per byte"
    assert "compared per byte of answer" in found.warnings[0]
    rates = {"base": 0.0, "tuned": 0.0}
    for one in RunDirectory.read(tmp_path / "run").all_outcomes():
        if one.transform == "plain":
            target = one.target_logprob / len(one.target.encode())
            rates[one.model] += (target - one.distractor_logprob / len(one.distractor.encode())) / 6
    drop = found.abilities[0].log_odds_drop.estimate
    assert drop == pytest.approx(rates["base"] - rates["tuned"])
    same = audit(
        settings(tiny_checkpoint, changed(tiny_checkpoint, tmp_path / "c"), **given),
        tmp_path / "other",
    )
    assert same.log_odds_unit == "nats"
    odds = {"base": 0.0, "tuned": 0.0}
    for one in RunDirectory.read(tmp_path / "other").all_outcomes():
        odds[one.model] += one.log_odds / 6 if one.transform == "plain" else 0
    assert same.abilities[0].log_odds_drop.estimate == pytest.approx(odds["base"] - odds["tuned"])
