"""Texts written side by side are those that the model writes by itself, a prompt at a time."""

from __future__ import annotations

import itertools
import random

import architectures as tiny
import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance

from dormant.errors import DormantError
from dormant.scoring import completer, completion, slots
from dormant.scoring.attention import CannotAttend
from dormant.scoring.forward import Forward
from dormant.scoring.harness_model import HarnessLM
from dormant.scoring.rows import common_prefix
from dormant.scoring.runs import Prompt, runs
from dormant.scoring.scorer import FastLM

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' advice on slow paths

OURS, HARNESS = ["slots"], ["harness"]
NAMES = (
    "llama", "gemma3_text, alternating windows", "qwen3, window", "qwen3", "gpt2", "opt", "cohere",
    "mixtral", "gpt_bigcode", "llama4_text", "deepseek_v3", "diffllama", "phi3, longrope",
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.words()


@pytest.fixture
def make(tokenizer):
    def of(model, **options):
        options = {"batch_size": 1, "max_length": 128, "tokenizer": tokenizer} | options
        return FastLM(pretrained=model, precision="float32", **options)

    return of


@pytest.fixture
def llama():
    return tiny.build(tiny.SETTINGS["llama"])


def words(count, seed):
    draw = random.Random(seed)
    return [f"w{draw.randrange(3, tiny.VOCABULARY)}" for _ in range(count)]


def prompts(longest, count=9):
    """Prompts of many lengths that part at many places; two are alike, one begins another."""
    head = words(longest // 2, 0)
    made = [
        " ".join([*head[: longest // 2 * (n % 4) // 3], *words(1 + n * longest // (2 * count), n)])
        for n in range(count)
    ]
    return [*made, made[2], " ".join(made[-1].split()[:-1])]


def asked(texts, more=6, **settings):
    counts = more if isinstance(more, list) else [more] * len(texts)
    return [
        Instance(
            "generate_until",
            {},
            (text, {"until": [], "do_sample": False, "max_gen_toks": count} | settings),
            0,
        )
        for text, count in zip(texts, counts, strict=True)
    ]


def alone(lm, requests):
    """Complete by the harness's own path, which calls `generate`: a prompt at a time."""
    return [super(HarnessLM, lm).generate_until([one], disable_tqdm=True)[0] for one in requests]


def same(lm, requests, how):
    texts = lm.generate_until(requests, disable_tqdm=True)
    assert lm.completed_by == how
    assert texts == alone(lm, requests)
    return texts


# -- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_texts_are_the_model_s_own(name, make, monkeypatch):
    """Positions learned, rotary or scaled; windows, experts, latent attention; adapter off and on.

    Three slots for eleven prompts: texts leave, and prompts are read while others are written.
    """
    monkeypatch.setattr(completer, "MOST", {"cpu": 3})
    lm = make(tiny.adapted(tiny.build(tiny.SETTINGS[name])))
    # Past windows, which are kept; within chunks and original contexts.
    longest = 8 if name == "llama4_text" else 12 if "longrope" in name else 40
    requests = asked(prompts(longest), more=[1 + n % 5 for n in range(11)])
    with lm.model.disable_adapter():
        off = same(lm, requests, OURS)
    assert same(lm, requests, OURS) != off


@pytest.mark.parametrize("name", ["llama4_text", "phi3, longrope", "bloom", "mamba", "gemma2"])
def test_what_is_not_exact_so_goes_the_harness_s_way(name, make):
    """Sequences beyond a chunk, beside short ones; architectures that bear no tree."""
    lm = make(tiny.build(tiny.SETTINGS[name]))
    limit = tiny.TRAINED if name == "phi3, longrope" else tiny.WINDOW
    short, long = prompts(8), [" ".join(words(limit, 3))]
    on_list = name in ("llama4_text", "phi3, longrope")
    same(lm, asked([*short, *long]), [*OURS, *HARNESS] if on_list else HARNESS)


@pytest.mark.parametrize("kind", ["LORA", "prompt"])
def test_adapters_that_act_in_their_wrapper_are_left_to_it(kind, llama, make):
    config = (
        peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
        if kind == "LORA"
        else peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    )
    lm = make(peft.get_peft_model(llama, config).eval())
    same(lm, asked(prompts(20)), OURS if kind == "LORA" else HARNESS)


@pytest.mark.parametrize("most", [1, 2, 5, 64])
@pytest.mark.parametrize("budget", [1, 12, 2048])
def test_slots_and_budgets_change_nothing(most, budget, llama, make, monkeypatch):
    """Prompts of 1 to 100 tokens; a budget of one token reads and writes one at a time."""
    monkeypatch.setattr(completer, "MOST", {"cpu": most})
    lm = make(llama, token_budget=budget)
    same(lm, asked([*prompts(40), " ".join(words(100, 1)), "w5"], more=7), OURS)


def test_texts_do_not_depend_on_their_order_or_the_run(llama, make):
    lm, requests = make(llama), asked(prompts(60), more=12)
    first = lm.generate_until(requests)
    assert lm.generate_until(requests) == first
    assert lm.generate_until(requests[::-1]) == first[::-1]
    assert len(set(first)) > 5


def test_a_text_of_one_token(llama, make):
    texts = same(make(llama), asked(prompts(30), more=1), OURS)
    # None where the end comes first.
    assert {len(text.split()) for text in texts} <= {0, 1}
    assert any(texts)


def test_the_end_ends_a_text(llama, make):
    """As the first token, in the middle, and with other texts going on."""
    lm, texts = make(llama), prompts(30)
    free = [text.split() for text in same(lm, asked(texts, more=8), OURS)]
    for place in (0, 2):
        assert free[0][place] not in free[0][:place]
        llama.generation_config.eos_token_id = [2, int(free[0][place].removeprefix("w"))]
        ended = [text.split() for text in same(lm, asked(texts, more=8), OURS)]
        # The token itself is no special one, so it stays.
        assert ended[0] == free[0][: place + 1]
        assert max(map(len, ended)) > place + 1


def test_long_contexts_attend_by_pytorch_s_own_kernel(make, monkeypatch):
    """Where paths are too long for products of matrices; also what GPUs take."""
    monkeypatch.setattr("dormant.scoring.attention._SHORT", 4)
    monkeypatch.setattr(completer, "MOST", {"cpu": 2})
    for name in ("llama", "gpt2"):
        same(make(tiny.build(tiny.SETTINGS[name])), asked(prompts(60)), OURS)


def test_half_precision(llama, make):
    """The texts are the model's own up to its rounding; so is what the harness makes of a batch."""
    lm = make(llama.to(torch.bfloat16))
    requests = asked(prompts(30))
    texts = lm.generate_until(requests)
    assert lm.completed_by == OURS
    equal = sum(a == b for a, b in zip(texts, alone(lm, requests), strict=True))
    assert equal >= len(texts) - 2


# -- what ends a text -----------------------------------------------------------------------------


@pytest.fixture
def byte_level(tiny_model, smollm2_tokenizer):
    return FastLM(
        pretrained=tiny_model, tokenizer=smollm2_tokenizer, precision="float32", batch_size=1
    )


def test_until_across_the_borders_of_tokens(byte_level):
    """Each stretch of what is written as a text to stop at, whatever tokens it begins and ends in.

    Several at once, one that is never written, one in special tokens, and an empty one.
    """
    prompt = "Repeat the input.\n\nInput: Birds sing.\nOutput:"
    (whole,) = byte_level.generate_until(asked([prompt], more=10))
    assert len(whole) > 12
    stops = [
        *([whole[start : start + 5]] for start in range(1, len(whole) - 5, 3)),
        [whole[9:11], whole[4:6], "never written"],
        [byte_level.tokenizer.eos_token],
        [""],
        whole[3:5],
    ]
    requests = [asked([prompt], more=10, until=until)[0] for until in stops]
    texts = same(byte_level, requests, OURS)
    assert len(set(texts)) > 4
    assert any(0 < len(text) < len(whole) for text in texts)


def test_a_special_token_as_a_text_to_stop_at(llama, make, tokenizer):
    """It is looked for where special tokens are spelled out, and isn't part of the text."""
    lm = make(llama)
    texts = prompts(30)
    free = lm.generate_until(asked(texts, more=8))
    token = free[0].split()[2]
    marked = tiny.words()
    marked.add_special_tokens({"additional_special_tokens": [token]})
    lm = make(llama, tokenizer=marked)
    ended = same(lm, asked(texts, more=8, until=[token]), OURS)
    assert ended[0] == " ".join(free[0].split()[:2])


def test_requests_of_many_kinds_in_one_call(llama, make):
    """Each with its own end, by any of the harness's names; alike ones are written once."""
    lm = make(llama)
    text = prompts(30)[4]
    free = lm.generate_until(asked([text], more=8))[0].split()
    requests = [
        *asked([text], more=8),
        *asked([text], more=8),
        *asked([text], more=3),
        *asked([text], more=8, until=[free[4]]),
        *asked([text], more=8, temperature=0.0, top_p=0.9),
        Instance("generate_until", {}, (text, {"until": free[3], "max_new_tokens": 9}), 0),
        Instance("generate_until", {}, (text, {"max_tokens": 2}), 0),
    ]
    added = []
    lm.cache_hook.add_partial = lambda *given: added.append(given)
    texts = lm.generate_until(requests)
    assert lm.completed_by == OURS
    assert added == [
        ("generate_until", request.args, output)
        for request, output in zip(requests, texts, strict=True)
    ]
    assert texts == alone(lm, requests)


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": True, "temperature": 0.7},
        {"do_sample": None, "temperature": 0.7},
        {"num_beams": 2},
        {"repetition_penalty": 1.5},
        {"no_repeat_ngram_size": 1},
    ],
)
def test_what_is_not_greedy_is_never_made_so(settings, llama, make):
    lm = make(llama)
    requests = [*asked(prompts(20), **settings), *asked(["w5 w6"])]
    torch.manual_seed(0)
    texts = lm.generate_until(requests)
    assert lm.completed_by == [*OURS, *HARNESS]
    torch.manual_seed(0)
    greedy = lm.generate_until(asked(prompts(20)))
    assert texts[:-1] != greedy


@pytest.mark.parametrize("name", ["generation", "think_end_token", "mixed_precision_dtype"])
def test_what_the_harness_s_model_does_besides_is_left_to_it(name, llama, make):
    lm = make(llama)
    value = {"generation": "own", "think_end_token": "w9", "mixed_precision_dtype": torch.bfloat16}
    setattr(lm, name, value[name])
    lm.generate_until(asked(["w5 w6"]))
    assert lm.completed_by == HARNESS


def test_a_prompt_without_room(llama, make):
    with pytest.raises(DormantError, match="125 tokens leave no room for 6 more"):
        make(llama).generate_until(asked([" ".join(words(125, 0))]))


# -- when something goes wrong --------------------------------------------------------------------


def test_memory_that_runs_out_leaves_fewer_slots(llama, make, monkeypatch):
    lm, requests = make(llama), asked(prompts(40))
    wanted, real = alone(lm, requests), Forward.logits_at
    failed = []

    def small(forward, inputs, where, mode, half):
        active = len(inputs["slots"].slots.lengths) if "slots" in inputs else 0
        if active > 4:
            failed.append(active)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 GB")
        return real(forward, inputs, where, mode, half)

    monkeypatch.setattr(Forward, "logits_at", small)
    before = lm.token_budget
    assert lm.generate_until(requests) == wanted
    assert lm.completed_by == OURS
    assert lm.token_budget == before >> len(failed)
    assert failed


def test_a_single_prompt_that_is_too_much(llama, make, monkeypatch):
    lm = make(llama)

    def never(*given):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(completion, "_pass", never)
    with pytest.raises(DormantError, match="single prompt"):
        lm.generate_until(asked(["w5 w6"]))


def test_texts_that_are_not_the_model_s_own_are_made_again(llama, make, monkeypatch, caplog):
    """A decoder that goes wrong is found out by the first texts, and by longer ones."""
    lm, requests = make(llama), asked(prompts(40), more=12)
    wanted, real = alone(lm, requests), slots.Pass._write
    monkeypatch.setattr(slots.Pass, "_write", lambda *given: real(*given) * 0.5)
    assert lm.generate_until(requests) == wanted
    assert lm.completed_by == HARNESS
    assert "aren't this model's own" in caplog.text
    assert lm.generate_until(requests[:2]) == wanted[:2]
    assert lm.completed_by == HARNESS
    # Each state of the adapters is another model.
    monkeypatch.setattr(slots.Pass, "_write", real)
    other = make(tiny.adapted(llama))
    assert other.generate_until(requests)
    assert other.completed_by == OURS


def test_a_refusal_in_mid_run_leaves_the_harness_s_path(llama, make, monkeypatch):
    lm, requests = make(llama), asked(prompts(20))

    def refuses(*given):
        raise CannotAttend("anything")

    monkeypatch.setattr(slots, "refuse", refuses)
    same(lm, requests, HARNESS)


# -- who is written beside whom -------------------------------------------------------------------

token_lists = st.lists(st.integers(0, 1), min_size=1, max_size=6).map(tuple)


@given(
    st.lists(st.tuples(token_lists, st.integers(1, 9)), max_size=12),
    st.integers(1, 60),
    st.integers(1, 5),
)
def test_runs(parts, budget, most):
    made = [Prompt(tokens * 3, more) for tokens, more in parts]
    found = runs(made, budget, most)
    places = [place for run in found for place in run.places]
    assert sorted(places) == list(range(len(made)))
    for run in found:
        some = [made[place] for place in run.places]
        assert all(len(one.tokens) > run.shared for one in some)
        assert len({one.tokens[: run.shared] for one in some}) == 1
        assert max(one.longest for one in some) - run.shared <= run.capacity
        assert 1 <= run.count <= min(most, len(some))
        assert run.count == 1 or run.count * run.capacity <= budget
        longest, shortest = (f(one.longest - run.shared for one in some) for f in (max, min))
        assert run.count == min(most, len(some)) or longest <= 2 * max(1, shortest)


def test_prompts_with_a_long_common_beginning_share_a_run():
    """Four tasks' prompts, and one of no task, in one call."""
    made = [
        Prompt((task, *range(100, 180), *words_of(task, item)), 8)
        for task, item in itertools.product(range(4), range(40))
    ]
    made.append(Prompt((9, 9), 8))
    found = runs(made, 1 << 14, 64)
    assert sorted(len(run.places) for run in found) == [1, 40, 40, 40, 40]
    assert sorted(run.shared for run in found) == [1, 82, 82, 82, 82]
    for run in found:
        one, other = (made[place].tokens for place in (run.places[0], run.places[-1]))
        assert run.shared <= common_prefix(one, other)


def words_of(task, item):
    return 500 + task, 600 + item, 700
