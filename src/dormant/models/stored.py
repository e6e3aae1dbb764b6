"""Files that a model has, in its directory or on the hub; nothing is asked where a directory is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, cast

from dormant.models import hub
from dormant.models.arguments import LoadOptions
from dormant.models.spec import ModelSpec


def stored_file(spec: ModelSpec, name: str, options: LoadOptions | None = None) -> Path | None:
    """Return where a file of a model is, fetched from the hub where it must be.

    Args:
        spec: A model of kind hf, adapter or gguf.
        name: The file's name.
        options: How the model is loaded: its `revision`, `subfolder`, `cache_dir` and `token` are
            those of the file.

    Returns:
        Its path; `None` where there is none, or none can be had.
    """
    options = options or LoadOptions()
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


def resolve(spec: ModelSpec, options: LoadOptions | None = None) -> ModelSpec:
    """Return what a hub id stands for: an adapter where an adapter is kept there.

    Directories and files were looked at when they were named (`dormant.models.spec.parse`).

    Args:
        spec: A model.
        options: How it is loaded.
    """
    if spec.kind != "hf" or Path(spec.location).is_dir():
        return spec
    file = stored_file(spec, "adapter_config.json", options)
    if file is None:
        return spec
    try:
        config = cast("dict[str, Any]", json.loads(file.read_text(encoding="utf-8")))
        base = config.get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        return spec
    return dataclasses.replace(spec, kind="adapter", base=str(base) if base else None)


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
