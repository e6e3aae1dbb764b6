"""Who scores for a model, and what happens where our own engine can't."""

from __future__ import annotations

import pytest
import torch
import transformers as hf
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from dormant.errors import DormantError
from dormant.integrations.lm_eval.model import ConjugateLM
from dormant.scoring import forward
from dormant.scoring.harness import HarnessScorer, scorer_of
from dormant.scoring.scorer import FastLM

PROMPTS = ["Repeat the word.\nInput: dog\nOutput:", "Repeat the word.\nInput: house\nOutput:"]
ANSWERS = [[" dog", " house"], [" house", " dog"]]


def flat(rows):
    return [answer.logprob for row in rows for answer in row]


@pytest.fixture
def tiny(tiny_model, smollm2_tokenizer):
    def make(model=tiny_model, **options):
        return FastLM(pretrained=model, tokenizer=smollm2_tokenizer, precision="float32", **options)

    return make


def test_a_conjugated_model_is_scored_through_its_transform(tiny_checkpoint):
    """Its attributes are its base's, whose own scorer would see prompts as they are."""
    lm = ConjugateLM(
        base="dormant-fast", transform="leetspeak", pretrained=str(tiny_checkpoint), device="cpu"
    )
    plain = flat(scorer_of(lm.base).score(PROMPTS, ANSWERS))
    through = flat(scorer_of(lm).score(PROMPTS, ANSWERS))
    requests = [
        Instance("loglikelihood", {}, (prompt, answer), 0)
        for prompt, row in zip(PROMPTS, ANSWERS, strict=True)
        for answer in row
    ]
    assert isinstance(scorer_of(lm), HarnessScorer)
    assert isinstance(scorer_of(lm.base), FastLM)
    assert through == pytest.approx([logprob for logprob, _ in lm.loglikelihood(requests)])
    assert min(abs(a - b) for a, b in zip(through, plain, strict=True)) > 1e-3


def windowed(kind, vocabulary):
    torch.manual_seed(0)
    shared = {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "sliding_window": 24,
    }  # fmt: skip
    if kind == "mistral":
        return hf.MistralForCausalLM(hf.MistralConfig(**shared)).eval()
    # Its logits are scaled after the head: layers and head can't be called apart.
    return hf.Cohere2ForCausalLM(hf.Cohere2Config(**shared, logit_scale=0.25)).eval()


@pytest.mark.filterwarnings("ignore")  # the libraries' advice
@pytest.mark.parametrize("kind", ["mistral", "cohere2"])
def test_a_later_prompt_beyond_the_window(tiny, smollm2_tokenizer, kind):
    """The first batch fits and decides for the prefix tree, which keeps the second's window."""
    model = windowed(kind, len(smollm2_tokenizer))
    lm = tiny(model, batch_size=2)
    lm.score(["Input: dog\nOutput:"], [[" dog"]])
    assert lm.mode == "prefix tree"
    long = ["The dog saw the old house. " * 12 + "It"] * 2
    answers = [[" saw", " slept here"], [" was"]]
    rows = lm.score(long, answers)
    assert lm.mode == "prefix tree"
    theirs = HFLM(pretrained=model, tokenizer=smollm2_tokenizer, batch_size=1)
    wanted = flat(HarnessScorer(theirs).score(long, answers))
    # Both float32; sums are taken in another order.
    assert flat(rows) == pytest.approx(wanted, abs=1e-3)
    requests = [Instance("loglikelihood", {}, (long[0], answer), 0) for answer in answers[0]]
    again = tiny(model, batch_size=2)
    again.score(["Input: dog\nOutput:"], [[" dog"]])
    found = [logprob for logprob, _ in again.loglikelihood(requests)]
    assert found == pytest.approx(wanted[:2], abs=1e-3)


def scarce(lm, room, monkeypatch):
    """Let a model run out of memory at more than `room` prompts a pass."""
    sizes, call = [], lm._model_call

    def limited(inputs, **options):
        sizes.append(len(inputs))
        if len(inputs) > room:
            raise torch.OutOfMemoryError("no room")
        return call(inputs, **options)

    monkeypatch.setattr(lm, "_model_call", limited)
    return sizes


@pytest.mark.parametrize("ours", [True, False])
def test_the_harness_path_halves_its_batches(
    tiny, tiny_model, smollm2_tokenizer, ours, monkeypatch
):
    prompts = [f"{number} is a number like {number + 1}, as" for number in range(9)]
    answers = [[" you know"]] * len(prompts)
    lm = HFLM(pretrained=tiny_model, tokenizer=smollm2_tokenizer, batch_size=8)
    wanted = flat(HarnessScorer(lm).score(prompts, answers))
    if ours:
        lm = tiny(batch_size=8)
        monkeypatch.setattr(forward, "support_of", lambda *_: None)
    sizes = scarce(lm, 3, monkeypatch)
    assert flat(scorer_of(lm).score(prompts, answers)) == pytest.approx(wanted, abs=1e-4)
    assert max(sizes) == 8
    assert lm.batch_size == 2
    scarce(lm, 0, monkeypatch)
    with pytest.raises(DormantError, match="out of memory on a single prompt"):
        scorer_of(lm).score(prompts, answers)
