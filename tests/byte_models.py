"""Tiny random Llamas over bytes, in users' formats; made in milliseconds."""

from __future__ import annotations

import copy

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}


def byte_tokenizer(*, template=TEMPLATE, added=()):
    """Return a tokenizer whose tokens are bytes, "th", an end of text, and those that are added."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: number for number, word in enumerate([*alphabet, "th", "<|end|>"])}
    inner = Tokenizer(models.BPE(vocab=words, merges=[("t", "h")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>")
    tokenizer.add_tokens(list(added))
    tokenizer.chat_template = template
    return tokenizer


def byte_llama(seed=0, **config):
    """Return a random Llama that is far from uniform."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {"vocab_size": 258, "eos_token_id": 257, "bos_token_id": 257, **SMALL, **config}
    model = LlamaForCausalLM(LlamaConfig(**settings)).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.normal_(std=0.2)
    return model


def saved(model, folder, tokenizer=None):
    """Write a model and a tokenizer to disk; return where."""
    model.save_pretrained(folder)
    (tokenizer or byte_tokenizer()).save_pretrained(folder)
    return folder


def lora(base, folder, *, scale=1.0, seed=1):
    """Write a random LoRA adapter for a base on disk, and its merged copy at a scale.

    Returns:
        The adapter's directory and that of the merged copy.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from dormant.libraries import quiet

    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    with quiet():
        tuned = get_peft_model(model, config)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weights in tuned.named_parameters():
            if "lora_" in name:
                weights.normal_(std=0.1)
    tuned.save_pretrained(folder / "adapter")
    merged = copy.deepcopy(tuned)
    for part in merged.modules():
        if hasattr(part, "lora_A"):
            part.scaling["default"] *= scale
    merged.merge_and_unload().save_pretrained(folder / "merged")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder / "merged")
    return folder / "adapter", folder / "merged"


def write_gguf(model, file, *, begins=False):
    """Write a Llama over bytes as llama.cpp's converter does, in float32.

    Args:
        begins: Whether its tokenizer is told to begin with BOS.
    """
    import gguf

    config = model.config
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    vocabulary = sorted(byte_tokenizer().get_vocab().items(), key=lambda pair: pair[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([word for word, _ in vocabulary])
    writer.add_token_types([1] * 257 + [3])
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(257)
    writer.add_bos_token_id(257)
    if begins:
        writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weights in model.state_dict().items():
        array = weights.numpy()
        for part, heads in (
            ("q_proj", config.num_attention_heads),
            ("k_proj", config.num_key_value_heads),
        ):
            if part in name:
                # llama.cpp turns pairs of neighbours where Transformers turns halves.
                halves = array.reshape(heads, 2, array.shape[0] // heads // 2, -1)
                array = halves.swapaxes(1, 2).reshape(array.shape)
        stem = name.removesuffix(".weight")
        writer.add_tensor(f"{names.get_name(stem)}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
