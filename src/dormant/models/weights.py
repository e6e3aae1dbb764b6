"""Which weights a model has, and which adapter was put on them: by content, whatever the path.

A fingerprint (`dormant.models.fingerprint`) is of everything that is loaded, so that a run is
resumed with the same alone. This is of weights alone, so that two evaluations can be told to be of
one model, or of an adapter and of the very base that it was put on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dormant.errors import DormantError
from dormant.models import hub
from dormant.models.file_hashes import FileHashes
from dormant.models.fingerprint import loaded_files
from dormant.models.spec import ModelSpec, parse
from dormant.results import Record

WEIGHTS = "dormant_weights"
"""The key of `LoadedWeights` in what other tools log."""

ADAPTERS = ("peft", "delta", "lora_local_path")
"""Arguments of backends that put an update on the model that is named."""
_SUFFIXES = {".bin", ".gguf", ".safetensors"}
_ADAPTER = "adapter_"
"""How the files of an adapter begin."""


class LoadedWeights(Record):
    """The weights that a model had."""

    model: str
    """Short hash of all bytes of the checkpoint's weights; of a model that came from the hub,
    ID@COMMIT."""
    adapter: str = ""
    """The same of the adapter on them, its configuration included; empty without one."""
    adapter_name: str = ""
    """The adapter as it was named."""


def weights_of(
    spec: ModelSpec, model_args: Mapping[str, Any] | None = None
) -> LoadedWeights | None:
    """Say which weights are loaded for a model.

    Args:
        spec: The model; for a backend, its arguments name it.
        model_args: Further arguments that it is loaded by.

    Returns:
        What is known; `None` where the weights are elsewhere (a server), or nothing says which
        they are.
    """
    arguments = dict(model_args or {})
    name, adapter = spec.location, ""
    if spec.kind == "backend":
        arguments = spec.arguments() | arguments
        if arguments.get("base_url"):
            return None
        name = str(arguments.get("pretrained") or "")
        adapter = next((str(arguments[key]) for key in ADAPTERS if arguments.get(key)), "")
    if spec.kind == "adapter":
        name, adapter = spec.base or "", spec.location
    if not name:
        return None
    hashes = FileHashes()
    model = _model(name, arguments, hashes)
    update = _adapter(adapter, arguments, hashes) if adapter else ""
    hashes.write()
    if not model or (adapter and not update):
        return None
    named = spec.text if spec.kind == "adapter" else adapter
    return LoadedWeights(model=model, adapter=update, adapter_name=named)


def _model(name: str, arguments: Mapping[str, Any], hashes: FileHashes) -> str:
    """Identify a checkpoint's weights; empty where nothing says which they are."""
    path = Path(name).expanduser()
    if not path.exists():
        try:
            spec = parse(name)
        except DormantError:
            return ""
        path = Path(spec.location)
        if spec.kind == "adapter" or not path.exists():
            return _on_hub(spec.location, arguments) if spec.kind == "hf" else ""
    files = loaded_files(path, str(arguments.get("subfolder") or ""))
    only = arguments.get("gguf_file")
    weights = [
        file
        for file in files.values()
        if (file.name == only if only else file.suffix in _SUFFIXES)
        and not file.name.startswith(_ADAPTER)
    ]
    return _digest(weights, hashes)


def _adapter(name: str, arguments: Mapping[str, Any], hashes: FileHashes) -> str:
    path = Path(name).expanduser()
    if not path.is_dir():
        return _on_hub(name, arguments)
    files = loaded_files(path, "").values()
    own = [file for file in files if file.name.startswith(_ADAPTER)]
    # A delta is a checkpoint of its own.
    return _digest(own or [file for file in files if file.suffix in _SUFFIXES], hashes)


def _on_hub(name: str, arguments: Mapping[str, Any]) -> str:
    commit = hub.commit(name, arguments)
    return f"{name}@{commit}" if commit else ""


def _digest(files: list[Path], hashes: FileHashes) -> str:
    """Hash files by content; their names, which say how they are cut, don't count."""
    if not files:
        return ""
    parts = sorted(hashes.digest(file) for file in files)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
