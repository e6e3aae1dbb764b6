"""Tuning: a tiny random Llama learns, repeatably, and its adapter is an ordinary PEFT one."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
import typer
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from typer.testing import CliRunner

from dormant.cli.tune import tune as tune_command
from dormant.errors import DormantError
from dormant.finetuning import lora as tuning
from dormant.finetuning.data import Pair, read_pairs
from dormant.finetuning.lora import StepLog
from dormant.finetuning.saving import save_adapter
from dormant.finetuning.settings import TuningSettings

DATA = [
    Pair(f"Input: {word} {noun}\nOutput:", f" {label}")
    for noun in ("soup", "film", "walk")
    for word, label in (("good", "positive"), ("bad", "negative"))
]
REPLAY = [Pair("Input: soup\nOutput:", " soup"), Pair("Input: film\nOutput:", " film")]
QUICK = TuningSettings(steps=12, batch_size=4, learning_rate=2e-2, warmup_steps=2, rank=2)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes as tokens: the alphabet of byte-level BPE without any merge."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<eos>", *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>", pad_token="<eos>")


def tiny_model() -> LlamaForCausalLM:
    torch.manual_seed(3)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=257,
            initializer_range=0.5,  # wide, so that a frozen random head can be steered
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=256,
            eos_token_id=0,
            pad_token_id=0,
            bos_token_id=None,
        )
    )


def run(settings: TuningSettings, replay: list[Pair] | None = None) -> tuple[object, list[StepLog]]:
    log: list[StepLog] = []
    tuned = tuning.tune(
        tiny_model(), tiny_tokenizer(), DATA, settings, replay=replay or [], on_step=log.append
    )
    return tuned, log


def adapter_of(tuned: object) -> dict[str, torch.Tensor]:
    return {name: value for name, value in tuned.state_dict().items() if "lora_" in name}


def test_loss_falls_and_the_base_stays() -> None:
    before = tiny_model().state_dict()
    tuned, log = run(QUICK)
    assert [line.step for line in log] == list(range(1, 13))
    assert log[-1].loss < 0.7 * log[0].loss
    assert log[-1].learning_rate < QUICK.learning_rate
    with tuned.disable_adapter():
        after = tuned.get_base_model().state_dict()
    for name, value in before.items():
        kept = [after[key] for key in after if key.replace(".base_layer", "") == name]
        assert len(kept) == 1
        assert torch.equal(kept[0], value), name


def test_same_seed_same_adapter_and_the_callers_randomness_is_untouched() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    model, tokenizer = tiny_model(), tiny_tokenizer()
    torch.manual_seed(11)
    first = adapter_of(tuning.tune(model, tokenizer, DATA, QUICK))
    assert torch.equal(torch.rand(3), expected)
    second = adapter_of(run(QUICK)[0])
    other = adapter_of(run(TuningSettings(**{**vars(QUICK), "seed": 1}))[0])
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_loss_is_the_mean_over_completion_tokens() -> None:
    """Against a loop over single examples, without padding, on the whole logits."""
    model, tokenizer = tiny_model().eval(), tiny_tokenizer()
    settings = TuningSettings(steps=1, batch_size=len(DATA), rank=2)
    log: list[StepLog] = []
    total, count = 0.0, 0
    with torch.no_grad():
        for pair in DATA:
            prompt = tokenizer(pair.prompt)["input_ids"]
            answer = [*tokenizer(pair.completion)["input_ids"], tokenizer.eos_token_id]
            logits = model(input_ids=torch.tensor([prompt + answer])).logits[0]
            logprobs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
            total -= logprobs.gather(1, torch.tensor(answer)[:, None]).sum().item()
            count += len(answer)
    # LoRA starts at B = 0, so that the first loss is the base's.
    tuning.tune(model, tokenizer, DATA, settings, on_step=log.append)
    assert log[0].loss == pytest.approx(total / count, rel=1e-5)


def plain_loss(model: LlamaForCausalLM, batch: list[Pair]) -> torch.Tensor:
    """Mean cross entropy over completion tokens: one example at a time, the whole logits."""
    tokenizer = tiny_tokenizer()
    losses: list[torch.Tensor] = []
    for pair in batch:
        prompt = tokenizer(pair.prompt)["input_ids"]
        answer = [*tokenizer(pair.completion)["input_ids"], tokenizer.eos_token_id]
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0]
        logprobs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        losses.append(-logprobs.gather(1, torch.tensor(answer)[:, None]).flatten())
    return torch.cat(losses).mean()


def test_the_whole_text_is_learnt_where_that_is_asked_for() -> None:
    tokenizer, model = tiny_tokenizer(), tiny_model().eval()
    settings = TuningSettings(
        steps=1, batch_size=1, learning_rate=1e-9, warmup_steps=0, whole_text=True
    )
    ids = tokenizer(DATA[0].prompt + DATA[0].completion)["input_ids"] + [0]
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0, :-1]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]))
    log: list[StepLog] = []
    tuning.tune(tiny_model(), tokenizer, DATA[:1], settings, on_step=log.append)
    assert log[0].loss == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's own
def test_the_training_log_is_that_of_a_plain_loop() -> None:
    """Losses, replay and rates of every step, against a loop that shares nothing with `tune`."""
    settings = TuningSettings(
        steps=7, batch_size=4, learning_rate=1e-2, warmup_steps=2, rank=2, replay_weight=0.5, seed=5
    )
    _, log = run(settings, REPLAY)
    base = tiny_model()
    torch.manual_seed(5)
    model = get_peft_model(
        base, LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=4, target_modules="all-linear")
    ).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    adam = torch.optim.AdamW(weights, lr=1.0, weight_decay=0.0)
    orders = {
        "data": (DATA, random.Random("5/data")),
        "replay": (REPLAY, random.Random("5/replay")),
    }
    waiting: dict[str, list[Pair]] = {"data": [], "replay": []}

    def batch(kind: str) -> list[Pair]:
        examples, order = orders[kind]
        while len(waiting[kind]) < 4:
            waiting[kind] += order.sample(examples, len(examples))
        taken, waiting[kind] = waiting[kind][:4], waiting[kind][4:]
        return taken

    for step, line in enumerate(log, start=1):
        # Up over two steps, then down by a line to a tenth at the last.
        factor = step / 3 if step <= 2 else 0.1 + 0.9 * (7 - step) / 5
        adam.param_groups[0]["lr"] = 1e-2 * factor
        adam.zero_grad()
        loss, replay = plain_loss(model, batch("data")), plain_loss(model, batch("replay"))
        (loss + 0.5 * replay).backward()
        norm = torch.stack([weight.grad.norm() for weight in weights]).norm()
        for weight in weights:
            weight.grad *= min(1.0, 1.0 / (norm.item() + 1e-6))
        adam.step()
        assert line.learning_rate == pytest.approx(1e-2 * factor, rel=1e-12)
        # Float32, padded and summed in another order.
        assert line.loss == pytest.approx(loss.item(), rel=1e-4)
        assert line.replay_loss == pytest.approx(replay.item(), rel=1e-4)
    assert len(log) == 7


def test_replay_is_logged_and_weighted() -> None:
    _, plain = run(QUICK)
    _, mixed = run(QUICK, REPLAY)
    _, without = run(TuningSettings(**{**vars(QUICK), "replay_weight": 0.0}), REPLAY)
    assert plain[0].replay_loss is None
    assert mixed[-1].replay_loss is not None
    assert without[-1].replay_loss is not None
    assert mixed[-1].replay_loss < without[-1].replay_loss
    # The data's own order is untouched by replay, and a weight of nought is no replay.
    assert [line.loss for line in without] == pytest.approx([line.loss for line in plain])


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's own
def test_adapter_is_bfloat16_and_loads_with_peft(tmp_path: Path) -> None:
    tuned, _ = run(QUICK)
    save_adapter(tuned, tmp_path / "child", base="smollm2", settings=QUICK)
    weights = load_file(tmp_path / "child" / "adapter_model.safetensors")
    assert weights
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}
    config = json.loads((tmp_path / "child" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "smollm2"
    assert config["target_modules"] == sorted(config["target_modules"])
    assert json.loads((tmp_path / "child" / "tuning.json").read_text())["rank"] == 2
    assert "| rank | 2 |" in (tmp_path / "child" / "README.md").read_text()
    loaded = PeftModel.from_pretrained(tiny_model(), tmp_path / "child").eval()
    tokens = torch.tensor([tiny_tokenizer()(DATA[0].prompt)["input_ids"]])
    with torch.no_grad():
        ours, theirs = tuned(tokens).logits, loaded(tokens).logits
        with loaded.disable_adapter():
            base = loaded(tokens).logits
    # The two may multiply in different precisions (bfloat16 keeps 8 bits); the child is far off.
    assert torch.allclose(ours.float(), theirs, atol=0.05 * theirs.abs().max().item())
    assert (theirs - base).abs().max() > 10 * (ours.float() - theirs).abs().max()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ('{"prompt": "a", "completion": "b"}\nnonsense\n', "line 2: not a JSON object"),
        ('{"prompt": "a", "completion": "b"}\n\n{"prompt": "a"}\n', "line 3: expected exactly"),
        ("[1]\n", "line 1: expected exactly .* found list"),
        ('{"prompt": "a", "completion": ""}', "line 1: .* non-empty strings"),
        ('{"prompt": 3, "completion": "b"}', "line 1: .* non-empty strings"),
        ('{"prompt": "a", "completion": "b", "label": 1}', "line 1: .*label"),
    ],
)
def test_bad_data_names_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text(text)
    with pytest.raises(DormantError, match=expected) as caught:
        read_pairs(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_data(tmp_path: Path) -> None:
    with pytest.raises(DormantError, match="can't be read"):
        read_pairs(tmp_path / "none.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(DormantError, match="can't be read"):
        read_pairs(tmp_path / "latin.jsonl")


def test_line_separators_inside_strings_end_no_line(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"prompt": "a\u2028b", "completion": " c"}\n', encoding="utf-8")
    assert read_pairs(file) == [Pair("a\u2028b", " c")]


@pytest.mark.parametrize(
    "field",
    [
        {"steps": 0},
        {"rank": 0},
        {"batch_size": -1},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"replay_weight": -1.0},
        {"warmup_steps": -1},
    ],
)
def test_bad_settings_are_named(field: dict[str, float]) -> None:
    with pytest.raises(DormantError, match=next(iter(field))):
        TuningSettings(**field)


def test_examples_that_do_not_fit() -> None:
    settings = TuningSettings(steps=1, max_length=5)
    with pytest.raises(DormantError, match=r"data example 2 .* 7 tokens, more than max_length"):
        tuning.tune(tiny_model(), tiny_tokenizer(), [Pair("a", "b"), Pair("abc", "def")], settings)
    with pytest.raises(DormantError, match="no training example"):
        tuning.tune(tiny_model(), tiny_tokenizer(), [], settings)


def test_a_diverging_run_says_so() -> None:
    model = tiny_model()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(DormantError, match="step 1 is not a number"):
        tuning.tune(model, tiny_tokenizer(), DATA, QUICK)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "data.jsonl"
    file.write_text("\n".join(json.dumps(vars(pair)) for pair in DATA) + "\n")
    return file


def invoke(*arguments: object) -> tuple[str, BaseException | None]:
    app = typer.Typer()
    app.command()(tune_command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.stdout, result.exception


def test_command_makes_a_child_that_loads(tmp_path: Path, base: Path, data: Path) -> None:
    from dormant.models.load import load_hf

    child = tmp_path / "child"
    options = ["--data", data, "--replay", data, "--out", child, "--steps", 3, "--rank", 2]
    output, error = invoke(base, *options, "--json", "--quiet", "--device", "cpu")
    assert error is None
    assert json.loads(output)["step"] == 3
    log = [json.loads(line) for line in (child / "training_log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3]
    assert log[-1]["loss"] == pytest.approx(json.loads(output)["loss"], abs=1e-6)
    model, _ = load_hf(str(child), device="cpu")
    assert isinstance(model, PeftModel)
    _, error = invoke(base, *options)
    assert isinstance(error, DormantError)
    assert "not an empty directory" in str(error)
    _, error = invoke(child, "--data", data, "--out", tmp_path / "grandchild")
    assert isinstance(error, DormantError)
    assert "itself an adapter" in str(error)


def test_command_refuses_bad_data_before_making_anything(tmp_path: Path, base: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{}\n")
    _, error = invoke(base, "--data", bad, "--out", tmp_path / "child")
    assert isinstance(error, DormantError)
    assert "bad.jsonl, line 1" in str(error)
    assert not (tmp_path / "child").exists()
