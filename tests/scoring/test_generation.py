"""Greedy is greedy: what a model writes is the likeliest token, one after another."""

from __future__ import annotations

import architectures as tiny
import peft
import pytest
import torch
import transformers as hf
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from dormant.models.arguments import LoadOptions
from dormant.models.ask import ask
from dormant.models.generate import generate
from dormant.models.live import LiveModel
from dormant.models.load import load
from dormant.transforms import get

pytestmark = pytest.mark.filterwarnings("ignore")

PROMPTS = ["w5 w6 w5 w6 w5", "w9 w8", "w30 w31 w32 w33 w34 w35 w36 w37"]
COUNT = 8
SETTINGS = {
    "repetition": {"repetition_penalty": 1.3},
    "slight repetition": {"repetition_penalty": 1.05},
    "n-grams": {"no_repeat_ngram_size": 1},
    "beams": {"num_beams": 4, "early_stopping": True, "length_penalty": 2.0},
    "short": {"max_new_tokens": 3},
    "shortest": {"max_length": 4},
    "time": {"max_time": 1e-6},
    "suppressed": {"suppress_tokens": list(range(3, 60))},
    "suppressed at first": {"begin_suppress_tokens": list(range(3, 60))},
    "bad words": {"bad_words_ids": [[n] for n in range(3, 60)]},
    "bias": {"sequence_bias": [[[70], 50.0]]},
    "forced": {"forced_bos_token_id": 70, "forced_eos_token_id": 71},
    "long": {"min_new_tokens": 8},
    "decay": {"exponential_decay_length_penalty": [1, 3.0]},
    "sampling": {"do_sample": True, "temperature": 3.0, "top_k": 50, "top_p": 0.9, "min_p": 0.1},
    "stop": {"stop_strings": ["w"]},
    "lookup": {"prompt_lookup_num_tokens": 3},
    "scores": {"return_dict_in_generate": True, "output_scores": True},
    "several": {"num_return_sequences": 2, "num_beams": 2},
}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.words()


@pytest.fixture(scope="module")
def model():
    found = tiny.build(tiny.SETTINGS["llama"])
    found.config.eos_token_id = found.generation_config.eos_token_id = [2]
    return found


def loop(model, tokenizer, prompt, ends=(2,), count=COUNT):
    """Choose the likeliest token by plain forward passes, again and again."""
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    start = ids.shape[1]
    for _ in range(count):
        with torch.inference_mode():
            token = model(input_ids=ids, use_cache=False).logits[0, -1].argmax()
        ids = torch.cat([ids, token[None, None]], 1)
        if int(token) in ends:
            break
    return tokenizer.decode(ids[0, start:], skip_special_tokens=True)


@pytest.fixture(scope="module")
def wanted(model, tokenizer):
    found = [loop(model, tokenizer, prompt) for prompt in PROMPTS]
    assert len(set(found)) == len(found)
    return found


@pytest.fixture
def checkpoint(model, tokenizer, tmp_path):
    def save(settings):
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        hf.GenerationConfig(eos_token_id=2, pad_token_id=0).save_pretrained(tmp_path)
        # As it may lie in a checkpoint; Transformers would not save all of these.
        import json

        file = tmp_path / "generation_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | settings))
        return str(tmp_path)

    return save


@pytest.mark.parametrize("name", SETTINGS)
def test_a_checkpoint_s_settings_are_not_obeyed(name, checkpoint, wanted):
    lm = load(checkpoint(SETTINGS[name]), LoadOptions(device="cpu"))
    assert generate(lm, PROMPTS, max_new_tokens=COUNT) == wanted


@pytest.mark.parametrize("name", ["repetition", "n-grams", "beams", "suppressed"])
def test_nor_by_the_harness_s_own_model(name, checkpoint, wanted):
    lm = load(checkpoint(SETTINGS[name]), LoadOptions(device="cpu", scorer="lm-eval"))
    assert generate(lm, PROMPTS, max_new_tokens=COUNT) == wanted


@pytest.mark.parametrize("scorer", ["fast", "lm-eval"])
def test_unless_they_are_asked_for(scorer, checkpoint, wanted):
    how = LoadOptions(device="cpu", scorer=scorer, generation_config="own")
    lm = load(checkpoint(SETTINGS["suppressed"]), how)
    found = generate(lm, PROMPTS, max_new_tokens=COUNT)
    assert found != wanted
    assert all(int(word[1:]) not in range(3, 60) for text in found for word in text.split())


def test_all_that_ends_a_text_is_kept(model, tokenizer, checkpoint, wanted):
    """A chat model ends a turn by another token than a text; the checkpoint knows which."""
    end = int(wanted[0].split()[3].removeprefix("w"))
    lm = load(checkpoint({"eos_token_id": [2, end]}), LoadOptions(device="cpu"))
    (found,) = generate(lm, PROMPTS[:1], max_new_tokens=COUNT)
    assert found == loop(model, tokenizer, PROMPTS[0], ends=(2, end))
    assert found != wanted[0]


def test_a_model_of_other_settings_stays_as_it_was(model, tokenizer, wanted):
    """Given as it is in memory, in PEFT's wrapper, or as a model of the harness."""
    theirs = hf.GenerationConfig(eos_token_id=2, pad_token_id=0, repetition_penalty=1.3)
    before, model.generation_config = model.generation_config, theirs
    try:
        wrapped = peft.get_peft_model(
            model, peft.LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")
        ).eval()
        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2)
        for given in ((model, tokenizer), (wrapped, tokenizer), lm):
            with LiveModel.of(given).open(LoadOptions()) as opened:
                assert generate(opened, PROMPTS, max_new_tokens=COUNT) == wanted
                completion = ask(opened, PROMPTS[0], get("identity"), max_new_tokens=COUNT)
                assert completion.output == wanted[0]
            assert model.generation_config is theirs
            assert wrapped.generation_config is theirs
            with LiveModel.of(given).open(LoadOptions(generation_config="own")) as opened:
                assert generate(opened, PROMPTS, max_new_tokens=COUNT) != wanted
        assert not hasattr(lm, "generation")
    finally:
        wrapped.unload()
        model.generation_config = before


def test_the_harness_s_tasks_are_greedy_too(checkpoint, wanted):
    from dormant.integrations.lm_eval.model import ConjugateLM

    folder = checkpoint(SETTINGS["n-grams"])
    settings = {"until": [], "max_gen_toks": COUNT, "do_sample": False}
    requests = [Instance("generate_until", {}, (prompt, settings), 0) for prompt in PROMPTS]
    for base in ("hf", "dormant-fast"):
        lm = ConjugateLM(base=base, pretrained=folder, device="cpu")
        assert lm.generate_until(requests) == wanted
        own = ConjugateLM(base=base, pretrained=folder, device="cpu", generation_config="own")
        assert own.generate_until(requests) != wanted


@pytest.mark.parametrize("name", ["phi3, longrope", "recurrent", "lfm2"])
def test_a_text_does_not_depend_on_the_batch(name, tokenizer):
    """Where padding would change it, prompts share a batch only if they are equally long."""
    from dormant.scoring.scorer import FastLM

    more = (("num_hidden_layers", 3),)
    made = tiny.build(tiny.SETTINGS.get(name, tiny.Setting("recurrent_gemma", more)))
    lm = FastLM(pretrained=made, tokenizer=tokenizer, precision="float32", max_length=128)
    prompts = [*PROMPTS, " ".join(f"w{n}" for n in range(10, 50))]
    ends = (2,)
    assert generate(lm, prompts, max_new_tokens=4) == [
        loop(made, tokenizer, prompt, ends, count=4) for prompt in prompts
    ]
