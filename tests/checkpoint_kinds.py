"""Tiny checkpoints as people save them, rightly and wrongly, and what becomes of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import adapter_kinds as kinds


def renamed(folder: Path, change: Callable[[str], str | None], **more: Any) -> Path:
    """Save a checkpoint's tensors under other names; `None` leaves one out."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    tensors = {change(name): tensor for name, tensor in load_file(file).items()}
    kept = {name: tensor for name, tensor in tensors.items() if name is not None}
    save_file({**kept, **more}, file, metadata={"format": "pt"})
    return folder


def only(*parts: str) -> Callable[[str], str | None]:
    """Leave out tensors whose names have one of these parts."""
    return lambda name: None if any(part in name for part in parts) else name


def emptied(folder: Path) -> Path:
    """Leave the names and no numbers, as ZeRO-3 does where shards were not gathered."""
    import torch
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    names = load_file(file)
    save_file({name: torch.empty(0) for name in names}, file, metadata={"format": "pt"})
    return folder


def classifier(folder: Path) -> Path:
    """Save a model with a classification head over the same config."""
    import torch

    return renamed(folder, only("lm_head"), **{"score.weight": torch.ones(2, 32)})


def unmerged(folder: Path) -> Path:
    """Save a model with an adapter's tensors beside its own."""
    import torch

    name = "model.layers.0.self_attn.q_proj.lora_A.weight"
    return renamed(folder, lambda name: name, **{name: torch.ones(4, 32)})


def with_value_head(folder: Path) -> Path:
    """Save a model with a head more than a language model has."""
    import torch

    return renamed(folder, lambda name: name, **{"v_head.summary.weight": torch.ones(1, 32)})


def resaved(folder: Path, **options: Any) -> Path:
    """Save a model again, in another form."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, **options)
    return folder


def as_pickle(folder: Path) -> Path:
    """Save the weights as PyTorch does."""
    import torch
    from safetensors.torch import load_file

    file = folder / "model.safetensors"
    torch.save(load_file(file), folder / "pytorch_model.bin")
    file.unlink()
    return folder


def untied_in_file(folder: Path) -> Path:
    """Save a head of its own under a configuration that ties it."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors")
    head = tensors["model.embed_tokens.weight"].flip(0).contiguous()
    return renamed(folder, lambda name: name, **{"lm_head.weight": head})


@dataclass(frozen=True)
class CheckpointCase:
    """One kind of checkpoint.

    Attributes:
        change: What is done to a checkpoint that is right.
        arguments: With what it is loaded.
        settings: Its configuration.
        words: Whether it has a tokenizer.
        cause: A part of the error, where it must be refused.
    """

    change: Callable[[Path], Path] = lambda folder: folder
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    words: bool = True
    cause: str | None = None

    def save(self, folder: Path) -> Path:
        """Save such a checkpoint."""
        made = kinds.checkpoint(folder, seed=3, words=self.words, **self.settings)
        return self.change(made)

    def right(self, folder: Path) -> list[list[float]]:
        """What plain Transformers makes of the same weights, saved rightly."""
        made = kinds.checkpoint(folder, seed=3, **self.settings)
        return kinds.plain(untied_in_file(made) if self.change is untied_in_file else made)

    def outcome(self, folder: Path) -> tuple[str, str, str, str]:
        """What the table says of it: loads, base exact, tuned exact, copies."""
        from dormant.errors import DormantError

        base = kinds.checkpoint(folder / "base")
        try:
            scored, _ = kinds.dormant(
                base, self.save(folder / "tuned"), model_args=dict(self.arguments)
            )
        except DormantError as error:
            found = self.cause if self.cause and self.cause in str(error) else f"NO: {error}"
            return f"no: {found}", "–", "–", "–"
        exact = [
            "yes" if kinds.apart(scored[which], wanted) <= 1e-4 else "NO"
            for which, wanted in (
                ("base", kinds.plain(base)),
                ("tuned", self.right(folder / "right")),
            )
        ]
        return "yes", *exact, "two"


TIED = {"tie_word_embeddings": True}
CHECKPOINTS: dict[str, CheckpointCase] = {
    "safetensors": CheckpointCase(),
    "safetensors in shards": CheckpointCase(lambda f: resaved(f, max_shard_size="20KB")),
    "pytorch_model.bin": CheckpointCase(as_pickle),
    "tied embeddings": CheckpointCase(settings=TIED),
    "tied by its configuration, with a head of its own": CheckpointCase(
        untied_in_file, settings=TIED
    ),
    "tied, saved with the head alone": CheckpointCase(
        lambda f: renamed(f, lambda n: n.replace("model.embed_tokens.weight", "lm_head.weight")),
        settings=TIED,
    ),
    "saved by its inner model, tied": CheckpointCase(
        lambda f: renamed(f, lambda n: n.removeprefix("model.")), settings=TIED
    ),
    "with old rotary buffers": CheckpointCase(
        lambda f: renamed(
            f, lambda n: n, **{"model.layers.0.self_attn.rotary_emb.inv_freq": _zeros(4)}
        )
    ),
    "without a tokenizer": CheckpointCase(words=False),
    "under torch.compile": CheckpointCase(
        lambda f: renamed(f, "_orig_mod.{}".format), cause="strip_prefix=_orig_mod."
    ),
    "under torch.compile, strip_prefix=_orig_mod.": CheckpointCase(
        lambda f: renamed(f, "_orig_mod.{}".format), {"strip_prefix": "_orig_mod."}
    ),
    "layers under torch.compile, strip_prefix=_orig_mod.": CheckpointCase(
        lambda f: renamed(f, lambda n: n.replace("layers.1.", "layers.1._orig_mod.")),
        {"strip_prefix": "_orig_mod."},
    ),
    "under DistributedDataParallel": CheckpointCase(
        lambda f: renamed(f, "module.{}".format), cause="strip_prefix=module."
    ),
    "under DistributedDataParallel, strip_prefix=module.": CheckpointCase(
        lambda f: renamed(f, "module.{}".format), {"strip_prefix": "module."}
    ),
    "tied, under a trainer's own name, strip_prefix=student.": CheckpointCase(
        lambda f: renamed(f, "student.{}".format), {"strip_prefix": "student."}, TIED
    ),
    "under a trainer's own name": CheckpointCase(
        lambda f: renamed(f, "student.{}".format), cause="strip_prefix=student."
    ),
    "without its head": CheckpointCase(
        lambda f: renamed(f, only("lm_head")), cause="without its output layer"
    ),
    "without a layer's MLP": CheckpointCase(
        lambda f: renamed(f, only("layers.1.mlp")), cause="the file is incomplete"
    ),
    "with a classification head": CheckpointCase(classifier, cause="another head"),
    "with an unmerged adapter": CheckpointCase(unmerged, cause="merge_and_unload"),
    "with a value head": CheckpointCase(with_value_head, cause="ignore_keys=v_head."),
    "with a value head, ignore_keys=v_head.": CheckpointCase(
        with_value_head, {"ignore_keys": "v_head."}
    ),
    "empty, of ZeRO-3": CheckpointCase(emptied, cause="ZeRO-3"),
    "without tensors": CheckpointCase(
        lambda f: renamed(f, lambda _: None), cause="holds no tensor"
    ),
    "of other sizes": CheckpointCase(
        lambda f: renamed(
            f, only("layers.0.mlp.up_proj"), **{"model.layers.0.mlp.up_proj.weight": _zeros(9, 32)}
        ),
        cause="other sizes",
    ),
}


def _zeros(*shape: int) -> Any:
    import torch

    return torch.zeros(*shape)
