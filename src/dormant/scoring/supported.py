"""Which models the fast scorer takes: a positive list, each entry held by a test.

`tests/scoring/test_supported.py` builds a tiny random model of every architecture named here, and
compares long, branching, mixed-length batches, past windows and original contexts, adapter on and
off, with plain forward passes, a sequence a call. What isn't here, or is set up in a way that isn't
tested, goes to the harness's own path. The errors measured are in docs/models.md. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from dormant.scoring.wrappers import acts_in_wrapper, adapter_kind


class Support(NamedTuple):
    """How an architecture may be run.

    Attributes:
        tree: Whether shared prefixes may be read once, with an attention of our own; recurrent
            layers, positions that are not said, and biases by place don't allow it.
        split: Whether layers and output head may be called apart.
        window: Whether each layer tells its attention the window that it has, which ours then
            keeps; else sequences along a tree are no longer than it.
    """

    tree: bool = True
    split: bool = True
    window: bool = False


class Limits(NamedTuple):
    """Tokens of the longest sequence that may be run in a way; infinite where any may.

    Attributes:
        tree: Along a prefix tree: no chunk of attention may end inside a sequence, and no window
            that ours isn't told of.
        rows: Padded beside others: positions may not be scaled by the longest of a batch.
    """

    tree: float
    rows: float


ATTENTION = ("sdpa", "eager")
"""Implementations of attention that models were tested with."""

_SUPPORT: Mapping[str, Support] = {
    **dict.fromkeys(
        (
            "afmoe", "apertus", "arcee", "aria_text", "biogpt", "bitnet", "cwm", "dbrx",
            "deepseek_v2", "deepseek_v3", "diffllama", "doge", "dots1", "ernie4_5",
            "ernie4_5_moe", "exaone4", "exaone_moe", "flex_olmo", "gemma", "gemma3_text",
            "gemma4_text", "glm", "glm4", "glm4_moe", "glm4_moe_lite", "gpt2", "gpt_bigcode",
            "gpt_neox", "granite", "granitemoe", "granitemoeshared", "helium",
            "hunyuan_v1_dense", "hunyuan_v1_moe", "hyperclovax", "jais2", "jetmoe", "laguna",
            "llama", "llama4_text", "mellum", "minimax_m2", "ministral", "ministral3", "mistral",
            "mixtral", "olmo", "olmo2", "olmo3", "olmoe", "opt", "persimmon", "phi", "phi3",
            "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss", "smollm3",
            "solar_open", "starcoder2",
        ),
        Support(),
    ),
    **dict.fromkeys(
        ("cohere", "cohere2", "cohere2_moe", "minicpm3", "modernbert-decoder", "nanochat"),
        Support(split=False),
    ),
    **dict.fromkeys(
        (
            "bamba", "bloom", "codegen", "falcon", "falcon_h1", "falcon_mamba", "gpt_neo",
            "gpt_neox_japanese", "gpt_oss", "gptj", "granitemoehybrid", "jamba", "lfm2",
            "lfm2_moe", "mamba", "mamba2", "minimax", "mpt", "nemotron", "olmo_hybrid",
            "openai-gpt", "qwen3_5_text", "qwen3_5_moe_text", "qwen3_next", "rwkv", "stablelm",
            "xglm",
        ),
        Support(tree=False),
    ),
    **dict.fromkeys(("gemma2", "vaultgemma"), Support(tree=False, split=False)),
}  # fmt: skip

_TELL_WINDOWS = (
    "afmoe", "cohere2", "cohere2_moe", "cwm", "dots1", "exaone4", "exaone_moe", "gemma3_text",
    "gemma4_text", "laguna", "mellum", "ministral", "ministral3", "mistral", "mixtral",
    "modernbert-decoder", "olmo3", "phi3", "qwen2", "qwen3", "starcoder2",
)  # fmt: skip
"""Architectures whose layers tell their attention what window they have."""

SUPPORTED: Mapping[str, Support] = {
    name: support._replace(window=name in _TELL_WINDOWS) for name, support in _SUPPORT.items()
}
"""Architectures by Transformers' `model_type`."""

ADAPTERS = frozenset(
    {"ADALORA", "BOFT", "C3A", "DELORA", "FOURIERFT", "GRALORA", "HRA", "IA3", "LN_TUNING", "LOHA",
     "LOKR", "LORA", "MISS", "OFT", "RANDLORA", "ROAD", "SHIRA", "TRAINABLE_TOKENS", "VBLORA",
     "VERA", "WAVEFT"}
)  # fmt: skip
"""PEFT's kinds that change layers, token by token, and nothing else. Others add virtual tokens,
choose by the prompt, or change the model's forward pass: they act through the wrapper's own."""

_ADAPTER_OPTIONS = ("arrow_config",)
"""Settings by which one of these kinds looks at more than its token."""

_WINDOWS = ("sliding_window", "local_attention")
_CHUNKS = ("attention_chunk_size", "window_size", "keep_window_size")
"""Settings that say how far attention sees; all are taken for the whole model's."""

_ONLY_WEIGHTS = ("awq", "gguf", "gptq", "hqq")
"""Quantisations that leave a layer's inputs as they are, as bitsandbytes' 4-bit one does."""

_STEADY = ("default", "linear", "llama3", "yarn", "proportional")
"""Scalings of rotary positions that don't look at a batch's length."""


def support_of(model: Any, adapted: Any = None) -> Support | None:
    """Say how a model may be run; `None` where only its own forward pass is known to be right.

    Args:
        model: A model of Transformers.
        adapted: The same in PEFT's wrapper, where it has one.
    """
    config = text_config(model.config)
    known = (
        # Code that came with a checkpoint may call itself by any name.
        type(model).__module__.startswith("transformers.models.")
        and getattr(config, "_attn_implementation", None) in ATTENTION
        and getattr(config, "use_bidirectional_attention", None) in (None, False, "vision")
        # Models of text and images have masks of their own, which weren't tested.
        and config is model.config
        and not getattr(config, "is_encoder_decoder", False)
        and not rounds_activations(config)
        and (adapted is None or adapted is model or _plain_adapters(adapted))
    )
    return SUPPORTED.get(str(config.model_type)) if known else None


def limits_of(config: Any) -> Limits:
    """Return how long sequences may be."""
    config = text_config(config)
    rows = min((_steady_up_to(config, scaling) for scaling in scalings(config)), default=math.inf)
    kept = SUPPORTED.get(str(config.model_type), Support()).window
    unused = getattr(config, "use_sliding_window", None) is False
    names = [*_CHUNKS, *(() if kept else _WINDOWS[1:] if unused else _WINDOWS)]
    windows = [getattr(config, name, None) for name in names]
    sizes = [size for size in windows if isinstance(size, int) and size > 0]
    return Limits(min([*sizes, rows]), rows)


def remembers_lengths(config: Any) -> bool:
    """Say whether a model's numbers depend on the longest prompt that came before."""
    return any("dynamic" in kind(scaling) for scaling in scalings(text_config(config)))


def scalings(config: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the settings of rotary positions, which may differ by kind of layer."""
    for name in ("rope_parameters", "rope_scaling"):
        given = getattr(config, name, None)
        if isinstance(given, Mapping):
            values = cast("Mapping[str, Any]", given)
            parts = [part for part in values.values() if isinstance(part, Mapping)]
            # Lists of factors are values too, so a group is known by its kind.
            yield from (values,) if kind(values) != "default" or not parts else parts


def kind(scaling: Mapping[str, Any]) -> str:
    """Return the kind of a scaling of rotary positions."""
    return str(scaling.get("rope_type", scaling.get("type", "default")))


def _steady_up_to(config: Any, scaling: Mapping[str, Any]) -> float:
    """Return the length up to which a scaling doesn't look at it."""
    name = kind(scaling)
    if name in _STEADY:
        return math.inf
    trained = scaling.get(
        "original_max_position_embeddings",
        getattr(config, "original_max_position_embeddings", None),
    )
    if name == "longrope" and isinstance(trained, int):
        return trained
    longest = getattr(config, "max_position_embeddings", None)
    if name == "dynamic" and isinstance(longest, int):
        # At this length already it keeps what a longer prompt before it left.
        return longest - 1
    return 0


def text_config(config: Any) -> Any:
    """Return the part of a model's configuration that is about its language model."""
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def rounds_activations(config: Any) -> bool:
    """Say whether a quantisation may round a token's numbers by those of others in its batch."""
    given = getattr(config, "quantization_config", None)
    if given is None:
        return False
    values = cast("dict[str, Any]", given if isinstance(given, dict) else vars(given))
    method = values.get("quant_method")
    only_weights = getattr(method, "value", method) in _ONLY_WEIGHTS
    # The setting stands behind a property.
    return not only_weights and not (values.get("load_in_4bit") or values.get("_load_in_4bit"))


def _plain_adapters(adapted: Any) -> bool:
    configs: Any = getattr(adapted, "peft_config", None)
    return (
        type(adapted).__module__.startswith("peft.")
        and not acts_in_wrapper(adapted)
        and isinstance(configs, dict)
        and all(
            adapter_kind(one) in ADAPTERS
            and not any(getattr(one, name, None) for name in _ADAPTER_OPTIONS)
            for one in cast("dict[str, Any]", configs).values()
        )
    )
