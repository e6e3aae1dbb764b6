"""A LoRA adapter of a Llama as llama.cpp takes it: its format, its names, its order of rows.

cd packages/dormant-data/src/dormant_data/adapters
python …/benchmarks/llama_adapter.py sentiment adapter.gguf
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_adapter(folder: Path, file: Path, heads: int, key_heads: int) -> None:
    """Write a PEFT adapter of a Llama as GGUF.

    Args:
        folder: The adapter's.
        file: The file to write.
        heads: Attention heads of the base.
        key_heads: Its heads of keys and values.

    Raises:
        ValueError: It changes more than the layers' own matrices.
    """
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(config["lora_alpha"]))
    pattern = re.compile(r".*\.layers\.(\d+)\.(\w+\.\w+)\.lora_(A|B)\.weight")
    for name, array in load_file(folder / "adapter_model.safetensors").items():
        found = pattern.fullmatch(name)
        if found is None or found[2] not in NAMES:
            raise ValueError(f"{folder}: {name} is no matrix that is known here")
        place, part, side = found.groups()
        if side == "B" and part.endswith(("q_proj", "k_proj")):
            array = paired(array, heads if part.endswith("q_proj") else key_heads)
        # The smaller matrices are kept in float32: they are few.
        writer.add_tensor(f"blk.{place}.{NAMES[part]}.weight.lora_{side.lower()}",
                          array.astype("float32"))  # fmt: skip
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def paired(rows: Any, heads: int) -> Any:
    """Put rows in llama.cpp's order, which turns pairs of neighbours where Transformers halves."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1)
    return halves.swapaxes(1, 2).reshape(rows.shape)


if __name__ == "__main__":
    # SmolLM2-135M's heads, whose adapters come with Dormant.
    write_adapter(Path(sys.argv[1]), Path(sys.argv[2]), heads=9, key_heads=3)
