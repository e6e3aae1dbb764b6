"""What two models must have in common, and how a prompt begins."""

from __future__ import annotations

import copy
import json

import pytest
from tokenizers import processors

from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.models.comparability import differences, encoded, facts_of, refuse_wrong_bos, wants_bos
from dormant.models.load import LoadOptions, load, wrap
from dormant.results import ModelFacts

BOS = "<|im_start|>"
TEXTS = ["Input: the house\nOutput:", "one two"]


def begins_with(tokenizer, times):
    """Return a tokenizer that puts a beginning-of-text token before a text, so many times."""
    changed = copy.deepcopy(tokenizer)
    changed._tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join([*[BOS] * times, "$A"]),
        special_tokens=[(BOS, changed.bos_token_id)],
    )
    return changed


def lm_with(tiny_model, tokenizer, **more):
    lm = wrap(tiny_model, tokenizer, LoadOptions(device="cpu"))
    for name, value in more.items():
        setattr(lm, name, value)
    return lm


@pytest.fixture(scope="module")
def plain(tiny_model, smollm2_tokenizer):
    return lm_with(tiny_model, smollm2_tokenizer)


def test_facts_are_the_model_s_own(plain, tiny_model):
    facts = facts_of(plain, TEXTS, TEXTS, style="raw")
    assert facts.dtype == "float32"
    assert (facts.vocabulary, facts.max_length) == (49152, 512)
    assert facts.special_tokens["bos_token"] == BOS
    assert facts.adds_bos is False
    assert list(facts.first_ids) == plain.tok_encode(TEXTS[0])[:40]
    assert "".join(facts.first_tokens) == TEXTS[0]
    assert facts.quantisation is None
    assert differences(facts, facts) == []


def test_no_more_than_forty_tokens_are_kept(plain):
    long = "one two three " * 40
    facts = facts_of(plain, [long], [long], style="raw")
    assert len(facts.first_ids) == 40


def test_a_server_shows_what_it_can():
    import fakes

    facts = facts_of(fakes.FakeLM(), TEXTS, TEXTS, style="chat")
    assert facts == ModelFacts(prompts="chat")
    assert differences(facts, ModelFacts(dtype="float32", vocabulary=5)) == []


def test_what_differs_is_said(tiny_model, smollm2_tokenizer, plain):
    changed = begins_with(smollm2_tokenizer, 1)
    changed.eos_token = "<|endoftext|>"
    changed.pad_token = "<|endoftext|>"
    changed.chat_template = "{{ messages[0]['content'] }}"
    other = copy.deepcopy(tiny_model).bfloat16()
    other.generation_config.repetition_penalty = 1.05
    other.config.max_position_embeddings = 256
    tuned = lm_with(other, changed)
    said = differences(
        facts_of(plain, TEXTS, TEXTS, style="raw"), facts_of(tuned, TEXTS, TEXTS, style="raw")
    )
    assert said[0] == "special tokens differ: eos_token <|im_end|> and <|endoftext|>"
    assert said[1].startswith("prompts of the tuned model begin with a beginning-of-text token")
    assert said[2].startswith("chat templates differ (")
    assert "prompts are raw" in said[2]
    assert said[3:] == [
        "dtype differs: base float32, tuned bfloat16",
        "max_length differs: base 512, tuned 256",
        "generation configs differ: repetition_penalty none and 1.05",
    ]


def test_added_tokens_are_no_other_reading(tiny_model, smollm2_tokenizer, plain):
    grown = copy.deepcopy(smollm2_tokenizer)
    grown.add_tokens(["<tool>"])
    one = facts_of(plain, TEXTS, TEXTS, style="raw")
    other = facts_of(lm_with(tiny_model, grown), TEXTS, TEXTS, style="raw")
    assert differences(one, other) == [
        "vocabularies differ (49152 and 49153 words), and read this run's prompts alike"
    ]
    # One that occurs is.
    texts = ["a <tool> b"]
    one, other = (
        facts_of(lm_with(tiny_model, tokenizer), texts, texts, style="raw")
        for tokenizer in (smollm2_tokenizer, grown)
    )
    assert "compared per byte" in differences(one, other)[0]


@pytest.mark.parametrize("generates", [False, True])
def test_two_beginnings_of_text_are_an_error(tiny_model, smollm2_tokenizer, generates):
    twice = lm_with(tiny_model, begins_with(smollm2_tokenizer, 2))
    with pytest.raises(DormantError, match=r"begin with two .* its tokenizer writes it twice"):
        refuse_wrong_bos("'x'", twice, TEXTS[0], generates=generates)
    once = lm_with(tiny_model, begins_with(smollm2_tokenizer, 1))
    refuse_wrong_bos("'x'", once, TEXTS[0], generates=generates)
    assert encoded(once, TEXTS[0], generates=generates)[0] == once.tokenizer.bos_token_id
    # A template that writes one is read as it is.
    refuse_wrong_bos("'x'", once, f"{BOS}user\nhello", generates=generates)
    with pytest.raises(DormantError, match="the chat template writes it twice"):
        refuse_wrong_bos("'x'", once, f"{BOS}{BOS}user", generates=generates)


def test_a_template_and_a_tokenizer_that_both_write_one(tiny_model, smollm2_tokenizer):
    """The harness looks for the token at the very beginning only."""
    lm = lm_with(tiny_model, begins_with(smollm2_tokenizer, 1))
    with pytest.raises(DormantError, match="the tokenizer adds one more: say add_bos_token=False"):
        refuse_wrong_bos("'x'", lm, f"\n{BOS}user\nhello", generates=False)


def test_a_missing_beginning_is_an_error_only_where_it_is_wanted(
    tiny_model, smollm2_tokenizer, plain, tmp_path, tiny_checkpoint
):
    refuse_wrong_bos("'x'", plain, TEXTS[0], generates=False)
    tiny_model.save_pretrained(tmp_path / "m")
    smollm2_tokenizer.save_pretrained(tmp_path / "m")
    file = tmp_path / "m" / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"add_bos_token": True}))
    lm = load(str(tmp_path / "m"))
    assert wants_bos(lm.tokenizer)
    with pytest.raises(DormantError, match=r"prompts begin without .* say add_bos_token=True"):
        refuse_wrong_bos("'x'", lm, TEXTS[0], generates=False)
    told = load(str(tmp_path / "m"), LoadOptions(model_args={"add_bos_token": True}))
    refuse_wrong_bos("'x'", told, TEXTS[0], generates=False)
    assert encoded(told, TEXTS[0])[0] == told.tokenizer.bos_token_id
    without = load(str(tmp_path / "m"), LoadOptions(model_args={"add_bos_token": False}))
    refuse_wrong_bos("'x'", without, TEXTS[0], generates=False)
    settings = AuditSettings(
        base=str(tiny_checkpoint), tuned=str(tmp_path / "m"), tasks=("icl/copy",),
        transforms=("leetspeak",), n=4, device="cpu",
    )  # fmt: skip
    with pytest.raises(DormantError, match="prompts begin without"):
        audit(settings, tmp_path / "run")
    assert not [*(tmp_path / "run").rglob("*.tuned.jsonl")]
