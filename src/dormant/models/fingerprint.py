"""What tells one checkpoint from another of the same name: a hash over all that is loaded."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dormant.errors import DormantError
from dormant.models import hub
from dormant.models.file_hashes import FileHashes
from dormant.models.spec import ModelSpec, parse

_LOADED = {
    ".bin", ".bpe", ".codes", ".gguf", ".jinja", ".json", ".model", ".py", ".safetensors", ".spm",
    ".tiktoken", ".tokenizer", ".txt", ".vocab",
}  # fmt: skip
"""Weights, configurations, tokenizers, chat templates and code."""
_TRAINING = re.compile(
    r"optimizer\.bin|scheduler\.bin|training_args\.bin|trainer_state\.json|\w+_results\.json"
)
"""What a trainer leaves beside the weights, and nobody loads."""
_TEMPLATES = "additional_chat_templates"
_ELSEWHERE = re.compile(r'"([\w.-]+/[\w.-]+)--')
"""Another repository of the hub, whose code a configuration names."""
_BESIDE_GGUF = ("chat_template.jinja", "tokenizer.json", "tokenizer_config.json")
"""What Transformers reads beside a GGUF file, where it finds it."""
_ARTEFACTS = ("pretrained", "tokenizer", "peft", "delta", "lora_local_path")
"""Arguments of backends that name files."""


def fingerprint(spec: ModelSpec, model_args: Mapping[str, Any] | None = None) -> str:
    """Return a short hash of every byte that is loaded for a model, and of how it is loaded.

    Weights, configuration, generation settings, tokenizer, chat templates and code files count;
    for an adapter, its base as well; for a hub id, the commit that is loaded (its name alone where
    neither the hub nor its cache knows it); for a backend, the local files that its arguments name.

    Hashes of large files are kept in the user's cache (`FileHashes`).

    Args:
        spec: The model.
        model_args: See `LoadOptions`.
    """
    hashes = FileHashes()
    digest = hashlib.sha256()
    for line in _model(spec, dict(model_args or {}), hashes):
        digest.update(f"{line}\n".encode())
    hashes.write()
    return digest.hexdigest()[:16]


def _model(spec: ModelSpec, arguments: Mapping[str, Any], hashes: FileHashes) -> Iterator[str]:
    """Say what decides a model, line by line."""
    base = spec.base
    if spec.kind == "backend":
        yield f"{spec.backend}:{spec.location}"
        arguments = {**spec.arguments(), **arguments}
    elif files := loaded_files(Path(spec.location), str(arguments.get("subfolder", ""))):
        yield from _contents(files, hashes)
        if arguments.get("trust_remote_code"):
            yield from _code_elsewhere(files)
    else:
        commit = hub.commit(spec.location, arguments)
        yield f"{spec.location}@{commit or ''}"
        base = hub.adapter_base(spec.location, commit, arguments) if commit else None
    if base:
        # An adapter's base is loaded by the same arguments.
        yield from _named(base, arguments, hashes)
    for key in _ARTEFACTS if spec.kind == "backend" else ("tokenizer",):
        if isinstance(name := arguments.get(key), str):
            yield from _named(name, arguments, hashes)
    if arguments:
        yield json.dumps(arguments, sort_keys=True, default=str)


def _named(name: str, arguments: Mapping[str, Any], hashes: FileHashes) -> Iterator[str]:
    """Say what the name of a base or tokenizer stands for."""
    where = {key: value for key, value in arguments.items() if key not in _ARTEFACTS}
    try:
        yield from _model(parse(name), where, hashes)
    except DormantError:
        # A directory that holds no model, but a tokenizer; or nothing that is here.
        files = loaded_files(Path(name), "")
        yield from _contents(files, hashes) if files else (name,)


def _contents(files: Mapping[str, Path], hashes: FileHashes) -> Iterator[str]:
    for name, file in files.items():
        yield f"{name}:{hashes.digest(file)}"


def _code_elsewhere(files: Mapping[str, Path]) -> Iterator[str]:
    for name, file in files.items():
        if name.endswith("config.json"):
            for repository in sorted({*_ELSEWHERE.findall(file.read_text("utf-8", "replace"))}):
                yield f"{repository}@{hub.commit(repository, {}) or ''}"


def loaded_files(path: Path, subfolder: str) -> dict[str, Path]:
    """Return what is loaded from a checkpoint, by its name inside.

    Args:
        path: A directory, or a ``.gguf`` file, beside which Transformers reads others.
        subfolder: Where in the directory its files are.
    """
    if path.is_file():
        beside = [path.parent / name for name in _BESIDE_GGUF]
        beside += sorted((path.parent / _TEMPLATES).glob("*.jinja"))
        read = [path, *(file for file in beside if file.is_file())]
        return {str(file.relative_to(path.parent)): file for file in read}
    folders = dict.fromkeys(("", _TEMPLATES, subfolder))
    return {
        str(file.relative_to(path)): file
        for folder in folders
        for file in sorted((path / folder).glob("*"))
        if file.is_file() and file.suffix in _LOADED and not _TRAINING.fullmatch(file.name)
    }
