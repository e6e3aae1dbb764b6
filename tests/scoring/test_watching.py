"""Texts that are watched while they are written, ended early, or drawn by a seed."""

from __future__ import annotations

from collections import defaultdict

import pytest

import byte_models
from dormant.models.arguments import LoadOptions
from dormant.models.generate import Sampling, Wanted, generate_each
from dormant.models.live import LiveModel

WANTED = [Wanted("hello", 8), Wanted("another", 12, ("\n",)), Wanted("hello", 8)]


@pytest.fixture(scope="module")
def lm():
    with LiveModel.of((byte_models.byte_llama(), byte_models.byte_tokenizer())).open(
        LoadOptions()
    ) as lm:
        yield lm


@pytest.fixture(params=["slots", "harness"])
def path(request, lm, monkeypatch):
    """Write by our decoder, or by the harness's path, as for models that it doesn't know."""
    if request.param == "harness":
        generate_each(lm, WANTED[:1])
        monkeypatch.setattr(lm._completer, "complete", lambda _: {})
    return request.param


def test_every_token_is_told_and_the_texts_are_the_same(lm, path):
    seen = defaultdict(list)
    unwatched = generate_each(lm, WANTED)
    texts = generate_each(lm, WANTED, lambda place, written: seen[place].append([*written]) or True)
    assert lm.completed_by == [path]
    assert texts == unwatched
    assert set(seen) == {0, 1, 2}
    for place, told in seen.items():
        assert [len(one) for one in told] == [*range(1, len(told) + 1)]
        assert lm.tok_decode(told[-1]).startswith(texts[place])
    assert lm.watch is None


def test_a_text_ends_where_nobody_wants_more(lm, path):
    whole = generate_each(lm, WANTED)
    texts = generate_each(lm, WANTED, lambda place, written: place != 0 or len(written) < 3)
    assert texts[1:] == whole[1:]
    # It stands beside another one that is alike, which our decoder writes once for both.
    assert len(texts[0]) < len(whole[0]) or path == "slots"
    (alone,) = generate_each(lm, WANTED[:1], lambda _, written: len(written) < 3)
    assert whole[0].startswith(alone.rstrip("\ufffd"))
    assert len(alone) < len(whole[0])


def test_a_seed_decides_what_is_drawn(lm):
    def drawn(seed, temperature=1.5, top_p=1.0):
        sampling = Sampling(temperature, top_p, seed)
        return generate_each(lm, [Wanted("hello", 12), Wanted("hello", 12, (), sampling)])

    import torch

    before = torch.get_rng_state()
    (greedy, one), (_, again), (_, other) = drawn(1), drawn(1), drawn(2)
    assert one == again
    assert len({greedy, one, other}) == 3
    # Of so little probability there is the likeliest token alone.
    assert drawn(3, top_p=1e-6)[1] == greedy
    assert torch.equal(before, torch.get_rng_state())
