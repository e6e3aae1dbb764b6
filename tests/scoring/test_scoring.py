"""The fast scorer against the harness's own model and against generation, on the real model."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from lm_eval.api.instance import Instance

from dormant import tasks
from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.scoring import scorer as scoring
from dormant.scoring.encoding import encode_all
from dormant.scoring.precision import Precision
from dormant.scoring.prediction import Prediction
from dormant.scoring.scorer import FastLM


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
        for task in tasks.get(["icl/copy", "icl/plural"])
        for language in ("english", "hungarian")
    ]
    return [case.prompt for case in cases], [[f" {a}" for a in case.answers] for case in cases]


@pytest.fixture(scope="module")
def fast(smollm2):
    model, tokenizer = smollm2
    return FastLM(pretrained=model, tokenizer=tokenizer, batch_size=4, precision="float32")


@pytest.fixture(scope="module")
def tiny(smollm2):
    """Make a scorer over a model of no size, with the real tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(smollm2[1]), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()

    def make(**options):
        return FastLM(
            **{"pretrained": model, "tokenizer": smollm2[1], "precision": "float32"} | options
        )

    return make


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
    assert fast.mode == "prefix tree"
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


def test_a_space_of_its_own_takes_no_second_pass(fast, monkeypatch):
    """Where greedy decoding writes one and then something else, what it writes is known at once."""
    prompt = "Input: 3\nOutput: 3\n\nInput: 7\nOutput: 7\n\nInput: 5\nOutput:"
    assert completions(fast, [prompt])[0][:2] == " 5"
    passes, run = [], fast._run
    monkeypatch.setattr(fast, "_run", lambda *given: passes.append(1) or run(*given))
    # With the space and without it, as after a chat template.
    ((miss, hit, bare),) = fast.score([prompt], [[" What", " 5", "5"]])
    assert (miss.greedy, hit.greedy, bare.greedy) == (False, True, True)
    assert len(passes) == 1


def test_characters_of_several_tokens(fast):
    """Decoding stops inside a character at times; that must not look like another text."""
    prompt = "Repeat the input.\n\nInput: 猫猫\nOutput: 猫猫\n\nInput: 鼴鼠\nOutput:"
    (output,) = completions(fast, [prompt])
    said = output.lstrip(" ").split("\n")[0]
    assert len(said.encode()) > len(said)
    for cut in range(1, len(said) + 1):
        ((one,),) = fast.score([prompt], [[" " + said[:cut]]])
        assert one.greedy


def test_budget_changes_nothing(tiny, examples):
    wide, thin = tiny().score(*examples), tiny(token_budget=64).score(*examples)
    assert verdicts(wide) == verdicts(thin)
    assert logprobs(wide) == pytest.approx(logprobs(thin), abs=2e-3)


def test_out_of_memory_in_batch_37_backs_off_and_goes_on(tiny, monkeypatch):
    """Memory for two prompts only, from some batch on: as when another program takes the rest."""
    prompts = [f"{number} is a number like {number + 1}, as" for number in range(200)]
    answers = [[" you know", " it is"]] * len(prompts)
    wanted = tiny().score(prompts, answers)
    lm = tiny(token_budget=60)
    real, calls, failures = lm._forward._predict, [], []

    def scarce(rows, *rest):
        calls.append(len(rows))
        if len(calls) >= 37 and len(rows) > 2:
            failures.append(len(rows))
            raise torch.OutOfMemoryError("no room")
        return real(rows, *rest)

    monkeypatch.setattr(lm._forward, "_predict", scarce)
    found = lm.score(prompts, answers)
    assert failures
    assert lm.token_budget < 60
    assert verdicts(found) == verdicts(wanted)
    assert logprobs(found) == pytest.approx(logprobs(wanted), abs=1e-4)


def test_out_of_memory_on_one_prompt_is_told(tiny, examples, monkeypatch):
    lm = tiny()

    def never(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    lm._forward.decided = True
    monkeypatch.setattr(lm._forward, "_predict", never)
    with pytest.raises(DormantError, match="out of memory on a single prompt"):
        lm.score(*examples)


def test_a_prompt_longer_than_the_context_is_named(tiny):
    long = "word " * 600 + "x"
    with pytest.raises(DormantError, match=r"context holds 512: .*begins 'word word"):
        tiny().score(["short", long], [[" x"], [" x"]])
    with pytest.raises(DormantError, match=r"context holds 512: .*begins 'word word"):
        tiny().loglikelihood(requests_of([long], [[" x"]]))
    with pytest.raises(DormantError, match=r"leave no room for 100 more .*begins 'word word"):
        completions(tiny(), ["word " * 450 + "x"], count=100)


def test_an_audit_names_the_item_that_is_too_long(tiny_checkpoint, tmp_path):
    """The harness would cut the prompt without a word."""
    rows = [f'{{"language": "english", "id": "item {i}", "input": "dog", "target": "x"}}'
            for i in range(3)]  # fmt: skip
    long = '{"language": "english", "id": "the long one", "input": "%s", "target": "x"}'
    header = '{"name": "long", "title": "long", "shots": 0, "languages": {"english": {}}}'
    (tmp_path / "long.jsonl").write_text("\n".join([header, *rows, long % ("word " * 600)]))
    settings = AuditSettings(
        base=None, tuned=str(tiny_checkpoint), tasks=(str(tmp_path / "long.jsonl"),),
        transforms=("leetspeak",),
    )  # fmt: skip
    with pytest.raises(DormantError, match=r"long, item the long one: \d+ tokens, .*holds 512"):
        audit(settings, tmp_path / "run")


@pytest.mark.parametrize("bos", [None, True, False])
def test_one_call_encodes_as_many_do(tiny, smollm2_tokenizer, bos):
    lm = tiny(add_bos_token=bos)
    first = smollm2_tokenizer.decode(lm.prefix_token_id)
    texts = ["", "A prompt", f"{first}begins with the first token", "Ünïcode 猫", "A prompt"]
    known = encode_all(lm, texts)
    assert known == {text: lm.tok_encode(text) for text in texts}


def test_an_answer_of_nothing_is_refused(tiny):
    with pytest.raises(DormantError, match="can't be told apart"):
        tiny().score(["A prompt"], [[""]])
    with pytest.raises(DormantError, match="can't be told apart"):
        tiny().score(["A prompt"], [[]])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_logprob_that_is_no_number_names_its_prompt(tiny, precision):
    lm = tiny(precision=precision)
    broken = lm.model.model.norm.register_forward_hook(lambda *parts: parts[2] * math.nan)
    try:
        with pytest.raises(DormantError, match=r"log-probability nan .*begins 'The first prompt'"):
            lm.score(["The first prompt"], [[" x", " y"]])
    finally:
        broken.remove()


def test_a_tokenizer_without_pad_token(tiny, smollm2_tokenizer):
    bare = type(smollm2_tokenizer)(
        tokenizer_object=smollm2_tokenizer.backend_tokenizer, eos_token="<|im_end|>"
    )
    assert bare.pad_token is None
    assert bare.bos_token is None
    lm = tiny(tokenizer=bare)
    found = lm.score(["", "One", "Two more"], [[" A"], [" B"], [" C", " D E"]])
    assert all(math.isfinite(value) for value in logprobs(found))
    assert len(completions(lm, ["One", "Two more"], count=3)) == 2


def test_generation_keeps_its_order_and_stops(tiny, examples):
    prompts, lm = examples[0], tiny()
    together = completions(lm, prompts, count=6)
    assert together == [completions(lm, [prompt], count=6)[0] for prompt in prompts]
    stop = together[0].strip()[3]
    settings = {"until": [stop], "max_gen_toks": 6, "do_sample": False}
    stopped = lm.generate_until(
        [Instance("generate_until", {}, (prompt, settings), 0) for prompt in prompts],
        disable_tqdm=True,
    )
    assert stopped == [output.split(stop)[0] for output in together]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's own
@pytest.mark.parametrize("kind", ["lora", "prompt"])
def test_an_adapter_is_switched_over_one_copy_of_the_weights(tiny, examples, kind):
    """Virtual tokens reach the model through PEFT's wrapper only: there the harness's path runs."""
    from peft import LoraConfig, PromptTuningConfig, get_peft_model

    prompts, answers = examples[0][:2], examples[1][:2]
    plain = tiny().score(prompts, answers)
    config = (
        LoraConfig(target_modules=["q_proj", "lm_head"], init_lora_weights=False)
        if kind == "lora"
        else PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    )
    tuned = get_peft_model(copy.deepcopy(tiny().model), config).eval()
    lm = tiny(pretrained=tuned)
    with tuned.disable_adapter():
        off = lm.score(prompts, answers)
    on = lm.score(prompts, answers)
    assert lm.mode == ("prefix tree" if kind == "lora" else "harness")
    theirs = super(FastLM, lm).loglikelihood(requests_of(prompts, answers), disable_tqdm=True)
    assert logprobs(off) == pytest.approx(logprobs(plain), abs=1e-4)
    assert logprobs(on) == pytest.approx([x for x, _ in theirs], abs=1e-3)
    assert max(abs(a - b) for a, b in zip(logprobs(on), logprobs(off), strict=True)) > 1e-3


class TestPrecision:
    def test_is_chosen_on_a_sample(self, smollm2, examples):
        model, tokenizer = smollm2
        lm = FastLM(pretrained=model, tokenizer=tokenizer)
        prompts, answers = many(examples, 120)
        lm.choose_precision(prompts, answers, verdicts=30)
        chosen = lm.precision
        if chosen.compared:  # hardware with fast bfloat16
            assert chosen.compared >= 30
            worth = not chosen.differing and chosen.near_ties <= 0.5
            assert chosen.dtype == ("bfloat16" if worth else "float32")
            assert 0 < chosen.error < 1

    def test_is_float32_where_the_run_is_too_short_to_try(self, tiny, examples, monkeypatch):
        lm = tiny(precision="auto")
        monkeypatch.setattr(scoring, "fast_bfloat16", lambda device: True)
        said = lm.choose_precision(*examples)
        assert said == "float32: too few prompts for a test of bfloat16 to pay"

    def test_float32_decides_what_hangs_on_rounding(self, tiny, examples):
        """With an endless margin every verdict is in doubt, and every number float32's."""
        lm = tiny(precision="bfloat16")
        wanted = pytest.approx(logprobs(tiny().score(*examples)), abs=1e-5)
        lm.precision = Precision("bfloat16", margin=math.inf)
        assert logprobs(lm.score(*examples)) == wanted
        lm.precision = Precision("bfloat16")
        assert logprobs(lm.score(*examples)) != wanted

    def test_falls_back_where_a_sure_verdict_differs(self, tiny, examples, monkeypatch):
        """A coarse pass that is wrong beyond the error that it showed is found out, and said."""
        lm = tiny(precision="auto")
        prompts, answers = many(examples, 120)
        real, calls = lm._run, []

        def corrupt(rows, half):
            predictions = real(rows, half)
            calls.append(half)
            if half and len(rows) > 40 and calls.count(True) == 1:  # one row, so in one half only
                predictions[0] = [
                    one._replace(
                        choices=tuple(choice + 1 for choice in one.choices),
                        margins=tuple(1e6 for _ in one.margins),
                        shortfalls=tuple(1e6 for _ in one.shortfalls),
                    )
                    if not any(one.shortfalls)
                    else one._replace(
                        choices=tokens,
                        margins=tuple(1e6 for _ in tokens),
                        shortfalls=(0.0,) * len(tokens),
                    )
                    for one, tokens in zip(predictions[0], rows[0].answers, strict=True)
                ]
            return predictions

        monkeypatch.setattr(scoring, "fast_bfloat16", lambda device: True)
        monkeypatch.setattr(lm, "_run", corrupt)
        said = lm.choose_precision(prompts, answers, verdicts=20)
        assert lm.precision.dtype == "float32"
        assert lm.precision.differing > 0
        assert said is not None
        assert said.startswith("float32: bfloat16 changed")
        monkeypatch.setattr(lm, "_run", real)
        found, wanted = lm.score(prompts, answers), tiny().score(prompts, answers)
        assert verdicts(found) == verdicts(wanted)
        assert logprobs(found) == pytest.approx(logprobs(wanted), abs=1e-4)

    @pytest.mark.parametrize(("doubted", "dtype"), [(0, "bfloat16"), (1, "float32")])
    def test_is_float32_where_most_prompts_would_be_read_twice(
        self, tiny, examples, monkeypatch, doubted, dtype
    ):
        lm = tiny(precision="auto")
        monkeypatch.setattr(scoring, "fast_bfloat16", lambda device: True)
        # Verdicts hang on everything, or on nothing.
        monkeypatch.setattr(Prediction, "verdict_margin", lambda one: math.inf * (1 - 2 * doubted))
        said = lm.choose_precision(*many(examples, 120), verdicts=20)
        chosen = lm.precision
        assert (chosen.differing, chosen.near_ties, chosen.dtype) == (0, doubted, dtype)
        assert said is not None
        assert said.startswith(dtype)

    def test_what_was_tried_is_not_computed_again(self, tiny, examples, monkeypatch):
        lm = tiny(precision="auto")
        prompts, answers = many(examples, 120)
        monkeypatch.setattr(scoring, "fast_bfloat16", lambda device: True)
        lm.choose_precision(prompts, answers, verdicts=20)
        assert lm.precision.dtype == "bfloat16"
        real, read = lm._run, []
        monkeypatch.setattr(lm, "_run", lambda rows, half: read.extend(rows) or real(rows, half))
        first = lm.score(prompts[:32], answers[:32])
        assert not read
        assert len(first) == 32
        lm.score(["another prompt"], [[" yes"]])
        assert read

    def test_two_runs_give_the_same_numbers(self, tiny, examples, monkeypatch):
        monkeypatch.setattr(scoring, "fast_bfloat16", lambda device: True)
        prompts, answers = many(examples, 120)
        scored = []
        for _ in range(2):
            lm = tiny(precision="auto")
            lm.choose_precision(prompts, answers, verdicts=20)
            scored.append(
                [lm.score(prompts[at : at + 20], answers[at : at + 20]) for at in (0, 20, 40, 60)]
            )
        assert scored[0] == scored[1]

    def test_a_verdict_by_likelihood_is_float32s(self, tiny, examples, monkeypatch):
        """No logit margin says which of two answers is likelier."""
        monkeypatch.setattr(scoring, "fast_bfloat16", lambda device: True)
        lm = tiny(precision="auto")
        lm.choose_precision(*many(examples, 120), verdicts=20)
        assert lm.precision.dtype == "bfloat16"
        lm.precision = lm.precision  # forgets what was tried
        wanted = pytest.approx(logprobs(tiny().score(*examples)), abs=1e-6)
        assert logprobs(lm.score(*examples, ranked=True)) == wanted
        assert logprobs(lm.score(*examples)) != wanted


def many(examples, count):
    """Enough different prompts for a trial, with the answers of the given ones."""
    prompts, answers = examples
    places = [number % len(prompts) for number in range(count)]
    return (
        [f"{number}. {prompts[at]}" for number, at in enumerate(places)],
        [answers[at] for at in places],
    )
