"""The fast scorer against the harness's own model and against generation, on the real model."""

from __future__ import annotations

import math

import pytest
import torch
from lm_eval.api.instance import Instance

from dormant.errors import DormantError
from dormant.language import tasks
from dormant.language.engine.precision import Precision
from dormant.language.scoring import FastLM


def requests_of(prompts, answers):
    return [
        Instance("loglikelihood", {}, (prompt, answer), 0)
        for prompt, row in zip(prompts, answers, strict=True)
        for answer in row
    ]


def completions(lm, prompts, count=12):
    settings = {"until": [], "max_gen_toks": count, "do_sample": False}
    return lm.generate_until(
        [Instance("generate_until", {}, (prompt, settings), 0) for prompt in prompts],
        disable_tqdm=True,
    )


@pytest.fixture(scope="module")
def examples():
    cases = [
        task.case(task.pool()[3], language=language, shots=1, seed=0)
        for task in tasks.get(["icl/copy", "icl/plural", "icl_vs_if"])
        for language in ("english", "hungarian")
    ]
    return [case.prompt for case in cases], [[f" {a}" for a in case.answers] for case in cases]


@pytest.fixture(scope="module")
def fast(smollm2):
    model, tokenizer = smollm2
    return FastLM(pretrained=model, tokenizer=tokenizer, batch_size=4, precision="float32")


def verdicts(rows):
    return [[one.greedy for one in row] for row in rows]


def logprobs(rows):
    return [one.logprob for row in rows for one in row]


def test_equals_the_harness(fast, examples):
    requests = requests_of(*examples)
    # Repeated, reordered and without a context: all of them are in the harness's contract.
    requests += [requests[0], Instance("loglikelihood", {}, ("", "Hello there"), 0)]
    theirs = super(FastLM, fast).loglikelihood(requests, disable_tqdm=True)
    ours = fast.loglikelihood(requests)
    assert fast.way == "forest"
    assert [flag for _, flag in ours] == [flag for _, flag in theirs]
    # Both are float32; batches differ, so sums are taken in another order.
    assert [x for x, _ in ours] == pytest.approx([x for x, _ in theirs], abs=2e-3)


def test_greedy_is_what_generation_says(fast, examples):
    prompts, answers = examples
    for output, texts, row in zip(
        completions(fast, prompts), answers, fast.score(prompts, answers), strict=True
    ):
        for text, one in zip(texts, row, strict=True):
            assert one.greedy == output.lstrip(" ").startswith(text.lstrip(" "))


def test_another_spelling_of_the_same_text_counts(fast):
    """Force an unnatural tokenisation by asking for an answer cut inside a word."""
    prompt = "Repeat the input.\n\nInput: cat\nOutput: cat\n\nInput: strawberry\nOutput:"
    ((whole, cut),) = fast.score([prompt], [[" strawberry", " strawb"]])
    assert whole.greedy
    assert cut.greedy
    assert not cut.exact


def test_characters_of_several_tokens(fast):
    """Decoding stops inside a character at times; that must not look like another text."""
    prompt = "Repeat the input.\n\nInput: 猫猫\nOutput: 猫猫\n\nInput: 鼴鼠\nOutput:"
    (output,) = completions(fast, [prompt])
    said = output.lstrip(" ").split("\n")[0]
    assert len(said.encode()) > len(said)
    for cut in range(1, len(said) + 1):
        ((one,),) = fast.score([prompt], [[" " + said[:cut]]])
        assert one.greedy


def test_budget_changes_nothing(smollm2, fast, examples):
    model, tokenizer = smollm2
    narrow = FastLM(pretrained=model, tokenizer=tokenizer, precision="float32", token_budget=64)
    wide, thin = fast.score(*examples), narrow.score(*examples)
    assert verdicts(wide) == verdicts(thin)
    assert logprobs(wide) == pytest.approx(logprobs(thin), abs=2e-3)


def test_out_of_memory_backs_off_and_goes_on(smollm2, fast, examples, monkeypatch):
    """Memory for two prompts only, from some batch on: as when another program takes the rest."""
    model, tokenizer = smollm2
    prompts, answers = examples[0] * 2, examples[1] * 2
    lm = FastLM(pretrained=model, tokenizer=tokenizer, precision="float32", token_budget=300)
    real, calls, failures = lm._forward._predict, [], []

    def scarce(rows, *rest):
        calls.append(len(rows))
        if len(calls) > 2 and len(rows) > 2:
            failures.append(len(rows))
            raise torch.OutOfMemoryError("no room")
        return real(rows, *rest)

    monkeypatch.setattr(lm._forward, "_predict", scarce)
    found = lm.score(prompts, answers)
    assert failures
    assert lm.token_budget < 300
    assert verdicts(found) == verdicts(fast.score(*examples)) * 2


def test_out_of_memory_on_one_prompt_is_told(smollm2, examples, monkeypatch):
    model, tokenizer = smollm2
    lm = FastLM(pretrained=model, tokenizer=tokenizer, precision="float32")

    def never(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    lm._forward.decided = True
    monkeypatch.setattr(lm._forward, "_predict", never)
    with pytest.raises(DormantError, match="out of memory on a single prompt"):
        lm.score(*examples)


def test_a_prompt_longer_than_the_context_is_named(fast):
    with pytest.raises(DormantError, match=r"context holds 8192: .*begins 'word word"):
        fast.score(["word " * 9000 + "x"], [[" x"]])
    with pytest.raises(DormantError, match=r"context holds 8192: .*begins 'word word"):
        fast.loglikelihood(requests_of(["word " * 9000 + "x"], [[" x"]]))
    with pytest.raises(DormantError, match="leave no room for 100 more"):
        completions(fast, ["word " * 8150 + "x"], count=100)


def test_an_answer_of_nothing_is_refused(fast):
    with pytest.raises(DormantError, match="can't be told apart"):
        fast.score(["A prompt"], [[""]])
    with pytest.raises(DormantError, match="can't be told apart"):
        fast.score(["A prompt"], [[]])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_logprob_that_is_no_number_names_its_prompt(smollm2, precision):
    model, tokenizer = smollm2
    lm = FastLM(pretrained=model, tokenizer=tokenizer, precision=precision)
    norm = model.get_decoder().norm
    broken = norm.register_forward_hook(lambda *parts: parts[2] * math.nan)
    try:
        with pytest.raises(DormantError, match=r"log-probability nan .*begins 'The first prompt'"):
            lm.score(["The first prompt"], [[" x", " y"]])
    finally:
        broken.remove()


def test_a_tokenizer_without_pad_token(smollm2, examples):
    model, tokenizer = smollm2
    bare = type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token=tokenizer.eos_token
    )
    assert bare.pad_token is None
    assert bare.bos_token is None
    lm = FastLM(pretrained=model, tokenizer=bare, precision="float32")
    prompts, answers = examples[0][:2], examples[1][:2]
    found = lm.score(["", *prompts], [[" A"], *answers])
    assert all(math.isfinite(value) for value in logprobs(found))
    assert len(completions(lm, prompts, count=3)) == 2


def test_generation_keeps_its_order_and_stops(fast, examples):
    prompts = examples[0][:4]
    together = completions(fast, prompts, count=6)
    assert together == [completions(fast, [prompt], count=6)[0] for prompt in prompts]
    settings = {"until": ["\n"], "max_gen_toks": 6, "do_sample": False}
    stopped = fast.generate_until(
        [Instance("generate_until", {}, (prompt, settings), 0) for prompt in prompts],
        disable_tqdm=True,
    )
    assert stopped == [output.split("\n")[0] for output in together]


def test_an_adapter_is_switched_over_one_copy_of_the_weights(fast, examples):
    from peft import LoraConfig, get_peft_model

    prompts, answers = examples[0][:3], examples[1][:3]
    plain = fast.score(prompts, answers)
    tuned = get_peft_model(
        fast.model, LoraConfig(target_modules=["q_proj"], init_lora_weights=False)
    )
    try:
        lm = FastLM(pretrained=tuned, tokenizer=fast.tokenizer, precision="float32")
        with lm.adapter(enabled=False) as base:
            off = base.score(prompts, answers)
        with lm.adapter(enabled=True) as child:
            on = child.score(prompts, answers)
        assert lm.way == "forest"
        theirs = super(FastLM, lm).loglikelihood(requests_of(prompts, answers), disable_tqdm=True)
    finally:
        tuned.unload()
    assert logprobs(off) == pytest.approx(logprobs(plain), abs=1e-4)
    assert logprobs(on) == pytest.approx([x for x, _ in theirs], abs=2e-3)
    assert max(abs(a - b) for a, b in zip(logprobs(on), logprobs(off), strict=True)) > 0.01


class TestPrecision:
    def test_is_chosen_on_a_sample(self, smollm2, examples):
        model, tokenizer = smollm2
        lm = FastLM(pretrained=model, tokenizer=tokenizer)
        chosen = lm.choose_precision(*examples)
        if chosen.compared:  # hardware with fast bfloat16
            assert chosen.compared == sum(map(len, examples[1]))
            assert chosen.dtype == ("float32" if chosen.differing else "bfloat16")
            assert 0 < chosen.error < 1

    def test_float32_decides_what_hangs_on_rounding(self, smollm2, fast, examples):
        """With an endless margin every verdict is in doubt, and every number float32's."""
        model, tokenizer = smollm2
        lm = FastLM(pretrained=model, tokenizer=tokenizer, precision="bfloat16")
        lm.precision = Precision("bfloat16", margin=math.inf)
        assert logprobs(lm.score(*examples)) == pytest.approx(
            logprobs(fast.score(*examples)), abs=2e-3
        )
        lm.precision = Precision("bfloat16")
        rounded = logprobs(lm.score(*examples))
        assert rounded != pytest.approx(logprobs(fast.score(*examples)), abs=2e-3)

    def test_falls_back_where_verdicts_differ(self, smollm2, examples, monkeypatch):
        from dormant.language import scoring

        model, tokenizer = smollm2
        lm = FastLM(pretrained=model, tokenizer=tokenizer)
        real = lm._judge

        def turned(rows, prompts, answers):
            found = real(rows, prompts, answers)
            if lm.precision.dtype == "bfloat16":
                found[0][0] = found[0][0]._replace(greedy=not found[0][0].greedy)
            return found

        monkeypatch.setattr(scoring, "fast_bfloat16", lambda device: True)
        monkeypatch.setattr(lm, "_judge", turned)
        chosen = lm.choose_precision(*examples)
        assert (chosen.dtype, chosen.differing) == ("float32", 1)
