"""How much memory a model's weights take, from what is on disk and without loading them."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dormant.devices import pick_device
from dormant.errors import DormantError
from dormant.files import json_file
from dormant.models.arguments import LoadOptions
from dormant.models.pair import ModelPair
from dormant.models.spec import ModelSpec, parse

_BYTES: Mapping[str, float] = {
    "float64": 8, "float32": 4, "float": 4, "bfloat16": 2, "float16": 2, "half": 2,
    "F64": 8, "F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
_FLOATS = ("F64", "F32", "BF16", "F16", "F8_E4M3", "F8_E5M2")
_DEQUANTISED = 16
"""A .gguf file has two bits a weight at least, and float32 sixteen times as many."""
_PACKED: Mapping[str, float] = {"load_in_4bit": 0.5625, "load_in_8bit": 1.0}
"""Bytes a weight that bitsandbytes packs, with a float32 scale for every 64 of four bits."""
_APART = ("embed", "lm_head", "wte", "wpe", "norm", "bias")
"""Parts of tensors' names that it leaves in the model's dtype."""


class Tensor(NamedTuple):
    """A tensor of a checkpoint: its name, how many numbers, and safetensors' name of their type."""

    name: str
    numbers: int
    dtype: str


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint's files say of its weights.

    Attributes:
        tensors: Its tensors.
        dtype: The type that its configuration names.
        quantised: Whether they are quantised, and stay so in memory.
        packed: Where they are, and only their shapes are known: as which of bitsandbytes' forms
            they are counted.
    """

    tensors: tuple[Tensor, ...]
    dtype: str | None = None
    quantised: bool = False
    packed: str | None = None

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return sum(tensor.numbers for tensor in self.tensors)

    def bytes(self, dtype: str = "auto", packed: str | None = None) -> int:
        """Return the bytes of memory that its weights take.

        Args:
            dtype: The type they are loaded in; "auto" is the checkpoint's own.
            packed: "load_in_4bit" or "load_in_8bit", where bitsandbytes packs them.
        """
        wanted = (self.dtype if dtype == "auto" else dtype) or ""
        packed = packed or self.packed
        total = 0.0
        kept = self.quantised and not self.packed
        for tensor in self.tensors:
            size = _BYTES.get(tensor.dtype, 4)
            if packed and not any(part in tensor.name for part in _APART):
                size = _PACKED[packed]
            elif not kept and tensor.dtype in _FLOATS and wanted in _BYTES:
                size = _BYTES[wanted]
            total += size * tensor.numbers
        return math.ceil(total)


def checkpoint_of(spec: ModelSpec) -> Checkpoint | None:
    """Read a checkpoint's sizes; `None` where nothing on this machine tells them.

    Headers of ``.safetensors`` files, the index of a ``.gguf`` file, the sizes of pickled weights,
    or the shapes that the configuration gives a model that isn't there.
    """
    if spec.kind == "adapter":
        return checkpoint_of(parse(spec.base)) if spec.base else None
    if spec.kind == "gguf":
        return _gguf(Path(spec.location))
    folder = _folder(spec.location) if spec.kind == "hf" else None
    if folder is None:
        return None
    config = json_file(folder / "config.json")
    dtype = config.get("dtype") or config.get("torch_dtype")
    quantised = "quantization_config" in config
    files = sorted(folder.glob("*.safetensors"))
    tensors = tuple(tensor for file in files for tensor in _header(file))
    tensors = tensors or _pickled(folder, str(dtype))
    packed = None
    if not tensors:
        tensors = _shapes(folder)
        packed = _bits(config["quantization_config"]) if quantised else None
    if not tensors:
        return None
    return Checkpoint(tensors, str(dtype) if dtype else None, quantised, packed)


def weights_in_memory(spec: ModelSpec, options: LoadOptions) -> int | None:
    """Return the bytes that a model's weights will take; `None` where nothing tells."""
    checkpoint = checkpoint_of(spec)
    if checkpoint is None:
        return None
    dtype = options.asked_dtype
    packed = next((name for name in _PACKED if options.model_args.get(name)), None)
    return checkpoint.bytes(dtype, packed)


def room(options: LoadOptions) -> tuple[int, str] | None:
    """Return the memory of the device that a model is loaded on, in bytes, and its name.

    All of it, not what is free just now; `None` where it can't be told.
    """
    device = pick_device(options.device)
    spread = options.model_args.get("device_map") or options.model_args.get("parallelize")
    if device.startswith("cuda"):
        import torch

        every = range(torch.cuda.device_count()) if spread else [torch.device(device)]
        total = sum(torch.cuda.mem_get_info(one)[1] for one in every)
        # What is spread goes on in main memory.
        return (
            (total + (_main_memory() or 0), "GPUs and main memory") if spread else (total, device)
        )
    main = _main_memory()
    return None if main is None else (main, "main memory")


def refuse_too_large(pair: ModelPair) -> None:
    """Refuse models whose weights alone are larger than the memory that they are to be in.

    Raises:
        DormantError: One is; the message names the option with which it would fit.
    """
    for which, model in pair.models().items():
        if not isinstance(model, ModelSpec):
            continue
        options = pair.options_of(which)
        # An adapter's own weights are small.
        whole = parse(model.base) if model.kind == "adapter" and model.base else model
        if whole.kind != "gguf" or _may_be_large(whole, options):
            _refuse(model, options)


def _refuse(spec: ModelSpec, options: LoadOptions) -> None:
    needed = weights_in_memory(spec, options)
    there = None if needed is None else room(options)
    if needed is None or there is None or needed <= there[0]:
        return
    size, where = there
    raise DormantError(
        f"model {spec.text!r}: its weights take {gigabytes(needed)} and {where} has "
        f"{gigabytes(size)}: {_way_out(spec, options, size)}"
    )


def _way_out(spec: ModelSpec, options: LoadOptions, size: int) -> str:
    """Name the first option under which a model would fit."""
    checkpoint = checkpoint_of(spec)
    assert checkpoint is not None
    ways = [("--dtype bfloat16", checkpoint.bytes("bfloat16"))]
    ways += [
        (f"--model-args {name}=True,dtype=bfloat16", checkpoint.bytes("bfloat16", name))
        for name in ("load_in_8bit", "load_in_4bit")
        if spec.kind != "gguf" and not checkpoint.quantised
    ]
    for option, needed in ways:
        if needed <= size:
            return f"{option} takes {gigabytes(needed)}"
    main = _main_memory() or 0
    if pick_device(options.device).startswith("cuda") and ways[0][1] <= size + main:
        return "--model-args device_map=auto spreads it over GPUs and main memory"
    return "use a smaller model, or a server (BACKEND:ARGS)"


def gigabytes(size: float) -> str:
    """Write a number of bytes for people: "13.5 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _may_be_large(spec: ModelSpec, options: LoadOptions) -> bool:
    """Whether a .gguf file is worth parsing: its header holds a vocabulary, which takes seconds."""
    there = room(options)
    return there is not None and Path(spec.location).stat().st_size * _DEQUANTISED > there[0]


def _folder(location: str) -> Path | None:
    """Return a checkpoint's directory: its own, or the hub's on this machine."""
    if Path(location).is_dir():
        return Path(location)
    from huggingface_hub import try_to_load_from_cache

    cached: object = try_to_load_from_cache(location, "config.json")
    return Path(cached).parent if isinstance(cached, str) else None


def _header(file: Path) -> Iterator[Tensor]:
    """Read the header of a .safetensors file: eight bytes of length, then JSON."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            said: dict[str, Any] = json.loads(stream.read(length))
    except (OSError, ValueError, struct.error):
        return  # Damaged: loading says so.
    for name, entry in said.items():
        if name != "__metadata__":
            yield Tensor(name, math.prod(entry["shape"]), str(entry["dtype"]))


def _gguf(file: Path) -> Checkpoint | None:
    from gguf import GGUFReader

    try:
        tensors: Any = GGUFReader(str(file)).tensors
    except (OSError, ValueError):
        return None
    # They are dequantised when they are loaded.
    return Checkpoint(tuple(Tensor(t.name, int(t.n_elements), "F32") for t in tensors), "float32")


def _pickled(folder: Path, dtype: str) -> tuple[Tensor, ...]:
    size = _BYTES.get(dtype, 4)
    kind = "BF16" if size == 2 else "F32"
    files = sorted(folder.glob("pytorch_model*.bin"))
    return tuple(Tensor(f.name, int(f.stat().st_size / _BYTES[kind]), kind) for f in files)


def _shapes(folder: Path) -> tuple[Tensor, ...]:
    """Return the tensors that a configuration gives a model, made without memory."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception:
        # Any configuration may be there; what can't be loaded is said when it is.
        return ()
    return tuple(Tensor(name, w.numel(), "F32") for name, w in model.named_parameters())


def _bits(said: dict[str, Any]) -> str:
    four = said.get("load_in_4bit") or said.get("bits", said.get("w_bit")) == 4
    return "load_in_4bit" if four else "load_in_8bit"


def _main_memory() -> int | None:
    """Return this machine's memory, or what this process may have of it."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total
