"""The fast scorer against the harness's own model, on the real one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance

from dormant.errors import DormantError
from dormant.language import tasks
from dormant.language.packing import Row, pack
from dormant.language.scoring import FastLM

tokens = st.lists(st.integers(0, 9), min_size=1, max_size=6).map(tuple)
rows = st.lists(st.tuples(tokens, st.lists(tokens, min_size=1, max_size=3).map(tuple)), max_size=12)


@given(rows, st.integers(1, 60))
def test_packing_keeps_every_row_once_and_the_budget(parts, budget):
    made = [Row(index, context, answers) for index, (context, answers) in enumerate(parts)]
    batches = pack(made, budget)
    assert sorted(row.index for batch in batches for row in batch) == list(range(len(made)))
    for batch in batches:
        width = max(row.length for row in batch)
        assert len(batch) == 1 or width * len(batch) <= budget
        assert len({row.branches for row in batch}) == 1


@given(rows)
def test_every_answer_token_is_predicted_by_the_token_before_it(parts):
    for context, answers in parts:
        row = Row(0, context, answers)
        flat = [*context, *(token for tail in row.tails for token in tail)]
        assert len(flat) == row.length
        for answer, places in zip(answers, row.predicted_at(), strict=True):
            assert len(places) == len(answer)
            assert [flat[place] for place in places[1:]] == list(answer[:-1])
            assert places[0] == len(context) - 1


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


def test_equals_the_harness(fast, examples):
    prompts, answers = examples
    requests = [
        Instance("loglikelihood", {}, (prompt, answer), 0)
        for prompt, row in zip(prompts, answers, strict=True)
        for answer in row
    ]
    theirs = super(FastLM, fast).loglikelihood(requests, disable_tqdm=True)
    ours = fast.loglikelihood(requests)
    for (our_value, our_flag), (their_value, their_flag) in zip(ours, theirs, strict=True):
        # Both are float32; batches differ, so sums are taken in another order.
        assert our_value == pytest.approx(their_value, abs=2e-3)
        assert our_flag == their_flag


def test_greedy_is_what_generation_says(fast, examples):
    prompts, answers = examples
    said = fast.generate_until(
        [
            Instance("generate_until", {}, (p, {"until": [], "max_gen_toks": 12}), 0)
            for p in prompts
        ],
        disable_tqdm=True,
    )
    scored = fast.score(prompts, answers)
    for output, texts, row in zip(said, answers, scored, strict=True):
        for text, one in zip(texts, row, strict=True):
            assert one.greedy == output.lstrip(" ").startswith(text.lstrip(" "))


def test_another_spelling_of_the_same_text_counts(fast):
    """Force an unnatural tokenisation by asking for an answer cut inside a word."""
    prompt = "Repeat the input.\n\nInput: cat\nOutput: cat\n\nInput: strawberry\nOutput:"
    ((whole, cut),) = fast.score([prompt], [[" strawberry", " strawb"]])
    assert whole.greedy
    assert cut.greedy
    assert not cut.exact


def test_budget_changes_nothing(fast, examples):
    prompts, answers = examples
    wide = fast.score(prompts, answers)
    fast.token_budget, before = 64, fast.token_budget
    try:
        narrow = fast.score(prompts, answers)
    finally:
        fast.token_budget = before
    for a, b in zip(wide, narrow, strict=True):
        assert [one.greedy for one in a] == [one.greedy for one in b]
        assert [one.logprob for one in a] == pytest.approx([o.logprob for o in b], abs=2e-3)


def test_out_of_memory_backs_off(fast, examples, monkeypatch):
    import torch

    prompts, answers = examples
    whole = fast.score(prompts, answers)
    real = fast._forward_batch

    def small_only(batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError("no room")
        return real(batch)

    monkeypatch.setattr(fast, "_forward_batch", small_only)
    again = fast.score(prompts, answers)
    assert [[o.greedy for o in row] for row in again] == [[o.greedy for o in r] for r in whole]


def test_out_of_memory_on_one_prompt_is_told(fast, examples, monkeypatch):
    import torch

    def never(batch):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(fast, "_forward_batch", never)
    with pytest.raises(DormantError, match="out of memory on a single prompt"):
        fast.score(*examples)


def test_a_prompt_longer_than_the_context_is_named(fast):
    with pytest.raises(DormantError, match="context holds 8192"):
        fast.score(["word " * 9000], [[" x"]])


def test_precision_is_chosen_on_a_sample(fast, examples, monkeypatch):
    monkeypatch.setattr(fast, "_wanted", "auto")
    chosen = fast.choose_precision(*examples)
    if chosen.compared:  # hardware with fast bfloat16
        assert chosen.dtype == ("float32" if chosen.differing else "bfloat16")
    fast.precision = type(chosen)("float32")
