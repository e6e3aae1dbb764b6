"""Which tensors a file has and a model wants, and why the two differ: no torch, only names.

A tensor that a file doesn't have is made up at random by whoever loads it, and one that a model
has no place for is dropped. Either way the numbers are of another model than the user's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]

_WRAPPERS = {
    "_orig_mod.": "torch.compile",
    "module.": "DistributedDataParallel",
    "_fsdp_wrapped_module.": "FSDP",
    "_checkpoint_wrapped_module.": "activation checkpointing",
    "pretrained_model.": "TRL's model with a value head",
}
_HEADS = ("score.", "classifier.", "classification_head.", "v_head.", "qa_outputs.", "value_head.")
_ADAPTER = (".lora_", ".base_layer.", ".modules_to_save.")
_SHOWN = 100
"""Characters of names that an error shows, and one name at least."""


@dataclass(frozen=True)
class KeyReport:
    """What a loader says of the names in a file and those in the model.

    Attributes:
        missing: Tensors of the model that the file doesn't have.
        unexpected: Tensors of the file that the model has no place for.
        mismatched: Tensors of both with their shapes in the file and in the model.
        expected: How many tensors the model, or the adapter, has.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, Shape, Shape], ...] = ()
    expected: int = 0

    @property
    def clean(self) -> bool:
        """Whether every tensor found its place."""
        return not (self.missing or self.unexpected or self.mismatched)

    def without(self, ignored: str) -> KeyReport:
        """Leave out unexpected tensors whose names begin with one of ``a|b|c``."""
        beginnings = tuple(filter(None, ignored.split("|")))
        kept = tuple(key for key in self.unexpected if not key.startswith(beginnings))
        return KeyReport(self.missing, kept, self.mismatched, self.expected)

    def counts(self) -> str:
        """Say what is wrong, with some names."""
        parts = [
            f"{len(keys)}{f' of {self.expected}' if of_all else ''} tensors {what} ({_some(keys)})"
            for keys, what, of_all in (
                (self.missing, "are missing and would be made up", True),
                (self.unexpected, "fit nothing in the model", False),
                (
                    [f"{key} {_size(at)} for {_size(want)}" for key, at, want in self.mismatched],
                    "have another shape",
                    False,
                ),
            )
            if keys
        ]
        return "; ".join(parts)


def strip(key: str, prefix: str) -> str:
    """Take a wrapper's prefix out of a tensor's name, at its beginning or behind a dot."""
    return re.sub(strip_pattern(prefix), "", key, count=0 if prefix.startswith("_") else 1)


def strip_pattern(prefix: str) -> str:
    """Return the regular expression that `strip` removes."""
    return rf"(?<![^.]){re.escape(prefix)}"


def wrapper(missing: Collection[str], unexpected: Collection[str]) -> str | None:
    """Return the prefix that explains every unexpected name and every missing one.

    Args:
        missing: Names of the model's tensors that a file doesn't have.
        unexpected: Names in the file that the model doesn't have.
    """
    wanted = set(missing)
    for longer in sorted(unexpected)[:1]:
        for prefix in sorted({_inserted(longer, shorter) for shorter in wanted}):
            # Tied tensors may be written once and missed twice.
            if prefix and {strip(key, prefix) for key in unexpected} <= wanted:
                return prefix
    return None


def cause(keys: KeyReport, *, adapter: bool = False) -> str:
    """Say why the names differ, as far as they show it, and what to do.

    Args:
        keys: A report that isn't clean.
        adapter: Whether the file is an adapter's.
    """
    if prefix := wrapper(keys.missing, keys.unexpected):
        by = f" by {_WRAPPERS[prefix]}" if prefix in _WRAPPERS else ""
        return (
            f"all names have the prefix {prefix!r}, put before them{by}: load it with "
            f"--model-args strip_prefix={prefix}"
        )
    if any(0 in shape for _, shape, _ in keys.mismatched):
        return (
            "empty tensors are what DeepSpeed's ZeRO-3 or FSDP leaves where the shards were not "
            "gathered: save it again, gathered"
        )
    if keys.mismatched:
        of = "the base model" if adapter else "config.json"
        return f"{of} has other sizes: the file belongs to another model"
    if adapter:
        return _cause_for_adapter(keys)
    if any(key.startswith(_HEADS) for key in keys.unexpected):
        if not keys.missing:
            heads = sorted({key.split(".")[0] + "." for key in keys.unexpected})
            return (
                "a head beside the language model's: if nothing else was trained with it, load it "
                f"with --model-args ignore_keys={'|'.join(heads)}"
            )
        return "it was saved with another head than a language model's, and can't complete text"
    if any(part in key for key in keys.unexpected for part in _ADAPTER):
        return "an adapter was saved inside: merge it (merge_and_unload) and save it again"
    if keys.expected and len(keys.missing) >= keys.expected and not keys.unexpected:
        return "the file holds no tensor of this model: save it again"
    if keys.missing and all(_is_head(key) for key in keys.missing):
        return "it was saved without its output layer: save the model with its language-model head"
    if keys.missing and not keys.unexpected:
        return "the file is incomplete: save it again, or fetch all of its parts"
    if keys.missing:
        return "config.json describes another architecture than that of the tensors"
    return (
        "the model would run without them: use the library that saved it, or, if they are known "
        f"not to matter, --model-args ignore_keys={keys.unexpected[0].split('.')[0]}."
    )


def _cause_for_adapter(keys: KeyReport) -> str:
    if keys.unexpected:
        return (
            "the adapter was made for a model whose layers have other names, or was saved wrapped"
        )
    return "the file is incomplete: save the adapter again"


def _inserted(longer: str, shorter: str) -> str:
    """Return what must be taken out of a name to give a shorter one; empty where nothing does."""
    extra = len(longer) - len(shorter)
    for start in _starts(longer):
        if extra > 0 and longer[:start] + longer[start + extra :] == shorter:
            part = longer[start : start + extra]
            return part if part.endswith(".") else ""
    return ""


def _starts(key: str) -> Sequence[int]:
    return [0, *(match.end() for match in re.finditer(r"\.", key))]


def _is_head(key: str) -> bool:
    return key.startswith(("lm_head.", "embed_out.", "output.", "cls.", "predictions."))


def _some(keys: Sequence[str]) -> str:
    """Return the first names, as many as find room."""
    shown = [key for place, key in enumerate(keys) if len(", ".join(keys[: place + 1])) <= _SHOWN]
    shown = shown or [keys[0]]
    return ", ".join(shown) + (", …" if len(shown) < len(keys) else "")


def _size(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "scalar"
