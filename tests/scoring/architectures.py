"""Tiny random models of every architecture on the scorer's list, and what is compared on them.

Run as a program it measures them all and rewrites the table in docs/models.md:
PYTHONPATH=src:tests/scoring python tests/scoring/architectures.py
"""

from __future__ import annotations

import inspect
import random
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers as hf
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from dormant.scoring.scorer import FastLM
from dormant.scoring.supported import SUPPORTED, limits_of

VOCABULARY = 97
WINDOW = 16
"""Of attention, in tokens, where an architecture has one."""
TRAINED = 32
"""The original context of scalings that know one."""
LONGEST = 90

# What a tiny model is like; each architecture takes what it knows.
_COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "sliding_window": WINDOW,
    "attention_chunk_size": WINDOW, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128,
    "d_model": 32, "n_layers": 2, "n_heads": 4, "ffn_dim": 48, "word_embed_proj_dim": 32,
    "max_seq_len": 128, "num_layers": 2, "num_heads": 4, "state_size": 4, "q_lora_rank": 16,
    "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
    "n_group": 1, "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 1,
    "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1,
    "mamba_expand": 2, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 8, "linear_value_head_dim": 8, "rotary_dim": 8, "local_attention": 32,
    "keep_window_size": WINDOW, "decoder_layers": 2, "attention_heads": 4,
}  # fmt: skip
_LATENT = {"head_dim": 4, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "num_key_value_heads": 4}
_MORE = {
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "glm4_moe_lite", "minicpm3"), _LATENT),
    "bamba": {"attn_layer_indices": [1]},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 1e4},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma4_text": {
        "vocab_size_per_layer_input": VOCABULARY, "hidden_size_per_layer_input": 8,
        "global_head_dim": 8, "num_kv_shared_layers": 0,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "mamba2": {"num_heads": 8, "n_groups": 1, "chunk_size": 16},
    "phi3": {"original_max_position_embeddings": 128},
}  # fmt: skip
_NOT_ALL = ("falcon_h1", "falcon_mamba", "mamba", "mamba2")
"""Where PEFT doesn't take the layer behind the recurrence."""
_LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0, 1.2, 1.5, 2.0],
    "long_factor": [3.0, 5.0, 7.0, 9.0], "original_max_position_embeddings": TRAINED,
}  # fmt: skip


def _rope(kind: str, **more: float) -> dict[str, object]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 1e4, "factor": 4.0, **more}}


@dataclass(frozen=True)
class Setting:
    """A model to compare: an architecture, and what else its configuration says."""

    model_type: str
    more: tuple[tuple[str, object], ...] = ()


def _setting(model_type: str, **more: object) -> Setting:
    return Setting(model_type, tuple(more.items()))


SETTINGS = {
    **{name: _setting(name) for name in SUPPORTED},
    "llama, linear scaling": _setting("llama", **_rope("linear")),
    "llama, dynamic scaling": _setting(
        "llama", **_rope("dynamic"), max_position_embeddings=TRAINED
    ),
    "llama, yarn": _setting("llama", **_rope("yarn", original_max_position_embeddings=TRAINED)),
    "llama, llama3 scaling": _setting(
        "llama",
        **_rope(
            "llama3", original_max_position_embeddings=TRAINED, low_freq_factor=1.0,
            high_freq_factor=4.0,
        ),
    ),
    "llama, eager attention": _setting("llama", attn_implementation="eager"),
    "gemma2, eager attention": _setting("gemma2", attn_implementation="eager"),
    "llama4_text, attention temperature": _setting(
        "llama4_text", attn_temperature_tuning=True, floor_scale=8, attn_scale=0.5,
        no_rope_layers=[1, 0],
    ),
    "phi3, longrope": _setting(
        "phi3", rope_parameters=_LONGROPE, original_max_position_embeddings=TRAINED,
        sliding_window=None,
    ),
    "phimoe, longrope": _setting(
        "phimoe", rope_parameters={**_LONGROPE, "short_mscale": 1.1, "long_mscale": 1.3}
    ),
    "minicpm3, longrope": _setting(
        "minicpm3",
        rope_parameters={**_LONGROPE, "short_factor": [1.0, 1.5], "long_factor": [3.0, 7.0]},
    ),
    "qwen2, window": _setting("qwen2", use_sliding_window=True, max_window_layers=0),
    "gemma3_text, alternating windows": _setting(
        "gemma3_text", layer_types=["sliding_attention", "full_attention"], num_hidden_layers=2
    ),
    "qwen3, window": _setting("qwen3", use_sliding_window=True, max_window_layers=0),
    "falcon, alibi": _setting("falcon", alibi=True),
    "falcon, new decoder": _setting("falcon", new_decoder_architecture=True, num_kv_heads=2),
}  # fmt: skip
"""Every architecture as it comes, and settings of some that change how it attends."""


def build(setting: Setting, seed: int = 0) -> hf.PreTrainedModel:
    """Build a tiny model with weights so large that a wrong mask or position shows."""
    kind = CONFIG_MAPPING[setting.model_type]
    known = {*getattr(kind, "attribute_map", {})}
    for part in kind.__mro__:
        known |= {*getattr(part, "__annotations__", {})}
        known |= {*inspect.signature(part.__init__).parameters} if part is not object else set()
    values = {name: value for name, value in _COMMON.items() if name in known}
    more = dict(setting.more)
    how = {name: more.pop(name) for name in ("attn_implementation",) if name in more}
    config = kind(**values | _MORE.get(setting.model_type, {}) | more)
    with torch.device("meta"):
        size = sum(w.numel() for w in AutoModelForCausalLM.from_config(config).parameters())
    assert size < 500_000, f"{setting.model_type} is not tiny: {size} parameters"
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, **how).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, weights in model.named_parameters():
        if weights.ndim > 1 or "bias" in name:
            weights.data.copy_(torch.randn(weights.shape, generator=generator) * 0.25)
    return model


def adapted(model: hf.PreTrainedModel) -> torch.nn.Module:
    """Put a LoRA adapter that does something on all of a model's linear layers that PEFT takes."""
    torch.manual_seed(3)
    head = model.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Linear | Conv1D)
        and part is not head
        # A router gives more than one thing, which PEFT's layers don't.
        and "Router" not in type(part).__name__
    }
    left_out = {"out_proj"} if model.config.model_type in _NOT_ALL else set()
    targets = sorted(linear - left_out)
    return get_peft_model(
        model, LoraConfig(r=2, init_lora_weights=False, target_modules=targets)
    ).eval()


def words() -> hf.PreTrainedTokenizerFast:
    """Make a tokenizer whose tokens are the words w3, w4, …"""
    special = {"<pad>": 0, "<s>": 1, "</s>": 2}
    vocabulary = special | {f"w{number}": number for number in range(3, VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<pad>", pad_token="<pad>", bos_token="<s>",
        eos_token="</s>",
    )  # fmt: skip


def examples(longest: int, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    """Make prompts of many lengths, some with a common beginning, with answers that branch."""
    generator = random.Random(seed)

    def text(count: int) -> list[str]:
        return [f"w{generator.randrange(3, VOCABULARY)}" for _ in range(count)]

    head = text(max(2, longest // 4))
    prompts: list[str] = []
    answers: list[list[str]] = []
    for place, length in enumerate(
        sorted({3, 5, longest // 4, longest // 3, longest // 2, 3 * longest // 4, longest - 5})
    ):
        start = head if place % 2 else []
        prompts.append(" ".join((start + text(length))[:length]))
        first = text(4)
        answers.append(
            [
                " " + " ".join(one)
                for one in (
                    [first, text(3), [*first[:2], *text(3)], text(1)],
                    [text(2)],
                    [first, [*first[:1], *text(4)]],
                )[place % 3]
            ]
        )
    return prompts, answers


def flat(rows: list[list[float]]) -> list[float]:
    return [value for row in rows for value in row]


@torch.inference_mode()
def plainly(model, tokenizer, prompts, answers) -> list[list[float]]:
    """Score by plain forward passes, a sequence a call, each by a model that has read no other."""
    scored: list[list[float]] = []
    for prompt, texts in zip(prompts, answers, strict=True):
        scored.append([])
        for text in texts:
            tail = tokenizer(text).input_ids
            ids = torch.tensor([tokenizer(prompt).input_ids + tail[:-1]])
            model(input_ids=ids[:, :1], use_cache=False)  # what a longer prompt left is forgotten
            logits = model(input_ids=ids, use_cache=False).logits[0, -len(tail) :]
            logprobs = torch.log_softmax(logits.float(), -1)
            scored[-1].append(float(logprobs.gather(1, torch.tensor(tail)[:, None]).sum()))
    return scored


def compare(lm: FastLM, plain) -> tuple[float, set[str]]:
    """Score short prompts, then long ones, then all of them in every way that is open to them.

    Args:
        lm: The scorer.
        plain: From prompts and answers to the log-probabilities wanted.

    Returns:
        The largest error, nats, and the ways taken.
    """
    from dormant.scoring.encoding import encode_prompts

    worst, ways = 0.0, set[str]()
    for longest in (WINDOW, LONGEST):
        prompts, answers = examples(longest)
        wanted = flat(plain(prompts, answers))
        scored = lm.score(prompts, answers)
        found = [one.logprob for row in scored for one in row]
        worst = max(worst, *(abs(a - b) for a, b in zip(found, wanted, strict=True)))
        ways |= {*lm.mode.split(", ")}
        rows = encode_prompts(lm, prompts, answers)
        for mode in lm._forward.modes:
            places = [row.index for row in rows if row.longest <= lm._forward.limit(mode)]
            if not places:
                continue
            predicted = lm._forward([rows[place] for place in places], mode, half=False)
            some = flat([plain([prompts[p]], [answers[p]])[0] for p in places])
            found = [one.logprob for row in predicted for one in row]
            worst = max(worst, *(abs(a - b) for a, b in zip(found, some, strict=True)))
    return worst, ways


@dataclass(frozen=True)
class Outcome:
    """What was measured on one model.

    Attributes:
        errors: The largest error with the adapter off and on, nats.
        ways: How the prompts were run.
        limits: Up to what length each way may be taken.
    """

    errors: tuple[float, float]
    ways: tuple[str, ...]
    limits: tuple[float, float]


def measure(setting: Setting) -> Outcome:
    """Compare a model's scores with plain forward passes, its adapter off and on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = words()
        lm = FastLM(
            pretrained=adapted(build(setting)), tokenizer=tokenizer, precision="float32",
            batch_size=4, max_length=128,
        )  # fmt: skip
        ways: set[str] = set()
        with lm.model.disable_adapter():
            plain = build(setting)
            off, taken = compare(lm, lambda *given: plainly(plain, tokenizer, *given))
            ways |= taken
        on, taken = compare(lm, lambda *given: plainly(lm.model, tokenizer, *given))
    order = ("prefix tree", "rows", "harness")
    return Outcome((off, on), tuple(w for w in order if w in ways | taken), limits_of(plain.config))


DOCS = Path(__file__).parents[2] / "docs" / "models.md"
_HEAD = "| architecture | run as | error, nats | with an adapter |\n|---|---|---|---|\n"


def line(name: str, outcome: Outcome) -> str:
    off, on = (f"{error:.0e}" for error in outcome.errors)
    return f"| {name} | {', '.join(outcome.ways)} | {off} | {on} |\n"


def table() -> dict[str, tuple[str, float, float]]:
    """Read the table in the documentation: by name how it is run, and both errors."""
    part = DOCS.read_text(encoding="utf-8").partition(_HEAD)[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in row.strip("| ").split("|")] for row in part.splitlines()]
    return {name: (ways, float(off), float(on)) for name, ways, off, on in cells}


def main() -> None:
    """Measure all, and rewrite the table."""
    lines: list[str] = []
    for name, setting in SETTINGS.items():
        lines.append(line(name, measure(setting)))
        print(lines[-1], end="", flush=True)
    text = DOCS.read_text(encoding="utf-8")
    found = re.compile(re.escape(_HEAD) + r"(\|.*\n)*")
    assert found.search(text), f"{DOCS} has no such table"
    DOCS.write_text(found.sub(_HEAD + "".join(lines), text), encoding="utf-8")


if __name__ == "__main__":
    main()
