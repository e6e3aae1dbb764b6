"""Files that a model has, in its directory or on the hub; nothing is asked where a directory is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from dormant.files import json_file
from dormant.models import hub
from dormant.models.arguments import LoadOptions
from dormant.models.spec import ModelSpec


def stored_file(spec: ModelSpec, name: str, options: LoadOptions) -> Path | None:
    """Return where a file of a model is, fetched from the hub where it must be.

    Args:
        spec: A model of kind hf, adapter or gguf.
        name: The file's name.
        options: How the model is loaded: its `revision`, `subfolder`, `cache_dir` and `token` are
            those of the file.

    Returns:
        Its path; `None` where there is none, or none can be had.
    """
    directory = Path(spec.location)
    subfolder = str(options.model_args.get("subfolder", "") or "")
    if directory.is_dir() or spec.kind == "gguf":
        file = directory / subfolder / name
        return file if file.is_file() else None
    from transformers.utils.hub import cached_file

    find: Any = cached_file
    try:
        found: str | None = find(
            spec.location,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            _raise_exceptions_for_gated_repo=False,
            **place(spec, options),
        )
    except (OSError, ValueError):
        # No such model: whoever loads it says so, with the reason.
        return None
    return None if found is None else Path(found)


def resolve(spec: ModelSpec, options: LoadOptions) -> ModelSpec:
    """Return what a hub id stands for: an adapter where an adapter is kept there.

    Directories and files were looked at when they were named (`dormant.models.spec.parse`).

    Args:
        spec: A model.
        options: How it is loaded.
    """
    if spec.kind != "hf" or Path(spec.location).is_dir():
        return spec
    if stored_file(spec, "adapter_config.json", options) is None:
        return spec
    base = adapter_config(spec, options).get("base_model_name_or_path")
    return dataclasses.replace(spec, kind="adapter", base=str(base) if base else None)


def adapter_config(spec: ModelSpec, options: LoadOptions) -> dict[str, Any]:
    """Return what an adapter's configuration says; nothing where it can't be read."""
    return json_file(stored_file(spec, "adapter_config.json", options))


def has_own_code(spec: ModelSpec, options: LoadOptions) -> bool:
    """Whether a checkpoint's configuration names code among its own files."""
    return "auto_map" in json_file(stored_file(spec, "config.json", options))


def place(spec: ModelSpec, options: LoadOptions) -> dict[str, Any]:
    """Return how a loader is told which of a hub id's versions to fetch; a directory has one."""
    if Path(spec.location).is_dir():
        return {}
    arguments = options.model_args
    told = {
        key: arguments[key]
        for key in ("revision", "cache_dir", "token", "local_files_only", "subfolder")
        if key in arguments
    }
    if (commit := hub.recorded(spec.location, arguments)) is not None:
        told["revision"] = commit
    return told
