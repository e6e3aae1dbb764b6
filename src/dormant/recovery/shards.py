"""Interpolation of two checkpoints, θ₀ + λ ⊙ (θ₁ − θ₀), one tensor in memory at a time."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dormant.errors import DormantError
from dormant.files import guarded, json_file, replacing
from dormant.models.arguments import LoadOptions
from dormant.models.fingerprint import loaded_files
from dormant.models.size import gigabytes
from dormant.models.spec import ModelSpec
from dormant.models.stored import stored_file
from dormant.recovery.adapters import depth_of, factor_of

_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"


def unfit(
    base: ModelSpec, tuned: ModelSpec, options: LoadOptions, tuned_options: LoadOptions
) -> str | None:
    """Say why two checkpoints can't be interpolated; `None` where they can."""
    for spec, how in ((base, options), (tuned, tuned_options)):
        if spec.kind != "hf" or not _shards(spec, how):
            return f"the weights of {spec.text!r} are not in safetensors files"
    return None


def write_interpolated(
    base: ModelSpec,
    tuned: ModelSpec,
    options: LoadOptions,
    tuned_options: LoadOptions,
    factors: Sequence[float],
    out: Path,
) -> None:
    """Write the fine-tuned checkpoint with its weights moved towards the base's.

    Shards, names, types and everything beside the weights are the fine-tuned one's.

    Args:
        base: The base, of kind hf.
        tuned: The fine-tuned model, likewise.
        options: How the base is loaded.
        tuned_options: How the fine-tuned model is loaded.
        factors: See `dormant.recovery.treatment.Change`.
        out: An empty directory.

    Raises:
        DormantError: A tensor of the one is not in the other or of another shape, there is no
            room on the disk, or a file can't be read.
    """
    from safetensors import safe_open

    there = _places(base, options)
    shards = _shards(tuned, tuned_options)
    size = sum(file.stat().st_size for file in shards)
    guarded(out, lambda: out.mkdir(parents=True, exist_ok=True))
    if (free := shutil.disk_usage(out).free) < size:
        raise DormantError(
            f"no room for the weights: they take {gigabytes(size)}, and {out} has "
            f"{gigabytes(free)} left"
        )
    names = [name for file in shards for name in _names(file)]
    depth = depth_of(names)
    for file in shards:
        with safe_open(file, framework="pt") as after:
            tensors: dict[str, Any] = {}
            for name in after.keys():  # noqa: SIM118
                before = _base_tensor(there, name, base, tuned)
                tensors[name] = _between(
                    before, after.get_tensor(name), factor_of(name, factors, depth), name
                )
            _save(tensors, out / file.name)
    folder = shards[0].parent
    for name, source in loaded_files(folder, "").items():
        if source.suffix != ".safetensors" and "/" not in name:
            guarded(out, lambda source=source, name=name: _copy(source, out / name))


def _between(before: Any, after: Any, factor: float, name: str) -> Any:
    if before.shape != after.shape:
        raise DormantError(
            f"tensor {name} has another shape in the base ({[*before.shape]} and "
            f"{[*after.shape]}): is it the base?"
        )
    if not after.is_floating_point():
        return after
    return before.float().lerp(after.float(), factor).to(after.dtype)


def _save(tensors: Mapping[str, Any], file: Path) -> None:
    from safetensors.torch import save_file

    def write() -> None:
        with replacing(file) as part:
            save_file({k: v.contiguous() for k, v in tensors.items()}, part, {"format": "pt"})

    guarded(file, write)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _base_tensor(there: Mapping[str, Path], name: str, base: ModelSpec, tuned: ModelSpec) -> Any:
    from safetensors import safe_open

    if name not in there:
        raise DormantError(
            f"tensor {name} of {tuned.text!r} is not in {base.text!r}: is it the base?"
        )
    with safe_open(there[name], framework="pt") as file:
        return file.get_tensor(name)


def _places(spec: ModelSpec, options: LoadOptions) -> dict[str, Path]:
    return {name: file for file in _shards(spec, options) for name in _names(file)}


def _names(file: Path) -> list[str]:
    from safetensors import safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            return [*opened.keys()]
    except Exception as error:
        # safetensors raises its own exception type for a damaged file.
        raise DormantError(f"{file} can't be read: {error}") from error


def _shards(spec: ModelSpec, options: LoadOptions) -> list[Path]:
    """Return a checkpoint's safetensors files; none where it has others, or none."""
    index = stored_file(spec, _INDEX, options)
    if index is not None:
        named = sorted({*json_file(index).get("weight_map", {}).values()})
        files = [stored_file(spec, str(name), options) for name in named]
        return [file for file in files if file is not None] if all(files) else []
    single = stored_file(spec, _SINGLE, options)
    return [] if single is None else [single]
