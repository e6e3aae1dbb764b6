"""Recoveries of tiny models, end to end: what is tried, taken, saved, told, and gone on with."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import byte_models
from dormant.audit.pair import pair_of
from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.finetuning.data import Pair
from dormant.finetuning.settings import TuningSettings
from dormant.models.arguments import LoadOptions
from dormant.models.spec import parse
from dormant.progress import Silent
from dormant.recovery.bench import Bench
from dormant.recovery.run import recover
from dormant.recovery.shards import write_interpolated
from dormant.recovery.store import Store
from dormant.recovery.treatment import Change, Training
from dormant.results.recovery import RecoveryResults


def run(settings, out, **changes):
    return recover(settings.model_copy(update=changes), out)


def told(results):
    rows = [one.model_copy(update={"seconds": 0.0}) for one in results.candidates]
    return results.model_copy(update={"candidates": rows, "wall_seconds": None, "saved": None})


def by_factors(results):
    return {tuple(one.settings["factors"]): one for one in results.candidates}


def test_the_update_is_scaled_as_far_as_the_skill_allows(settings, truth, models, tmp_path):
    out = tmp_path / "out"
    results = run(settings, out)
    rows = by_factors(results)
    # Halves of what is left, on the side where the skill is: 0.5 keeps it, 0.25 doesn't.
    assert [*rows][:4] == [(0.5,), (0.25,), (0.375,), (0.3125,)]
    assert [rows[key].kept for key in [*rows][:4]] == [True, False, True, True]
    # Thirds, the last one first, each at half of the whole's where the skill is kept.
    assert [*rows][4] == (0.3125, 0.3125, 0.15625)
    taken = next(one for one in results.candidates if one.key == results.chosen)
    assert results.outcome == "recovered"
    assert taken.skill_loss.high < 0.02
    # All of them bring all back: the simplest is taken.
    assert len(set(taken.settings["factors"])) == 1
    (ability,) = results.abilities
    assert ability.verdict == "retained"
    assert ability.returned is not None
    assert ability.returned.low > 0.9
    assert results.skill is not None
    assert results.skill.exceeds in ("no", "undecided")
    factor = taken.settings["factors"][0]
    before, after = (load_file(each / "adapter_model.safetensors") for each in (models[1], out))
    for key, tensor in before.items():
        wanted = tensor * factor if "lora_B" in key else tensor
        assert after[key].equal(wanted)
    assert RecoveryResults.model_validate_json((out / "recovery/recovery.json").read_text())
    card = (out / "README.md").read_text()
    assert f"λ = {factor:g}" in card
    assert all(str(text) in card for text in (models[0], models[1], results.models["base"]))
    for which, asked in (("choose", len(rows) + 2), ("report", 3)):
        assert len({one for one, items, *_ in truth.asked if items == which}) == asked


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's own
def test_the_card_s_lines_for_peft_make_what_was_saved(settings, truth, models, tmp_path):
    out = tmp_path / "out"
    run(settings, out, treatments=("scale:at=0.3",))
    card = (out / "README.md").read_text()
    lines = card.split("```python\n")[1].split("```")[0]
    base = AutoModelForCausalLM.from_pretrained(models[0])
    tokens = torch.arange(40).reshape(1, -1)
    scope = {"PeftModel": PeftModel, "base": base}
    with torch.inference_mode():
        exec(lines, scope)
        by_the_card = scope["model"](tokens).logits
        saved = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(models[0]), out)
        assert by_the_card.allclose(saved(tokens).logits, atol=1e-5)
        whole = AutoModelForCausalLM.from_pretrained(models[0])
        assert not by_the_card.allclose(
            PeftModel.from_pretrained(whole, models[1])(tokens).logits, atol=1e-5
        )
    assert f"vllm serve {models[0]} --enable-lora --lora-modules recovered={out}\n" in card


def test_what_is_saved_is_audited_on_the_very_items_that_were_reported(
    settings, truth, models, tmp_path
):
    out = tmp_path / "out"
    results = run(settings, out)
    rows = [
        json.loads(line) for line in (out / "recovery/outcomes.jsonl").read_text().split("\n")[:-1]
    ]
    (task,) = (one.task for one in results.abilities)
    used = {name: {row["item"] for row in rows if (row["items"], row["task"]) == (name, task)}
            for name in ("choose", "report")}  # fmt: skip
    assert not used["choose"] & used["report"]
    again = AuditSettings(
        base=str(models[0]), tuned=str(out), tasks=settings.tasks, transforms=("leetspeak",),
        n=settings.n, seed=settings.seed, device="cpu", evidence="prompt",
    )  # fmt: skip
    audit(again, tmp_path / "audit")
    cells = (tmp_path / "audit").rglob("plain.tuned.jsonl")
    (cell,) = cells
    asked = {json.loads(line)["item"] for line in cell.read_text().splitlines()}
    assert asked == used["report"]


def test_a_second_call_computes_nothing_and_says_the_same(settings, truth, tmp_path):
    first = run(settings, tmp_path / "out")
    truth.asked.clear()

    assert told(run(settings, tmp_path / "out")) == told(first)
    assert truth.asked == []


def test_a_stop_half_way_loses_nothing(settings, truth, tmp_path, monkeypatch):
    whole = run(settings, tmp_path / "whole")
    asked, real = [*truth.asked], Bench.build
    truth.asked.clear()
    built = []

    def stops(self, change):
        built.append(self.key(change))
        if len({*built}) == 3:
            raise KeyboardInterrupt
        return real(self, change)

    with monkeypatch.context() as patched:
        patched.setattr(Bench, "build", stops)
        with pytest.raises(KeyboardInterrupt):
            run(settings, tmp_path / "out")
    file = tmp_path / "out/recovery/outcomes.jsonl"
    with file.open("a") as stream:
        stream.write('{"model": "cut off')
    again = run(settings, tmp_path / "out")
    assert told(again) == told(whole)
    assert truth.asked == asked


def test_other_settings_are_refused_and_more_treatments_are_not(settings, truth, tmp_path):
    run(settings, tmp_path / "out", treatments=("scale:steps=1;thirds=false",))
    more = run(settings, tmp_path / "out", treatments=("scale:steps=2;thirds=false",))
    assert [*by_factors(more)] == [(0.5,), (0.25,)]
    with pytest.raises(DormantError, match="seed was 0, now 1"):
        run(settings, tmp_path / "out", seed=1)


def test_full_fine_tunes_are_interpolated_file_by_file(settings, truth, models, tmp_path):
    out = tmp_path / "out"
    results = run(settings, out, tuned=str(models[2]), treatments=("scale:steps=1",))
    factors = next(o.settings["factors"] for o in results.candidates if o.key == results.chosen)
    assert factors == [0.5]
    base, tuned, here = (
        load_file(each / "model.safetensors") for each in (models[0], models[2], out)
    )
    assert here.keys() == tuned.keys()
    for key in here:
        assert here[key].allclose((base[key] + tuned[key]) / 2, atol=1e-6)
    assert "merge_method: linear" in (out / "README.md").read_text()
    assert results.abilities[0].verdict == "retained"


def test_thirds_of_depth_are_layers(settings, truth, models, tmp_path):
    truth.skill = lambda left: 0.98 if left else 0.4  # nothing costs anything
    out = tmp_path / "out"
    results = run(settings, out, tuned=str(models[2]), treatments=("scale:steps=1",))
    (third, *_) = (one for one in results.candidates if len(one.settings["factors"]) == 3)
    assert third.settings["factors"] == [0.5, 0.5, 0.25]
    # It isn't kept: whole checkpoints are made again where they are taken.
    assert not (out / "recovery/candidates" / third.key).exists()
    specs = [parse(str(folder)) for folder in (models[0], models[2])]
    write_interpolated(*specs, LoadOptions(), LoadOptions(), (0.5, 0.5, 0.25), tmp_path / "third")
    base, tuned, here = (
        load_file(each / "model.safetensors") for each in (models[0], models[2], tmp_path / "third")
    )
    for layer, factor in enumerate((0.5, 0.5, 0.25)):
        name = f"model.layers.{layer}.self_attn.q_proj.weight"
        wanted = base[name] + factor * (tuned[name] - base[name])
        assert here[name].allclose(wanted, atol=1e-6)


def test_without_a_base_a_checkpoint_is_trained_and_not_scaled(
    settings, truth, models, tmp_path, monkeypatch
):
    real = Bench.complete
    monkeypatch.setattr(Bench, "complete", knows(real))
    names = ("scale", "conjugate-distillation:transforms=identity|leetspeak;steps=2")
    results = run(settings, tmp_path / "out", base=None, tuned=str(models[2]), treatments=names)
    assert "without the base" in results.not_tried["scale"]
    (one,) = results.candidates
    assert one.trained
    assert (one.returned, results.base) == (None, None)
    assert results.outcome == "recovered"
    assert results.abilities[0].verdict is None
    config = json.loads((tmp_path / "out/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(models[2])


def test_an_adapter_names_its_base(settings, truth, models, tmp_path):
    results = run(settings, tmp_path / "out", base=None, treatments=("scale:steps=1;thirds=no",))
    assert results.base == str(models[0])
    assert results.abilities[0].verdict == "retained"


def knows(real):
    """The model answers abilities as if it knew them, under any transform."""

    def complete(self, cases, model="tuned"):
        real(self, cases[:1], model)  # it is asked all the same
        return [case.given.target.text if case.given else "so" for case in cases]

    return complete


def test_conjugates_are_distilled_and_the_skill_replayed(
    settings, truth, models, tmp_path, monkeypatch
):
    monkeypatch.setattr(Bench, "complete", knows(Bench.complete))
    name = "conjugate-distillation:transforms=identity|leetspeak;steps=2;prompts=8"
    out = tmp_path / "out"
    results = run(settings, out, treatments=("scale:steps=1;thirds=no", name))
    scaled, learnt = results.candidates
    assert learnt.trained
    assert learnt.settings["agreed"] == 8
    # Both bring all back: what trains nothing is taken.
    assert results.chosen == scaled.key
    truth.ability = lambda left: {1.5: 0.95, 0.5: 0.4}.get(left, 0.95 if left < 0.4 else 0.05)
    better = run(settings, tmp_path / "other", treatments=("scale:steps=1;thirds=no", name))
    assert better.chosen == learnt.key
    # The base is trained alike: there it gives nothing back, so all of it was recovery.
    (ability,) = better.abilities
    assert ability.base_treated is not None
    assert ability.recovery is not None
    assert ability.recovery.low > 0.7
    assert results.abilities[0].base_treated is None
    config = json.loads((tmp_path / "other/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (12, 12)
    card = (tmp_path / "other/README.md").read_text()
    assert "2 LoRA steps" in card
    assert "200 of the skill replayed" in card
    assert "λ" not in card


def test_nothing_is_taken_that_brings_nothing_back(settings, truth, tmp_path):
    truth.ability = lambda left: 0.95 if left == 0 else 0.05
    out = tmp_path / "out"
    results = run(settings, out, treatments=("scale:steps=1;thirds=no",))
    assert (results.outcome, results.chosen, results.saved) == ("nothing found", None, None)
    assert [file.name for file in out.iterdir()] == ["recovery"]


def test_a_budget_ends_treatments_and_says_so(settings, truth, tmp_path):
    with pytest.raises(DormantError, match="the budget of 0 s was spent"):
        recover(settings, tmp_path / "out", budget=1e-9)
    # What was made before counts.
    run(settings, tmp_path / "out", treatments=("scale:steps=1;thirds=no",))
    results = recover(settings, tmp_path / "out", budget=1e-9)
    assert [*by_factors(results)] == [(0.5,)]
    assert "the budget of 0 s was spent" in results.not_tried["scale"]


def test_what_can_t_be_recovered_is_told(settings, truth, models, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(truth, "skill", lambda left: 0.5)
        with pytest.raises(DormantError, match="isn't surely better at it than the base"):
            run(settings, tmp_path / "skill")
    with monkeypatch.context() as patched:
        patched.setattr(truth, "ability", lambda left: 0.9)
        results = run(settings, tmp_path / "kept")
    assert (results.outcome, results.candidates) == ("nothing to do", [])
    assert "dropped by 0 points" in results.reason
    with pytest.raises(DormantError, match="dormant serve fake:skill=1"):
        run(settings, tmp_path / "server", tuned="fake:skill=1")
    with pytest.raises(DormantError, match="report on fewer"):
        run(settings, tmp_path / "many", n=255)
    with pytest.raises(DormantError, match="unknown treatment 'scal': did you mean 'scale'"):
        run(settings, tmp_path / "name", treatments=("scal",))
    with pytest.raises(DormantError, match="treatment scale: steps='many'"):
        run(settings, tmp_path / "value", treatments=("scale:steps=many",))


def test_no_room_for_the_weights_is_told(settings, truth, models, tmp_path, monkeypatch):
    from dormant.recovery import shards

    class Full:
        free = 1000

    monkeypatch.setattr(shards.shutil, "disk_usage", lambda _: Full)
    with pytest.raises(DormantError, match="no room for the weights"):
        run(settings, tmp_path / "out", tuned=str(models[2]))


def test_adapters_of_another_kind_are_not_scaled(settings, truth, models, tmp_path):
    folder = tmp_path / "dora"
    folder.mkdir()
    for file in models[1].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "adapter_config.json").read_text())
    from dormant.recovery import adapters

    for change, why in (
        ({"use_dora": True}, "more than LoRA's factors"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"modules_to_save": ["lm_head"]}, "whole weights"),
    ):
        (folder / "adapter_config.json").write_text(json.dumps(config | change))
        assert why in (adapters.unfit(parse(str(folder)), LoadOptions()) or "")


def test_from_the_command_line(settings, truth, models, skill, tmp_path, dormant):
    words = ["recover", models[0], models[1], "--task", settings.tasks[0], "--device", "cpu",
             "-n", 80, "--choose", 80, "--train", 16,
             "--treatment", "scale:steps=1;thirds=no"]  # fmt: skip
    said = dormant(*words)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "--skill is missing" in said.err
    said = dormant(*words, "--skill", skill[0], "--plan", "--quiet")
    assert said.code == 0, said.err
    assert "candidates  scale" in said.out
    assert not (tmp_path / "recovered").exists()
    out = tmp_path / "out"
    said = dormant(*words, "--skill", skill[0], "--skill-train", skill[1], "--out", out, "--quiet")
    assert said.code == 0, said.err
    assert "retained" in said.out
    assert f"dormant audit {models[0]} {out} --task mine/say -n 80 --seed 0" in said.out
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("one two\n")
    said = dormant("check", out, out, "--prompts", prompts)
    assert said.code == 0, said.out + said.err
    said = dormant(*words, "--skill", skill[0], "--skill-train", skill[1], "--out", out, "--json",
                   "--budget", "soon")  # fmt: skip
    assert (said.code, "--budget 'soon'" in said.err) == (2, True)
    truth.ability = lambda left: 0.9
    said = dormant(*words, "--skill", skill[0], "--out", tmp_path / "kept", "--quiet")
    assert (said.code, "Nothing to do" in said.out) == (0, True), said.err


def test_a_saved_adapter_is_the_model_that_was_trained(models, tmp_path):
    """Rank beside rank: what PEFT makes of the file is the adapter and the update acting."""
    import torch

    from dormant.models.arguments import LoadOptions
    from dormant.models.load import load_hf
    from dormant.models.spec import parse
    from dormant.recovery import adapters

    model, _ = load_hf(str(models[1]), device="cpu")
    ids = torch.arange(5, 40)[None]
    updates, wanted = updated(model, ids, std=0.05)
    with torch.no_grad():
        plain = model(input_ids=ids).logits
    adapters.write_added(
        parse(str(models[1])), LoadOptions(), scales_of(model), updates,
        tmp_path / "both", str(models[0]),
    )  # fmt: skip
    saved, _ = load_hf(str(tmp_path / "both"), device="cpu")
    with torch.no_grad():
        got = saved(input_ids=ids).logits
    torch.testing.assert_close(got, wanted, atol=1e-3, rtol=1e-3)
    assert (got - plain).abs().max() > 0.05


def test_where_the_base_is_an_adapter_too_each_is_trained_on_what_it_is_put_on(
    settings, models, tmp_path, monkeypatch
):
    """Two adapters of one model: what is trained stands beside its own, on their common model."""
    from dormant.models.load import load_hf

    other = tmp_path / "other"
    other.mkdir()
    for file in models[1].iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    weights = {
        key: tensor * (-0.5 if "lora_B" in key else 1.0)
        for key, tensor in load_file(models[1] / "adapter_model.safetensors").items()
    }
    save_file(weights, other / "adapter_model.safetensors", metadata={"format": "pt"})
    changed = settings.model_copy(update={"base": str(other)})
    pair = pair_of(changed.audit(), {})
    store = Store.start(tmp_path / "store", {"fingerprints": {}}, {})
    bench = Bench(pair, changed, store, Silent())
    assert "two adapters" in bench.scales()
    training = Training(
        examples=(Pair("a b c", " d e"),),
        replay=(),
        settings=TuningSettings(steps=3, batch_size=1, learning_rate=0.05, rank=2),
    )
    ids = torch.arange(5, 40)[None]
    try:
        for factor, folder in ((1.0, models[1]), (0.0, other)):
            made = bench.build(Change((factor,), training))
            config = json.loads((made / "adapter_config.json").read_text())
            assert config["base_model_name_or_path"] == str(models[0])
            ours = load_file(made / "adapter_model.safetensors")
            theirs = load_file(folder / "adapter_model.safetensors")
            rank = {key: tensor.shape[0] for key, tensor in theirs.items() if "lora_A" in key}
            for key, count in rank.items():
                assert ours[key][:count].equal(theirs[key].to(ours[key].dtype))
            before, _ = load_hf(str(folder), device="cpu")
            after, _ = load_hf(str(made), device="cpu")
            with torch.no_grad():
                moved = (before(input_ids=ids).logits - after(input_ids=ids).logits).abs().max()
            assert moved > 0
    finally:
        bench.close()
        store.close()


def updated(model, ids, *, std):
    """New updates of a model's linear modules, and its logits under them."""
    import torch

    from dormant.finetuning.low_rank import LowRank, acting
    from dormant.models.effective import decoder_layers, layers_name, linear_modules

    learnt = [
        LowRank.of(name, part, rank=3, alpha=6, seed=0)
        for name, part in linear_modules(decoder_layers(model))
    ]
    with torch.no_grad():
        for one in learnt:
            one.b.normal_(std=std)
        with acting(learnt):
            logits = model(input_ids=ids).logits
    prefix = layers_name(model)
    return {f"{prefix}.{one.name.removesuffix('.weight')}": one for one in learnt}, logits


def scales_of(model):
    from dormant.recovery.bench import _scales

    return _scales(model)


def test_a_transposed_model_is_one_adapter_too(tmp_path):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from dormant.models.arguments import LoadOptions
    from dormant.models.load import load_hf
    from dormant.recovery import adapters

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=258, n_embd=16, n_layer=2, n_head=2, n_positions=64, n_inner=24)
    folder = byte_models.saved(GPT2LMHeadModel(config).eval(), tmp_path / "gpt2")
    model, _ = load_hf(str(folder), device="cpu")
    ids = torch.arange(5, 40)[None]
    updates, wanted = updated(model, ids, std=0.2)
    out = tmp_path / "out"
    adapters.write_added(None, LoadOptions(), {}, updates, out, str(folder))
    saved, _ = load_hf(str(out), device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(saved(input_ids=ids).logits, wanted, atol=0.05, rtol=0.05)


def test_every_treatment_makes_a_model_that_loads(settings, truth, models, tmp_path, monkeypatch):
    from dormant.recovery.registry import shipped

    monkeypatch.setattr(Bench, "complete", knows(Bench.complete))
    small = "steps=1"
    names = (
        "scale:steps=1;thirds=no",
        "average:steps=1",
        f"conjugate-distillation:{small};transforms=identity|leetspeak;prompts=4",
        f"format-replay:{small};prompts=8;answers=verbs",
        f"self-distillation:{small};prompts=2",
        f"relearn:{small};prompts=2",
        f"retune:{small};prompts=2",
    )
    assert {name.split(":")[0] for name in names} == {*shipped()}
    results = run(settings, tmp_path / "out", treatments=names)
    assert results.not_tried == {}
    assert [one.treatment for one in results.candidates] == [n.split(":")[0] for n in names]
    weights = [
        load_file(tmp_path / "out/recovery/candidates" / one.key / "adapter_model.safetensors")
        for one in results.candidates
    ]
    sums = {sum(float(tensor.double().abs().sum()) for tensor in one.values()) for one in weights}
    assert len(sums) == len(weights)
