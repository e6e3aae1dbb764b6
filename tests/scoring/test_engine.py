"""The engine's parts: what is read once, how it attends, how spelling is settled."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
import transformers as hf
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance

from dormant.scoring import attention
from dormant.scoring.attention import CannotAttend
from dormant.scoring.length_batches import length_batches
from dormant.scoring.memory import within_memory
from dormant.scoring.prefix_tree import build_tree
from dormant.scoring.rows import Row, batches, common_prefix
from dormant.scoring.scorer import FastLM
from dormant.scoring.tokenisations import Tokenisation, Tokenisations

# Few letters, so that prefixes are shared often.
tokens = st.lists(st.integers(0, 2), min_size=1, max_size=7).map(tuple)
rows = st.lists(
    st.tuples(tokens, st.lists(tokens, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=8
).map(
    lambda parts: [Row(index, context, answers) for index, (context, answers) in enumerate(parts)]
)


def prefixes(part):
    return {path[:end] for row in part for path in row.paths for end in range(1, len(path) + 1)}


@given(rows, st.integers(1, 40))
def test_batches_keep_every_row_once_and_the_budget(made, budget):
    found = batches(made, budget)
    assert sorted(row.index for batch in found for row in batch) == list(range(len(made)))
    for batch in found:
        assert len(batch) == 1 or len(prefixes(batch)) <= budget
    assert [batch for part in found for batch in batches(part, budget)] == found


@given(rows)
def test_a_forest_has_each_prefix_once_and_every_path(made):
    tree = build_tree(made)
    assert len(tree.tokens) == len(prefixes(made))
    spelled = [tuple(tree.tokens[node] for node in path.nodes) for path in tree.paths]
    assert set(spelled) | prefixes(made) == prefixes(made)
    assert prefixes(made) == {path[:end] for path in spelled for end in range(1, len(path) + 1)}
    for path in tree.paths:
        assert [tree.positions[node] for node in path.nodes] == list(range(len(path.nodes)))
    # Each node is some path's own exactly once: attention gives it one output.
    own = [node for path in tree.paths for node in path.nodes[path.own :]]
    assert sorted(own) == list(range(len(tree.tokens)))
    assert sorted(p.nodes for group in tree.groups() for p in group) == sorted(
        path.nodes for path in tree.paths
    )


@given(rows, st.integers(1, 5))
def test_pieces_own_what_the_paths_own(made, piece):
    tree = build_tree(made)
    groups = tree.groups(piece)
    owned = [path.nodes[path.own :] for group in groups for path in group]
    assert all(owned)
    assert sorted(node for nodes in owned for node in nodes) == list(range(len(tree.tokens)))
    assert max(map(len, owned)) <= 2 * piece
    whole = {path.nodes[:end] for path in tree.paths for end in range(len(path.nodes) + 1)}
    assert {path.nodes for group in groups for path in group} <= whole


@given(rows)
def test_answers_are_predicted_by_the_prefix_before_each_token(made):
    tree = build_tree(made)
    ends = {
        node: tuple(tree.tokens[n] for n in path.nodes[: place + 1])
        for path in tree.paths
        for place, node in enumerate(path.nodes)
    }
    for row, predicted in zip(made, tree.predicted, strict=True):
        for answer, nodes in zip(row.answers, predicted, strict=True):
            before = [row.context + answer[:place] for place in range(len(answer))]
            assert [ends[node] for node in nodes] == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(rows, st.sampled_from([1, 2, 4]), st.integers(1, 4), st.none() | st.integers(1, 9))
def test_attention_along_a_forest_is_attention_along_each_path(dtype, made, groups, piece, window):
    """By products of matrices in float32, a piece of each path at a time; else by PyTorch."""
    tree = build_tree(made)
    generator = torch.Generator().manual_seed(len(tree.tokens))
    count = len(tree.tokens)
    query = torch.randn(1, 4, count, 4, generator=generator, dtype=dtype)
    key = torch.randn(1, groups, count, 4, generator=generator, dtype=dtype)
    value = torch.randn(1, groups, count, 3, generator=generator, dtype=dtype)
    with mock.patch.object(attention, "PIECE", piece):
        laid = attention.gather_indices(tree, torch.device("cpu"), dtype)
    assert all((group.queries.shape[1] <= 2 * piece) for group in laid) or dtype != torch.float32
    out, _ = attention.attend(
        torch.nn.Identity(), query, key, value, None, prefix_tree=laid, scaling=0.5,
        sliding_window=window,
    )  # fmt: skip
    for path in tree.paths:
        q, k, v = (states[:, :, list(path.nodes)] for states in (query, key, value))
        wanted = torch.nn.functional.scaled_dot_product_attention(
            q, k.repeat_interleave(4 // groups, 1), v.repeat_interleave(4 // groups, 1),
            attn_mask=seen(len(path.nodes), window), scale=0.5,
        )  # fmt: skip
        assert torch.allclose(out[0, list(path.nodes)], wanted[0].transpose(0, 1), atol=1e-5)


def seen(length, window):
    """Say which tokens of a sequence see which: none later, and none further back than a window."""
    back = torch.arange(length)[:, None] - torch.arange(length)
    return (back >= 0) & (back < (window or length))


@pytest.mark.parametrize("option", [{"softcap": 30.0}, {"s_aux": 1.0}])
def test_attention_refuses_what_it_does_not_do(option):
    tree = build_tree([Row(0, (1, 2, 3), ((4,),))])
    laid = attention.gather_indices(tree, torch.device("cpu"), torch.float32)
    states = torch.zeros(1, 1, 3, 2)
    with pytest.raises(CannotAttend):
        attention.attend(
            torch.nn.Identity(), states, states, states, None, prefix_tree=laid, **option
        )


@given(st.text("ab", max_size=8), st.text("ab", max_size=8))
def test_common_prefix(one, other):
    length = common_prefix(one, other)
    assert one[:length] == other[:length]
    assert one[length : length + 1] != other[length : length + 1] or one == other


@given(st.lists(st.tuples(st.integers(1, 30), st.sampled_from("xy"))), st.integers(1, 90))
def test_generation_batches(parts, budget):
    lengths, settings = [p[0] for p in parts], [p[1] for p in parts]
    found = length_batches(lengths, settings, budget)
    assert sorted(place for batch in found for place in batch) == list(range(len(parts)))
    for batch in found:
        assert len({settings[place] for place in batch}) == 1
        assert len(batch) == 1 or max(lengths[p] for p in batch) * len(batch) <= budget


@given(st.integers(1, 9), st.integers(1, 9))
def test_memory_splits_until_it_fits(count, room):
    halvings = []

    def work(part):
        if len(part) > room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 GB")
        return [10 * item for item in part]

    # Collecting for real takes a second beside the models that other tests hold.
    with mock.patch("dormant.scoring.memory.gc.collect") as collect:
        done = list(within_memory(range(count), work, halved=lambda: halvings.append(1)))
    assert collect.call_count == len(halvings)
    assert [item for part, _ in done for item in part] == list(range(count))
    assert [out for _, outs in done for out in outs] == [10 * item for item in range(count)]
    assert bool(halvings) is (count > room)


def test_other_errors_pass():
    def work(part):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        list(within_memory([1, 2], work, halved=lambda: None))


class Letters:
    """A tokenizer with several spellings: numbers are places in a list of pieces."""

    pieces = ("a", "b", "ab", " ", "aba", "\n")

    def encode(self, text):
        return [self.pieces.index(letter) for letter in text]

    def decode(self, tokens):
        return "".join(self.pieces[token] for token in tokens if token < len(self.pieces))


def settle(greedy, text, first, end=99):
    """Follow a greedy decoder that writes `greedy` for ever; return the verdict and the passes."""
    letters = Letters()
    tokenisations = Tokenisations(letters.encode, letters.decode, end)
    state = Tokenisation(text, (), tuple(first))
    for passes in range(1, 50):
        tokens = state.tokens
        # Teacher forcing: right after a wrong token the model may say anything.
        choices = [
            greedy[place] if tokens[:place] == tuple(greedy[:place]) and place < len(greedy) else 5
            for place in range(len(tokens))
        ]
        found = tokenisations.follow(state, choices)
        if isinstance(found, bool):
            return found, passes
        state = found
    raise AssertionError("did not settle")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.text("ab", min_size=1, max_size=6))
def test_spelling_equals_decoding(greedy, text):
    letters = Letters()
    said = letters.decode([*greedy, 5]).lstrip(" ")
    found, _ = settle([*greedy, *[5] * 20], text, letters.encode(text))
    # The decoder writes newlines in the end, which no answer here contains.
    assert found is said.startswith(text)


def test_another_spelling_takes_few_passes():
    assert settle([2, 4, 1], "ababab", [0, 1, 0, 1, 0, 1]) == (True, 3)
    assert settle([3, 2, 5], "ab", [0, 1])[0]


def test_the_end_of_the_text_ends_it():
    assert settle([0, 99, 1], "ab", [0, 1]) == (False, 1)


SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
         "num_attention_heads": 4}  # fmt: skip
SHARED = {**SMALL, "num_key_value_heads": 2}
TINY = {
    "llama": lambda v: hf.LlamaForCausalLM(hf.LlamaConfig(vocab_size=v, **SHARED)),
    "gpt2": lambda v: hf.GPT2LMHeadModel(
        hf.GPT2Config(vocab_size=v, n_embd=32, n_layer=2, n_head=4)
    ),
    "opt": lambda v: hf.OPTForCausalLM(
        hf.OPTConfig(vocab_size=v, hidden_size=32, ffn_dim=48, num_hidden_layers=2,
                     num_attention_heads=4, word_embed_proj_dim=32)
    ),
    "mistral, window": lambda v: hf.MistralForCausalLM(
        hf.MistralConfig(vocab_size=v, sliding_window=8, **SHARED)
    ),
    "gemma2": lambda v: hf.Gemma2ForCausalLM(
        hf.Gemma2Config(vocab_size=v, head_dim=8, final_logit_softcapping=1.0, **SHARED)
    ),
    "bloom": lambda v: hf.BloomForCausalLM(
        hf.BloomConfig(vocab_size=v, hidden_size=32, n_layer=2, n_head=4)
    ),
    "cohere": lambda v: hf.CohereForCausalLM(
        hf.CohereConfig(vocab_size=v, logit_scale=0.25, **SHARED)
    ),
    "mixture of experts": lambda v: hf.Qwen2MoeForCausalLM(
        hf.Qwen2MoeConfig(vocab_size=v, moe_intermediate_size=16, num_experts=4,
                          shared_expert_intermediate_size=16, **SHARED)
    ),
    "mamba": lambda v: hf.MambaForCausalLM(
        hf.MambaConfig(vocab_size=v, hidden_size=32, num_hidden_layers=2, state_size=4)
    ),
}  # fmt: skip
MODES = {"gemma2": "rows", "bloom": "rows", "mamba": "rows"}


@pytest.mark.filterwarnings("ignore")  # the libraries' advice on slow paths
@pytest.mark.parametrize("name", TINY)
def test_every_architecture_gives_the_harness_its_own_numbers(name, smollm2_tokenizer):
    """Positions learned, rotary or biased; windows, soft caps, logit scales, no attention."""
    torch.manual_seed(0)
    model = TINY[name](len(smollm2_tokenizer)).eval()
    for weights in model.parameters():
        # Larger weights, so that a wrong mask or position shows.
        weights.data.mul_(3)
    lm = FastLM(pretrained=model, tokenizer=smollm2_tokenizer, batch_size=4, precision="float32")
    prompts = [
        "Repeat.\n\nInput: The dog\nOutput:",
        "Repeat.\n\nInput: A cat sat here\nOutput:",
        "",
    ]
    requests = [
        Instance("loglikelihood", {}, (prompt, answer), 0)
        for prompt in prompts
        for answer in (" What", " 25 dogs", " ______ is")
    ]
    ours = lm.loglikelihood(requests, disable_tqdm=True)
    theirs = super(FastLM, lm).loglikelihood(requests, disable_tqdm=True)
    assert lm.mode == MODES.get(name, "prefix tree")
    assert [flag for _, flag in ours] == [flag for _, flag in theirs]
    # Both float32; sums are taken in another order.
    assert [x for x, _ in ours] == pytest.approx([x for x, _ in theirs], abs=1e-3)
