"""Artefacts that should compute the same, and the places where they don't."""

from __future__ import annotations

import copy
import gc
import json
import math
from dataclasses import replace

import pytest
import torch

import dormant as dm
from byte_models import TEMPLATE, byte_llama, byte_tokenizer, lora, saved, write_gguf
from completion_server import serving
from dormant.equivalence import observe
from dormant.equivalence import prompts as asked
from dormant.equivalence.check import check
from dormant.equivalence.tolerance import Tolerance
from dormant.errors import DormantError
from dormant.libraries import quiet

# The harness leaves its sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def model():
    return byte_llama()


@pytest.fixture(scope="module")
def base(model, tmp_path_factory):
    return saved(model, tmp_path_factory.mktemp("models") / "base")


def altered(model, change):
    other = copy.deepcopy(model)
    with torch.no_grad():
        change(other)
    return other


TEXTS = ("The old house is big.", "What is 9 plus 16?\nThe answer is", "Où est la gare ?")


def only(*models, prompts=TEXTS, **options):
    options["prompts"] = prompts
    found = check(*models, **options)
    (comparison,) = found.comparisons
    assert found.agree == comparison.agrees
    return comparison


def test_a_merged_copy_computes_the_same(base, tmp_path):
    adapter, merged = lora(base, tmp_path)
    found = only(adapter, merged)
    assert found.agrees
    assert found.by == "logits"
    assert found.arithmetic == "float32"
    assert 0 < found.worst_divergence < 1e-10
    assert (found.changed, found.first, found.reasons) == (0, None, ())
    # And it isn't the base's.
    assert only(base, merged).divergence > 0.01


def test_a_copy_merged_at_another_scale_does_not(base, tmp_path, dormant):
    adapter, merged = lora(base, tmp_path / "x", scale=1.05)
    said = dormant("check", adapter, merged, "-q")
    assert said.code == 1
    assert said.err == ""
    assert f"≠ {adapter} and {merged}: divergence" in said.out
    assert "first at layer 1 of 3" in said.out
    assert "✘ differs" in said.out


def test_the_same_model_twice(base):
    found = only(base, base)
    assert (found.divergence, found.logit, found.changed, found.agrees) == (0, 0, 0, True)


PLACES = {
    "embedding": "model.embed_tokens",
    "layer 2": "model.layers.1.mlp.up_proj",
    "final norm": "model.norm",
    "head": "lm_head",
}


@pytest.mark.parametrize("where", PLACES)
def test_the_first_that_differs_is_named(model, where):
    def change(other):
        other.get_submodule(PLACES[where]).weight[..., 7] *= 1.2

    tokenizer = byte_tokenizer()
    found = only((model, tokenizer), (altered(model, change), tokenizer))
    assert found.first == where
    assert not found.agrees


def test_half_precision_is_another_arithmetic(base, model, tmp_path):
    half = saved(copy.deepcopy(model).to(torch.bfloat16), tmp_path / "half")
    exact = only(base, half)
    assert not exact.agrees
    assert (exact.arithmetic, exact.first) == ("bfloat16", None)
    assert exact.reasons[0].endswith("another arithmetic, and within --tolerance rounded")
    assert only(base, half, tolerance="rounded").agrees
    # And with arguments of its own, as the harness has them.
    cast = only(base, f"hf:pretrained={base},dtype=bfloat16", tolerance="rounded")
    assert (cast.by, cast.arithmetic) == ("logits", "bfloat16")
    assert cast.divergence == pytest.approx(exact.divergence, rel=0.2)
    assert only(base, half, tolerance=exact.worst_divergence * 1.01).agrees
    assert not only(base, half, tolerance=exact.worst_divergence * 0.99).agrees


def test_a_gguf_file(base, model, tmp_path):
    same = write_gguf(model, tmp_path / "same.gguf")
    found = only(base, same)
    assert found.reasons == ()
    assert found.agrees

    def change(other):
        other.model.layers[2].self_attn.q_proj.weight.mul_(1.1)

    found = only(base, write_gguf(altered(model, change), tmp_path / "other.gguf"))
    assert (found.agrees, found.first) == (False, "layer 3")


def served(server, base, **more):
    words = {
        "model": "x", "base_url": server.url, "tokenizer": base, "max_retries": 1,
        "tokenizer_backend": "huggingface", "max_length": 2048, **more,
    }  # fmt: skip
    return "local-completions:" + ",".join(f"{name}={value}" for name, value in words.items())


def test_a_served_model(base, model):
    with serving(model, byte_tokenizer()) as server:
        found = only(base, served(server, base))
    assert found.by == "log-probabilities"
    assert found.agrees
    assert found.worst_log_probability < 1e-3

    def change(other):
        other.model.layers[1].mlp.up_proj.weight.mul_(1.1)

    with serving(altered(model, change), byte_tokenizer()) as server:
        assert not only(base, served(server, base)).agrees
        # In the other order too, by the prompts that are shipped.
        found = only(served(server, base), base, prompts=None)
    assert not found.agrees
    assert found.reasons[0].startswith("log-probability")
    assert found.worst_log_probability > 0.01


def test_a_server_that_only_writes(base, model):
    with serving(model, byte_tokenizer()) as server:
        server.lie = "no logprobs"
        found = only(base, served(server, base))
    assert (found.by, found.answers, found.agrees) == ("answers", 1, True)
    assert found.notes[0].startswith("no log-probabilities, so answers are compared")
    with serving(byte_llama(seed=5), byte_tokenizer()) as server:
        server.lie = "no logprobs"
        found = only(base, served(server, base))
    assert not found.agrees
    assert "answers are others, first prompt 1: " in found.reasons[0]


def test_chats_alone_are_compared_by_answers_and_among_texts_are_said_to_be_left_out(
    base, model, tmp_path
):
    chat = {"messages": [{"role": "user", "content": "Hello"}]}
    chats, mixed = tmp_path / "chats.jsonl", tmp_path / "mixed.jsonl"
    chats.write_text(json.dumps(chat))
    mixed.write_text("\n".join(map(json.dumps, [{"prompt": TEXTS[0]}, chat])))
    with serving(model, byte_tokenizer()) as server:
        alone = only(base, served(server, base), prompts=chats)
        among = only(base, served(server, base), prompts=mixed)
    assert (alone.by, alone.agrees, alone.places) == ("answers", True, 1)
    assert "no prompt is a text" in alone.notes[0]
    assert (among.by, among.agrees, among.places) == ("log-probabilities", True, 1)
    assert among.notes[0].startswith("1 of 2 prompts were left out: chats")


def test_no_server_at_all(base, dormant):
    url = "http://127.0.0.1:9/v1/completions"
    words = f"model=x,base_url={url},max_retries=1,tokenizer={base},tokenizer_backend=huggingface"
    said = dormant("check", base, f"local-completions:{words}", "-q")
    assert said.code == 2
    assert "check that the server runs" in said.err
    assert said.err.splitlines()[-1].startswith("error: ")


def test_other_tokens_are_said_first(base, model, tmp_path, dormant):
    tokenizer = byte_tokenizer(added=("the",))
    grown = altered(model, lambda other: other.resize_token_embeddings(259, mean_resizing=False))
    other = saved(grown, tmp_path / "other", tokenizer)
    said = dormant("check", base, other, "-q")
    assert said.code == 1
    assert "tokenizer: prompt 1 differs at token 8 of" in said.out
    assert "became 258 ('the')" in said.out
    assert said.out.index("tokenizer: ") < said.out.index("Computes in")


def test_weights_are_compared_after_the_same_tokens(base, model, tmp_path):
    """The tokenizer is another, the weights are the same, and that is told."""
    other = saved(model, tmp_path / "other", byte_tokenizer())
    config = json.loads((other / "tokenizer.json").read_text())
    config["normalizer"] = {"type": "Lowercase"}
    (other / "tokenizer.json").write_text(json.dumps(config))
    found = only(base, other)
    assert (found.divergence, found.first, found.agrees) == (0, None, False)
    assert [reason.split(":")[0] for reason in found.reasons] == ["tokenizer"]


def test_another_chat_template(base, model, tmp_path):
    other = saved(model, tmp_path / "a", byte_tokenizer(template=TEMPLATE + " "))
    (reason,) = only(base, other, prompts=None).reasons
    assert reason.startswith("chat template: prompt 12 differs from character")
    assert reason.endswith("the end became ' '")
    none = saved(model, tmp_path / "b", byte_tokenizer(template=None))
    found = only(base, none, prompts=None)
    assert (found.agrees, found.notes) == (True, ("no chat template, unlike the reference",))
    assert only(none, base, prompts=None).notes == ("a chat template, unlike the reference",)


@pytest.mark.parametrize(("value", "agrees"), [(-40.0, True), (0.0, False)])
def test_a_vocabulary_that_grew(base, model, tmp_path, value, agrees):
    """Padding that no position can win changes nothing; with probability of its own, it does."""

    grown = copy.deepcopy(model)
    grown.resize_token_embeddings(266, mean_resizing=False)
    head = grown.lm_head.weight
    with torch.no_grad():
        head[258:] = 0
    lm_head = torch.nn.Linear(32, 266, bias=True)
    with torch.no_grad():
        lm_head.weight.copy_(head)
        lm_head.bias.zero_()
        lm_head.bias[258:] = value
    grown.lm_head = lm_head
    tokenizer = byte_tokenizer()
    found = only((model, tokenizer), (grown, tokenizer))
    assert found.agrees is agrees
    assert "vocabulary of 266 tokens, not 258" in found.notes[0]


def test_a_vocabulary_that_shrank_leaves_prompts_out(model):
    small = byte_llama(vocab_size=100, eos_token_id=1, bos_token_id=1)
    tokenizer = byte_tokenizer()
    found = only((model, tokenizer), (small, tokenizer))
    assert not found.agrees
    assert found.by is None or "were left out" in found.notes[-1]


def test_an_adapter_that_puts_tokens_before_the_prompt(model):
    """Logits and hidden states are counted from the end, behind virtual tokens."""
    from peft import PromptTuningConfig, get_peft_model

    tokenizer = byte_tokenizer()
    kind = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)
    with quiet():
        tuned = get_peft_model(copy.deepcopy(model), kind).eval()
    assert only((tuned, tokenizer), (tuned, tokenizer)).logit == 0
    assert only((model, tokenizer), (tuned, tokenizer)).first == "layer 1"


def test_models_of_other_shapes(model):
    tokenizer = byte_tokenizer()
    short = byte_llama(num_hidden_layers=2)
    short.model.load_state_dict(model.model.state_dict(), strict=False)
    found = only((model, tokenizer), (short, tokenizer))
    assert (found.first, found.notes) == ("layer 3", ("2 layers, not 3",))
    wide = only((model, tokenizer), (byte_llama(hidden_size=64), tokenizer))
    assert wide.first == "embedding"


def test_one_model_is_in_memory_at_a_time(base, model, tmp_path, monkeypatch):
    from transformers import LlamaForCausalLM

    def alive():
        gc.collect()
        return sum(issubclass(type(thing), LlamaForCausalLM) for thing in gc.get_objects())

    before, most = alive(), []
    rendered = observe.rendered

    def counted(*given):
        most.append(alive() - before)
        return rendered(*given)

    monkeypatch.setattr(observe, "rendered", counted)
    check(base, saved(model, tmp_path / "copy"), base, prompts=TEXTS)
    assert most == [1, 1, 1]


def test_an_adapter_on_a_base_of_one_s_own(base, model, tmp_path):
    adapter, merged = lora(base, tmp_path)
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "org/elsewhere"
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    assert only(adapter, merged, base=base).agrees
    with pytest.raises(DormantError, match="none of the models is one"):
        check(base, merged, base=base)


def test_from_python(model, base):
    found = dm.check(base, (model, byte_tokenizer()), prompts=["One two three.", "Four five."])
    assert found.agree
    assert found.prompts == 2
    assert found.comparisons[0].kind == "live"


def test_as_json(base, tmp_path, dormant):
    _, merged = lora(base, tmp_path, scale=2)
    said = dormant("check", base, merged, base, "--json")
    assert said.code == 1
    record = json.loads(said.out)
    assert record["agree"] is False
    assert [one["agrees"] for one in record["comparisons"]] == [False, True]
    assert record["comparisons"][0]["model"] == str(merged)


def test_what_is_infinite_is_null_in_json(base):
    """As where a model forbids a token that the reference finds likely."""
    found = check(base, base, prompts=TEXTS[:1])
    (one,) = found.comparisons
    forbids = replace(found, comparisons=(replace(one, divergence=math.inf),))

    def refuse(word):
        raise ValueError(word)

    record = json.loads(forbids.to_json(), parse_constant=refuse)
    assert record["comparisons"][0]["divergence"] is None


def test_prompts_of_one_s_own(base, tmp_path, dormant):
    lines = tmp_path / "mine.txt"
    lines.write_text("The first.\n\nThe second, with words.\n")
    assert [prompt.name for prompt in asked.read(lines).prompts] == [f"{lines}:1", f"{lines}:3"]
    records = tmp_path / "mine.jsonl"
    chat = {"messages": [{"role": "user", "content": "Hello"}]}
    records.write_text("\n".join(map(json.dumps, [{"prompt": "a b\nc"}, chat])))
    assert [bool(prompt.turns) for prompt in asked.read(records).prompts] == [False, True]
    said = dormant("check", base, base, "--prompts", records)
    assert said.code == 0
    assert "2 prompts" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{base}"], "nothing to compare: give two models or more"),
        (["{base}", "nowhere/at/all"], "no such directory"),
        (["{base}", "{base}", "--tolerance", "exakt"], "did you mean 'exact'"),
        (["{base}", "{base}", "--tolerance", "-1"], "give more than 0 nats"),
        (["{base}", "{base}", "--tolerance", "nan"], "give more than 0 nats"),
        (["{base}", "{base}", "--prompts", "chat"], "names a file here"),
        (["{base}", "{base}", "--prompts", "none.txt"], "none.txt can't be read"),
        (["{base}", "{base}", "--prompts", "empty.txt"], "no prompt in it"),
        (["{base}", "{base}", "--prompts", "latin.txt"], "it is not UTF-8"),
        (["{base}", "{base}", "--prompts", "bad.jsonl"], "bad.jsonl:2: not a prompt"),
        (["{base}", "{base}", "--prompts", "long.txt"], "long.txt:1: 3000 tokens, but"),
        (["{base}", "{base}", "--base", "{base}"], "none of the models is one"),
        (["{base}", "{base}", "--dtype", "float99"], "unknown dtype"),
    ],
)
def test_bad_input_is_one_line(base, dormant, tmp_path, words, message):
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "latin.txt").write_bytes(b"\xe9t\xe9\n")
    (tmp_path / "bad.jsonl").write_text('{"prompt": "x y"}\n{"messages": [{"role": "user"}]}\n')
    (tmp_path / "long.txt").write_text("x" * 3000)
    said = dormant("check", *(word.format(base=base) for word in words), "-q")
    assert said.code == 2
    assert message in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


def test_logits_that_are_not_numbers(base, model, tmp_path):
    broken = altered(model, lambda other: other.model.norm.weight.fill_(math.nan))
    with pytest.raises(DormantError, match="not numbers"):
        check(base, saved(broken, tmp_path / "broken"), prompts=TEXTS)


def test_models_that_are_not_causal(model, monkeypatch):
    """Encoder-decoders run here too, but their hidden states aren't those of one row of tokens."""
    pair = (model, byte_tokenizer())
    monkeypatch.setattr("dormant.equivalence.check.is_local", lambda _: False)
    found = only(pair, pair)
    assert (found.by, found.agrees) == ("log-probabilities", True)
    local = iter([True, False])
    monkeypatch.setattr("dormant.equivalence.check.is_local", lambda _: next(local))
    with pytest.raises(DormantError, match="is no causal language model"):
        check(pair, pair, prompts=TEXTS)


def test_a_full_disk_is_one_line(model, monkeypatch):
    def full(*_):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", full)
    pair = (model, byte_tokenizer())
    with pytest.raises(DormantError, match=r"can't hold .*TMPDIR"):
        check(pair, pair, prompts=TEXTS)


def test_texts_are_cut_at_a_space():
    assert asked.split("one two three four five") == ("one two three", " four five")
    assert asked.split("日本語の文です") == ("日本語の", "文です")
    assert asked.split("ab") == ("a", "b")
    for prompt in asked.built_in().prompts:
        if prompt.text:
            begin, rest = asked.split(prompt.text)
            assert begin.strip()
            assert rest.strip()
            assert begin + rest == prompt.text


def test_the_bound_is_never_within_rounding():
    exact = Tolerance.parse("exact")
    assert exact.divergence(0.0) == 1e-8
    assert exact.divergence(1e-6) == pytest.approx(4e-6)
    assert exact.log_probability(0.0) == pytest.approx(math.sqrt(2e-8))
    assert (exact.answers(), Tolerance.parse("rounded").answers()) == (1, 0.75)
    assert Tolerance.parse("0.5").divergence(0.0) == 0.5
