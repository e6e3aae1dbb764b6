"""The scorer's list of architectures, held entry by entry, and what isn't on it."""

from __future__ import annotations

import copy
import math

import architectures as tiny
import peft
import pytest
import torch
import transformers as hf
from torch.overrides import TorchFunctionMode

from dormant.scoring import attention, forward
from dormant.scoring.attention import CannotAttend
from dormant.scoring.encoding import encode_prompts
from dormant.scoring.harness_model import HarnessLM
from dormant.scoring.scorer import FastLM
from dormant.scoring.supported import SUPPORTED, limits_of, support_of

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' advice on slow paths

QUICK = {
    "cohere2", "gemma3_text, alternating windows", "lfm2", "llama4_text", "phi3, longrope",
}  # fmt: skip
EXACT = 2e-4
"""Nats by which float32 sums in another order may differ: four tokens' logits, about 10 in size."""


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.words()


@pytest.fixture(scope="module")
def make(tokenizer):
    def of(model, kind=FastLM, **options):
        options = {"batch_size": 4, "max_length": 128} | options
        options |= {"precision": "float32"} if kind is FastLM else {}
        return kind(pretrained=model, tokenizer=tokenizer, **options)

    return of


def scores(lm, prompts, answers):
    return [[one.logprob for one in row] for row in lm.score(prompts, answers)]


def furthest(rows, others):
    return max(abs(a - b) for a, b in zip(tiny.flat(rows), tiny.flat(others), strict=True))


# -- the list -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in tiny.SETTINGS]
)
def test_scores_are_those_of_plain_forward_passes(name):
    """Short, long, branching and mixed, past windows and original contexts; adapter off and on."""
    outcome = tiny.measure(tiny.SETTINGS[name])
    assert max(outcome.errors) < EXACT
    ways, *errors = tiny.table()[name]
    assert ways == ", ".join(outcome.ways), (
        "rewrite the table: python tests/scoring/architectures.py"
    )
    # Machines add up in different orders; ten times the table's is no rounding any more.
    assert all(new < 10 * max(old, 1e-6) for new, old in zip(outcome.errors, errors, strict=True))


def test_the_table_has_every_setting():
    assert list(tiny.table()) == list(tiny.SETTINGS)
    assert {setting.model_type for setting in tiny.SETTINGS.values()} == set(SUPPORTED)


@pytest.mark.parametrize(
    "name",
    ["doge", "llama4_text", "phi3, longrope", "phimoe",
     "llama, dynamic scaling"],
)  # fmt: skip
def test_beyond_its_limit_a_way_is_wrong(name, make):
    """Or refused by the model: the limits are no empty caution."""
    model = tiny.build(tiny.SETTINGS[name])
    lm = make(model)
    prompts, answers = tiny.examples(tiny.LONGEST)
    wanted = tiny.plainly(model, lm.tokenizer, prompts, answers)
    rows = encode_prompts(lm, prompts, answers)
    mode = lm._forward.modes[0]
    assert lm._forward.limit(mode) < max(row.longest for row in rows)
    try:
        found = [[one.logprob for one in row] for row in lm._forward(rows, mode, half=False)]
    except CannotAttend:
        return
    assert furthest(found, wanted) > 0.01


@pytest.mark.parametrize("kind", [FastLM, HarnessLM])
@pytest.mark.parametrize("name", ["phi3, longrope", "llama, dynamic scaling"])
def test_a_score_does_not_depend_on_the_batch(name, kind, make):
    """Not even where the model itself scales positions by the longest prompt it has read."""
    from dormant.scoring.harness import scorer_of

    model = tiny.build(tiny.SETTINGS[name])
    lm = make(model, kind)
    prompts, answers = tiny.examples(tiny.LONGEST)
    together = scores(scorer_of(lm), prompts, answers)
    alone = [
        scores(scorer_of(lm), [prompt], [row])[0]
        for prompt, row in zip(prompts, answers, strict=True)
    ]
    assert furthest(together, alone) < EXACT
    assert furthest(together, tiny.plainly(model, lm.tokenizer, prompts, answers)) < EXACT


@pytest.mark.slow
def test_every_setting_is_on_the_list_as_it_is_built():
    """A guard that turned one away would leave it to the slow path, which is right as well."""
    assert [n for n, one in tiny.SETTINGS.items() if not support_of(tiny.build(one))] == []


# -- what isn't on it -----------------------------------------------------------------------------


class Own(hf.LlamaForCausalLM):
    """Code that came with a checkpoint."""


def own_code():
    return Own(tiny.build(tiny.SETTINGS["llama"]).config)


def two_sided():
    model = tiny.build(tiny.SETTINGS["gemma"])
    model.config.use_bidirectional_attention = True
    return model


def unknown_scaling():
    model = tiny.build(tiny.SETTINGS["llama"])
    model.config.rope_parameters = {"rope_type": "as yet unknown"}
    return model


def in_eight_bits():
    model = tiny.build(tiny.SETTINGS["llama"])
    model.config.quantization_config = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    return model


def recurrent_gemma():
    """Its logits behind padding are others than before it."""
    return tiny.build(tiny.Setting("recurrent_gemma", (("num_hidden_layers", 3),)))


@pytest.mark.parametrize(
    "build", [own_code, two_sided, unknown_scaling, in_eight_bits, recurrent_gemma]
)
def test_what_is_not_on_the_list_goes_to_the_harness_path(build, make):
    model = build().eval()
    lm = make(model)
    prompts, answers = tiny.examples(tiny.LONGEST)
    wanted = tiny.plainly(model, lm.tokenizer, prompts, answers)
    assert furthest(scores(lm, prompts, answers), wanted) < EXACT
    assert lm.mode == "harness"
    requests = [
        hf_instance(prompt, answer)
        for prompt, row in zip(prompts, answers, strict=True)
        for answer in row
    ]
    theirs = [value for value, _ in super(FastLM, lm).loglikelihood(requests, disable_tqdm=True)]
    assert theirs == pytest.approx(tiny.flat(wanted), abs=EXACT)


def hf_instance(prompt, answer):
    from lm_eval.api.instance import Instance

    return Instance("loglikelihood", {}, (prompt, answer), 0)


def test_another_attention_is_not_taken_for_a_tested_one():
    model = tiny.build(tiny.SETTINGS["llama"])
    assert support_of(model)
    model.config._attn_implementation = "flash_attention_2"
    assert support_of(model) is None


def test_four_bits_leave_the_inputs_as_they_are():
    model = tiny.build(tiny.SETTINGS["llama"])
    model.config.quantization_config = hf.BitsAndBytesConfig(load_in_4bit=True)
    assert support_of(model)
    model.config.quantization_config = hf.BitsAndBytesConfig(load_in_8bit=True)
    assert support_of(model) is None


def test_limits_are_read_for_every_kind_of_layer():
    long = tiny.SETTINGS["phi3, longrope"]
    config = tiny.build(long).config
    config.rope_parameters = {
        "full_attention": config.rope_parameters,
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    assert limits_of(config) == (tiny.TRAINED, tiny.TRAINED)
    config.rope_parameters["full_attention"] = {"rope_type": "yarn"}
    assert limits_of(config) == (math.inf, math.inf)


# -- adapters -------------------------------------------------------------------------------------

LAYERS = {"target_modules": ["q_proj", "down_proj"]}
PLAIN = {
    "LORA": peft.LoraConfig(**LAYERS, init_lora_weights=False, use_dora=True),
    "LOHA": peft.LoHaConfig(**LAYERS, init_weights=False),
    "LOKR": peft.LoKrConfig(**LAYERS, init_weights=False),
    "IA3": peft.IA3Config(**LAYERS, feedforward_modules=["down_proj"], init_ia3_weights=False),
    "OFT": peft.OFTConfig(**LAYERS, oft_block_size=4, init_weights=False),
    "HRA": peft.HRAConfig(**LAYERS, init_weights=False),
    "VERA": peft.VeraConfig(target_modules=["q_proj"], init_weights=False),
}
WRAPPED = {
    "prompt": peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "prefix": peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "activated": peft.LoraConfig(
        **LAYERS, task_type="CAUSAL_LM", init_lora_weights=False, alora_invocation_tokens=[7]
    ),
}


@pytest.mark.parametrize("kind", [*PLAIN, *WRAPPED])
def test_adapters_act_as_in_their_own_wrapper(kind, make):
    """Where only the wrapper's forward makes them act, that is what runs."""
    torch.manual_seed(0)
    config = copy.deepcopy((PLAIN | WRAPPED)[kind])
    base = tiny.build(tiny.SETTINGS["llama"])
    prompts, answers = tiny.examples(40)
    if kind == "activated":
        # It acts behind these tokens only, which not all of the prompts have.
        config.alora_invocation_tokens = [int(prompts[1].split()[0].removeprefix("w"))]
    lm = make(peft.get_peft_model(copy.deepcopy(base), config).eval())
    wanted = tiny.plainly(lm.model, lm.tokenizer, prompts, answers)
    found = scores(lm, prompts, answers)
    assert furthest(found, wanted) < EXACT
    assert lm.mode == ("prefix tree" if kind in PLAIN else "harness")
    with lm.model.disable_adapter():
        off = scores(lm, prompts, answers)
    assert furthest(off, tiny.plainly(base, lm.tokenizer, prompts, answers)) < EXACT
    assert furthest(off, found) > 1e-3


# -- the check at run time ------------------------------------------------------------------------


def leak(part, given, made):
    """Let a token see how many stand before it in its flat row, whatever their prompt."""
    return made + torch.arange(made.shape[1])[:, None] * 0.05


def test_one_sequence_a_prompt_does_not_hide_a_recurrence(make):
    """In a flat row of one path everything is where it is in a sequence."""
    model = tiny.build(tiny.SETTINGS["llama"])
    model.model.layers[0].mlp.register_forward_hook(leak)
    lm = make(model)
    wanted = tiny.plainly(model, lm.tokenizer, ["w5 w6"], [[" w7"]])
    assert furthest(scores(lm, ["w5 w6"], [[" w7"]]), wanted) < EXACT
    assert lm.mode == "rows"


def test_the_check_is_made_again_for_an_adapter(make):
    model = peft.get_peft_model(
        tiny.build(tiny.SETTINGS["llama"]),
        peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False),
    ).eval()
    layer = model.base_model.model.model.layers[0]

    def when_on(part, given, made):
        return made if layer.self_attn.q_proj.disable_adapters else leak(part, given, made)

    layer.mlp.register_forward_hook(when_on)
    lm = make(model)
    prompts, answers = tiny.examples(40)
    for _ in range(2):
        with model.disable_adapter():
            off = scores(lm, prompts, answers)
            assert lm.mode == "prefix tree"
            assert furthest(off, tiny.plainly(model, lm.tokenizer, prompts, answers)) < EXACT
        on = scores(lm, prompts, answers)
        assert lm.mode == "rows"
        assert furthest(on, tiny.plainly(model, lm.tokenizer, prompts, answers)) < EXACT


def test_the_check_is_made_again_for_longer_prompts(make, monkeypatch):
    """And for none that is shorter than what was compared."""
    model = tiny.build(tiny.SETTINGS["llama"])
    real, longest = attention.attend, 70

    def short_sighted(*given, prefix_tree, **options):
        out, _ = real(*given, prefix_tree=prefix_tree, **options)
        seen = max(group.keys.shape[1] for group in prefix_tree)
        return out * (1 if seen <= longest else 2), None

    monkeypatch.setattr(attention, "attend", short_sighted)
    monkeypatch.setattr(forward, "_FIRST_CHECK", 16)
    compared, own = [], forward.own_logits

    def counted(*given):
        compared.append(1)
        return own(*given)

    monkeypatch.setattr(forward, "own_logits", counted)
    lm, counts = make(model), []
    for size in (12, 11, 30, 90):
        before = len(compared)
        lm._forward.assign(encode_prompts(lm, *tiny.examples(size)))
        counts.append(len(compared) - before)
    # Nothing for 11 tokens, which the check on 16 covers; for the longest both ways along the tree
    # are wrong, and one row a sequence is right.
    assert counts == [1, 0, 1, 3]
    lm = make(model)
    for size in (12, 90):
        prompts, answers = tiny.examples(size)
        wanted = tiny.plainly(model, lm.tokenizer, prompts, answers)
        assert furthest(scores(lm, prompts, answers), wanted) < EXACT
        assert lm.mode == ("rows" if size == 90 else "prefix tree")


def test_the_check_is_made_for_another_model(make):
    lm = make(tiny.build(tiny.SETTINGS["llama"]))
    prompts, answers = tiny.examples(40)
    scores(lm, prompts, answers)
    other = tiny.build(tiny.SETTINGS["lfm2"])
    lm._model = other
    wanted = tiny.plainly(other, lm.tokenizer, prompts, answers)
    assert furthest(scores(lm, prompts, answers), wanted) < EXACT
    assert lm.mode == "rows"


def test_half_precision_is_compared_with_room_for_rounding(make, monkeypatch):
    """And with no more: a mask that hides some tokens is seen."""
    model = tiny.build(tiny.SETTINGS["llama"]).to(torch.bfloat16)
    lm = make(model)
    prompts, answers = tiny.examples(40)
    scores(lm, prompts, answers)
    assert lm.mode == "prefix tree"
    real = attention.attend

    def forgetful(module, query, key, value, mask, **options):
        value = value.clone()
        value[:, :, :64] = 0
        return real(module, query, key, value, mask, **options)

    monkeypatch.setattr(attention, "attend", forgetful)
    lm = make(model)
    scores(lm, prompts, answers)
    assert lm.mode == "rows"


def test_a_refusal_in_mid_run_is_not_seen(make, monkeypatch):
    model = tiny.build(tiny.SETTINGS["llama"])
    lm = make(model)
    prompts, answers = tiny.examples(40)
    wanted = scores(lm, prompts, answers)

    def refuses(*given, **options):
        raise CannotAttend("anything")

    monkeypatch.setattr(attention, "attend", refuses)
    assert furthest(scores(lm, prompts, answers), wanted) < EXACT
    assert lm._forward.modes[0].name == "rows"


def test_a_check_that_memory_does_not_suffice_for_leaves_the_harness_path(make, monkeypatch):
    lm = make(tiny.build(tiny.SETTINGS["llama"]))
    prompts, answers = tiny.examples(40)
    wanted = scores(lm, prompts, answers)

    def too_large(*given):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(forward, "own_logits", too_large)
    lm._made = None
    assert furthest(scores(lm, prompts, answers), wanted) < EXACT
    assert lm.mode == "harness"


class WithoutFloat64(TorchFunctionMode):
    """A device that has no float64, as Apple's: tensors may be turned into it on the host only."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        wants = function is torch.Tensor.double or (
            function is torch.Tensor.to and torch.float64 in (*args, *kwargs.values())
        )
        if wants and not getattr(args[0], "on_host", False):
            raise TypeError("Cannot convert a tensor of this device to float64 dtype")
        made = function(*args, **kwargs)
        if function is torch.Tensor.cpu:
            # On a processor it gives the tensor itself.
            made = made.clone()
            made.on_host = True
        return made


@pytest.mark.parametrize("name", ["llama", "lfm2", "recurrent_gemma"])
def test_a_device_without_float64(name, make):
    more = (("num_hidden_layers", 3),) if name == "recurrent_gemma" else ()
    lm = make(tiny.build(tiny.Setting(name, more)))
    prompts, answers = tiny.examples(40)
    wanted = scores(lm, prompts, answers)
    with WithoutFloat64():
        with pytest.raises(TypeError, match="float64"):
            torch.zeros(1).double()
        assert scores(lm, prompts, answers) == wanted
