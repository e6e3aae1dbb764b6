"""Tiny adapters of every kind that PEFT lists, and what plain PEFT makes of them."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dormant.libraries import quiet

WORDS = (
    ":", "red", "wine", "blue", "sky", "calm", "sea", "old", "house", "big", "dog", "small", "cat",
    "green", "leaf", "warm", "sun", "cold", "moon", "Input", "Output", "is", "the", "a", "of",
    "and", "good", "bad", "film", "day", "night", "one", "two", "three", "four", "five", "six",
)  # fmt: skip
PROMPTS = (
    "Input : red wine Output :",
    "the old house is big and the small cat is cold Input : blue sky Output :",
    "a dog",
    "one two three four five six one two three four five six Input : sea Output :",
)
ANSWERS = ((" red wine", " calm"), (" blue sky", " the"), (" is big", " and"), (" sea", " five"))
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 256, "num_key_value_heads": 4, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0,
}  # fmt: skip


def tokenizer(extra: Sequence[str] = (), template: str | None = None) -> Any:
    """A tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ("<pad>", "<s>", "</s>", "<unk>", *WORDS)
    vocabulary = {word: at for at, word in enumerate(words)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        pad_token="<pad>",
    )  # fmt: skip
    made.add_tokens(list(extra))
    made.chat_template = template
    return made


def checkpoint(folder: Path, kind: str = "Llama", *, seed: int = 0, words: bool = True, **changes):
    """Save a model with random weights that are large enough to matter."""
    import torch
    import transformers

    generator = torch.Generator().manual_seed(seed)
    settings = getattr(transformers, f"{kind}Config")(
        **{**SIZES, "vocab_size": len(tokenizer()), **changes}
    )
    model = getattr(transformers, f"{kind}ForCausalLM")(settings).eval()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.ndim > 1 or "bias" in name:
                weights.copy_(torch.randn(weights.shape, generator=generator) * 0.15)
    model.save_pretrained(folder)
    if words:
        tokenizer().save_pretrained(folder)
    return folder


@contextlib.contextmanager
def silent() -> Generator[None]:
    """Let the libraries warn of what they please."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def adapter(
    folder: Path,
    base: Path,
    config: Any,
    *,
    seed: int = 9,
    prepare: Callable[[Any], None] | None = None,
) -> Path:
    """Save an adapter whose trained parameters were all moved at random."""
    import torch
    from peft import get_peft_model
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    with silent():
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        model.config.use_cache = False  # X-LoRA demands it
        if prepare is not None:
            prepare(model)
        peft = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in peft.parameters():
            if weights.requires_grad:
                weights.add_(torch.randn(weights.shape, generator=generator) * 0.1)
    with silent():
        peft.save_pretrained(folder)
    if config.peft_type == "XLORA":
        # PEFT 0.21 takes its classifier's layers for adapters of these names, and saves none.
        own = {k: v for k, v in peft.state_dict().items() if "xlora_classifier" in k}
        save_file(own, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def plain(base: Path, adapter_folder: Path | None = None, words: Any = None) -> list[list[float]]:
    """Log-probabilities by Transformers and PEFT alone, one prompt and answer at a time."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with silent():
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        if adapter_folder is not None:
            model.config.use_cache = False
            model = PeftModel.from_pretrained(model, adapter_folder)
    return forwards(model.eval(), words or tokenizer())


def forwards(model: Any, words: Any) -> list[list[float]]:
    """Log-probabilities of the answers by a model's own forward."""
    import torch

    scored: list[list[float]] = []
    for prompt, answers in zip(PROMPTS, ANSWERS, strict=True):
        scored.append([])
        for answer in answers:
            before, after = words(prompt).input_ids, words(prompt + answer).input_ids
            told = after[len(before) :]
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([after])).logits[0].double()
            # An adapter's virtual tokens come first.
            chosen = logits.log_softmax(-1)[-len(told) - 1 : -1]
            scored[-1].append(float(chosen[torch.arange(len(told)), told].sum()))
    return scored


def dormant(base: Any, tuned: Any, **options: Any) -> tuple[dict[str, list[list[float]]], Any]:
    """Log-probabilities by Dormant, and the pair that gave them."""
    from dormant.models.load import LoadOptions
    from dormant.models.pair import ModelPair
    from dormant.models.spec import parse
    from dormant.scoring.harness import scorer_of

    pair = ModelPair(
        None if base is None else parse(str(base)),
        parse(str(tuned)),
        LoadOptions(dtype="float32", device="cpu", **options),
    )
    scored: dict[str, list[list[float]]] = {}
    for which in ("base", "tuned"):
        if which == "base" and base is None:
            continue
        with warnings.catch_warnings(), pair.open(which) as lm:
            # PyTorch's advice to FRoD, once a process.
            warnings.filterwarnings("ignore", "Sparse invariant")
            rows = scorer_of(lm).score(PROMPTS, ANSWERS)
            scored[which] = [[answer.logprob for answer in row] for row in rows]
    pair.close()
    return scored, pair


def apart(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> float:
    """The largest difference between two sets of log-probabilities, nats."""
    return max(
        abs(a - b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)
    )


@dataclass(frozen=True)
class AdapterCase:
    """One kind of adapter: how it is configured, on which base."""

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    base: Mapping[str, Any] = field(default_factory=dict[str, Any])
    model: str = "Llama"

    def save(self, folder: Path, base: Path) -> Path:
        """Save such an adapter for a base model."""
        from peft import LoraConfig
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
        from peft.utils import PeftType

        settings: dict[str, Any] = {"task_type": "CAUSAL_LM", **self.settings}
        if self.kind == "XLORA":
            experts = [
                adapter(folder.with_name(f"{folder.name}{n}"), base, LoraConfig(**LORA), seed=n)
                for n in range(2)
            ]
            settings["adapters"] = {str(n): str(expert) for n, expert in enumerate(experts)}
        with silent():
            config = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(self.kind)](**settings)
        return adapter(folder, base, config)


QV = {"target_modules": ["q_proj", "v_proj"]}
LORA = {**QV, "r": 4}
TIED = {"tie_word_embeddings": True}
BIASED = {"attention_bias": True, "mlp_bias": True}
VIRTUAL = {"num_virtual_tokens": 3}
CASES: dict[str, AdapterCase] = {
    "LORA": AdapterCase("LORA", LORA),
    "LORA, DoRA": AdapterCase("LORA", {**LORA, "use_dora": True}),
    "LORA, rank-stabilised": AdapterCase("LORA", {**LORA, "use_rslora": True}),
    'LORA, bias="all"': AdapterCase("LORA", {**LORA, "bias": "all"}, BIASED),
    'LORA, bias="lora_only"': AdapterCase("LORA", {**LORA, "bias": "lora_only"}, BIASED),
    "LORA, PiSSA": AdapterCase("LORA", {**LORA, "init_lora_weights": "pissa"}),
    "LORA, OLoRA": AdapterCase("LORA", {**LORA, "init_lora_weights": "olora"}),
    "LORA, orthogonal": AdapterCase("LORA", {**LORA, "init_lora_weights": "orthogonal"}),
    "LORA, MLP and layer norms saved": AdapterCase(
        "LORA", {"target_modules": ["gate_proj"], "r": 4, "modules_to_save": ["input_layernorm"]}
    ),
    "LORA, head saved": AdapterCase("LORA", {**LORA, "modules_to_save": ["lm_head"]}),
    "LORA, embeddings saved": AdapterCase("LORA", {**LORA, "modules_to_save": ["embed_tokens"]}),
    "LORA, tied, embeddings saved": AdapterCase(
        "LORA", {**LORA, "modules_to_save": ["embed_tokens"]}, TIED
    ),
    "LORA, tied, head saved": AdapterCase("LORA", {**LORA, "modules_to_save": ["lm_head"]}, TIED),
    "LORA, tied, both saved": AdapterCase(
        "LORA", {**LORA, "modules_to_save": ["embed_tokens", "lm_head"]}, TIED
    ),
    "LORA, tied, saved and kept tied": AdapterCase(
        "LORA",
        {**QV, "r": 4, "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
        TIED,
    ),
    "LORA, tied, on the head": AdapterCase(
        "LORA", {"target_modules": ["q_proj", "lm_head"], "r": 4}, TIED
    ),
    "LORA, tied, on the embeddings": AdapterCase(
        "LORA", {"target_modules": ["q_proj", "embed_tokens"], "r": 4}, TIED
    ),
    "LORA, some tokens": AdapterCase("LORA", {**LORA, "trainable_token_indices": [5, 6, 7]}),
    "LORA, tied, some tokens": AdapterCase(
        "LORA", {**LORA, "trainable_token_indices": [5, 6, 7]}, TIED
    ),
    "LORA, activated (aLoRA)": AdapterCase("LORA", {**LORA, "alora_invocation_tokens": [24, 4]}),
    "ADALORA": AdapterCase("ADALORA", {**QV, "init_r": 4, "target_r": 4, "total_step": 10}),
    "ADAMSS": AdapterCase("ADAMSS", {**QV, "r": 8, "num_subspaces": 2}),
    "ADAPTION_PROMPT": AdapterCase("ADAPTION_PROMPT", {"adapter_len": 4, "adapter_layers": 2}),
    "BEFT": AdapterCase("BEFT", {"target_modules": ["v_proj"]}),
    "BOFT": AdapterCase("BOFT", {**QV, "boft_block_size": 4}),
    "C3A": AdapterCase("C3A", {**QV, "block_size": 8}),
    "CARTRIDGE": AdapterCase("CARTRIDGE", VIRTUAL),
    "CPT": AdapterCase(
        "CPT",
        {"cpt_token_ids": [5, 6, 7], "cpt_mask": [1, 1, 1], "cpt_tokens_type_mask": [1, 2, 3]},
    ),
    "DEFT": AdapterCase("DEFT", {**QV, "r": 4}),
    "DELORA": AdapterCase("DELORA", {**QV, "r": 4}),
    "FOURIERFT": AdapterCase("FOURIERFT", {**QV, "n_frequency": 20}),
    "FROD": AdapterCase("FROD", QV),
    "GLORA": AdapterCase("GLORA", {**QV, "r": 4}),
    "GRALORA": AdapterCase("GRALORA", {**QV, "r": 4, "gralora_k": 2}),
    "HIRA": AdapterCase("HIRA", {**QV, "r": 4}),
    "HRA": AdapterCase("HRA", {**QV, "r": 4}),
    "IA3": AdapterCase(
        "IA3", {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]}
    ),
    "LILY": AdapterCase("LILY", {**QV, "r": 4}),
    "LN_TUNING": AdapterCase("LN_TUNING", {"target_modules": ["input_layernorm"]}),
    "LOHA": AdapterCase("LOHA", {**QV, "r": 4}),
    "LOKR": AdapterCase("LOKR", {**QV, "r": 4}),
    "MISS": AdapterCase("MISS", {**QV, "r": 4}),
    "MULTITASK_PROMPT_TUNING": AdapterCase(
        "MULTITASK_PROMPT_TUNING", {**VIRTUAL, "num_tasks": 2, "num_ranks": 1}
    ),
    "OFT": AdapterCase("OFT", {**QV, "oft_block_size": 4}),
    "OSF": AdapterCase("OSF", {**QV, "effective_rank": 8}),
    "PEANUT": AdapterCase("PEANUT", {**QV, "r": 4}),
    "POLY": AdapterCase("POLY", {**QV, "r": 4, "n_skills": 2}),
    "PREFIX_TUNING": AdapterCase("PREFIX_TUNING", VIRTUAL),
    "PREFIX_TUNING, projected": AdapterCase(
        "PREFIX_TUNING", {**VIRTUAL, "prefix_projection": True, "encoder_hidden_size": 8}
    ),
    "PROMPT_TUNING": AdapterCase("PROMPT_TUNING", VIRTUAL),
    "PSOFT": AdapterCase("PSOFT", {**QV, "r": 4}),
    "PVERA": AdapterCase("PVERA", {**QV, "r": 4}),
    "P_TUNING": AdapterCase("P_TUNING", {**VIRTUAL, "encoder_hidden_size": 8}),
    "RANDLORA": AdapterCase("RANDLORA", {**QV, "r": 4}),
    "ROAD": AdapterCase("ROAD", {**QV, "group_size": 4}),
    "SHADOW": AdapterCase("SHADOW", {"r": 4}),
    "SHIRA": AdapterCase("SHIRA", {**QV, "r": 2}),
    "SUPERTUNING": AdapterCase("SUPERTUNING", {**QV, "sparsity": 0.9}),
    "TINYLORA": AdapterCase("TINYLORA", {**QV, "r": 2, "u": 8}),
    "TRAINABLE_TOKENS": AdapterCase("TRAINABLE_TOKENS", {"token_indices": [5, 6, 7]}),
    "TRAINABLE_TOKENS, tied": AdapterCase("TRAINABLE_TOKENS", {"token_indices": [5, 6, 7]}, TIED),
    "UNILORA": AdapterCase("UNILORA", {**QV, "r": 4, "theta_d_length": 16}),
    "VBLORA": AdapterCase("VBLORA", {**QV, "r": 4, "num_vectors": 8, "vector_length": 8}),
    "VERA": AdapterCase("VERA", {**QV, "r": 4}),
    "VERA, projection not saved": AdapterCase("VERA", {**QV, "r": 4, "save_projection": False}),
    "WAVEFT": AdapterCase("WAVEFT", {**QV, "n_frequency": 20}),
    "XLORA": AdapterCase("XLORA", {"hidden_size": 32, "xlora_depth": 1}),
}


def with_adapter(model: Any, **changes: Any) -> Any:
    """Put a LoRA on a copy of a model, all of whose parameters were moved."""
    import torch
    from peft import LoraConfig, get_peft_model

    settings = {**LORA, "task_type": "CAUSAL_LM", **changes}
    with silent():
        peft = get_peft_model(copy.deepcopy(model), LoraConfig(**settings)).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weights in peft.parameters():
            if weights.requires_grad:
                weights.add_(torch.randn(weights.shape, generator=generator) * 0.1)
    return peft
