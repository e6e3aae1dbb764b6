"""Loading a GGUF checkpoint once: the next time from what it was converted to.

What was converted is used only if it was seen to be the same: when an entry is made, it is loaded
again as it will be loaded later, and must agree with what the file itself gave in every bit of
weights and buffers, in configuration, and in all that decides what the tokenizer does.
"""

from __future__ import annotations

import copy
import gc
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from dormant.errors import DormantError
from dormant.models.arguments import LoadOptions, wrapping_arguments
from dormant.models.checkpoint import LoadLog
from dormant.models.converted import Entry, find, key_of, publish, writing
from dormant.models.file_hashes import FileHashes
from dormant.models.fingerprint import loaded_files
from dormant.models.proof import bytes_of
from dormant.models.spec import ModelSpec

Create: TypeAlias = "Callable[[dict[str, Any], list[str], Callable[[Any], Any]], Any]"
"""Makes the harness's model of its arguments; takes what the libraries warn of, and what makes of
its class the one that loads."""

_OF_FILE = {"pretrained", "gguf_file", "trust_remote_code", "dtype", "device", "tokenizer"}
_NAMES = ("_name_or_path", "transformers_version")
"""What a configuration says of where it was read, and by what."""
_WEIGHTS = "model.safetensors"


def entry_of(spec: ModelSpec, dtype: str) -> tuple[str, Entry | None]:
    """Return the name under which a GGUF checkpoint is kept converted, and what is kept.

    Args:
        spec: A model of kind gguf.
        dtype: What its weights are loaded in.
    """
    hashes = FileHashes()
    file = Path(spec.location)
    contents = {
        # The same file under another name is the same model.
        "weights" if path == file else name: hashes.digest(path)
        for name, path in loaded_files(file, "").items()
    }
    hashes.write()
    key = key_of(contents, dtype)
    return key, find(key)


def tell(tokenizer: Any, entry: Entry) -> None:
    """Tell a tokenizer that was read from an entry what Transformers did not save of it."""
    for name, value in entry.settings["tokenizer"].items():
        setattr(tokenizer, name, value)


def load_once(
    spec: ModelSpec,
    options: LoadOptions,
    arguments: Mapping[str, Any],
    create: Create,
    log: LoadLog,
) -> Any:
    """Load a GGUF checkpoint, from what it was converted to where that is kept.

    Args:
        spec: A model of kind gguf.
        options: How it is loaded.
        arguments: The same as the harness's model takes it.
        create: Makes that model.
        log: Takes what the libraries warn of, now or when it was converted.

    Raises:
        DormantError: It can't be loaded, or a part of it would be made up.
    """
    source = _Source(spec, arguments, create, log)
    unusual = {*arguments} - {*wrapping_arguments(options)} - _OF_FILE
    if unusual or arguments["trust_remote_code"] or "add_bos_token" in arguments:
        return source.load()
    key, entry = entry_of(spec, str(arguments["dtype"]))
    if entry is not None and (lm := source.load_converted(entry)) is not None:
        return lm
    said: list[str] = []
    read: list[Any] = []
    lm = create({**arguments}, said, lambda kind: _noting(kind, read))
    for line in said:
        log.warn(line)
    return source.keep(lm, read[0], key, said) if read else lm


@dataclass(frozen=True)
class _Source:
    """A checkpoint that is to be loaded, and what loads it; see `load_once`."""

    spec: ModelSpec
    arguments: Mapping[str, Any]
    create: Create
    log: LoadLog

    def load(self) -> Any:
        """Load the file itself."""
        return self.create({**self.arguments}, self.log.warnings, lambda kind: kind)

    def load_converted(self, entry: Entry, read: list[Any] | None = None) -> Any:
        """Load what was converted; `None` where it can't be loaded."""
        given = {name: value for name, value in self.arguments.items() if name != "gguf_file"}
        given["pretrained"] = str(entry.path)
        try:
            lm = self.create(given, self.log.warnings, lambda kind: _noting(kind, read, entry))
        except DormantError:
            return None
        for line in entry.warnings:
            self.log.warn(line)
        where = str(self.arguments["pretrained"])
        lm.pretrained = where
        for config in (lm.model.config, lm.config):
            config.name_or_path = where
            for name, value in entry.settings["config"].items():
                setattr(config, name, value)
        lm.model.name_or_path = where
        if not self.arguments.get("tokenizer"):
            lm.tokenizer.name_or_path = where
        return lm

    def keep(self, lm: Any, tokenizer: Any, key: str, said: list[str]) -> Any:
        """Write what was loaded, and return it as it is loaded again; itself where that can't be.

        Args:
            lm: The harness's model.
            tokenizer: Its tokenizer as it was read.
            key: The entry's name.
            said: What the libraries warned of.
        """
        with writing(key, sum(tensor.nbytes for tensor in _tensors(lm.model).values())) as part:
            if part is None or not _write(part, lm.model, tokenizer):
                return lm
            before = _portrait(lm.model, tokenizer)
            settings = {"config": _settings(lm.model.config), "tokenizer": _around(tokenizer)}
            # One copy of the weights at a time.
            lm._model = None
            gc.collect()
            spec, dtype = self.spec, str(self.arguments["dtype"])
            entry = Entry(part, spec.text, spec.location, dtype, 0, 0, (), settings)
            again: list[Any] = []
            kept = self.load_converted(entry, again)
            if kept is not None and _portrait(kept.model, again[0]) == before:
                fields = {"name": spec.text, "source": spec.location, "dtype": dtype}
                publish(part, key, {**fields, "warnings": said, "settings": settings})
                return kept
        # Some checkpoint that doesn't survive being saved: it is converted every time.
        return self.load()


def _noting(kind: Any, read: list[Any] | None, entry: Entry | None = None) -> Any:
    """Return the class that loads, which notes its tokenizer as it was read.

    Args:
        kind: The class.
        read: Where it notes it; `None` for nowhere.
        entry: What it is loaded from, if it was converted.
    """

    def create(self: Any, *given: Any, **options: Any) -> None:
        kind._create_tokenizer(self, *given, **options)
        if options.get("tokenizer"):
            return
        if entry is not None:
            tell(self.tokenizer, entry)
        if read is not None:
            # The harness chooses a padding token for its own.
            read.append(copy.deepcopy(self.tokenizer))

    return type(kind.__name__, (kind,), {"_create_tokenizer": create})


def _write(part: Path, model: Any, tokenizer: Any) -> bool:
    """Save a model as Transformers would; say whether that was possible."""
    from safetensors.torch import save_file

    kept: dict[tuple[int, tuple[int, ...]], str] = {}
    weights: dict[str, Any] = {}
    for name, tensor in model.state_dict().items():
        # Of tied weights the first: the configuration says that they are.
        place = tensor.data_ptr(), tuple(tensor.shape)
        if not tensor.is_floating_point() or tensor.is_meta:
            return False
        if kept.setdefault(place, name) == name:
            weights[name] = tensor.detach().cpu().contiguous()
    config = copy.deepcopy(model.config)
    for name in _settings(config):
        config.__dict__.pop(name, None)
    try:
        save_file(weights, part / _WEIGHTS, metadata={"format": "pt"})
        config.save_pretrained(part)
        if model.can_generate():
            model.generation_config.save_pretrained(part)
        tokenizer.save_pretrained(part)
    except (OSError, ValueError, TypeError):
        return False
    return True


def _settings(config: Any) -> dict[str, Any]:
    """Return what is left of a configuration to be set again: how its file was quantised."""
    given: Any = getattr(config, "quantization_config", None)
    if given is None:
        return {}
    said = given if isinstance(given, dict) else given.to_dict()
    return {"quantization_config": json.loads(json.dumps(said, default=str))}


def _around(tokenizer: Any) -> dict[str, bool]:
    """Return what a tokenizer was told to put around a text, which Transformers doesn't save."""
    told = {name: getattr(tokenizer, name, None) for name in _AROUND}
    return {name: value for name, value in told.items() if isinstance(value, bool)}


def _tensors(model: Any) -> dict[str, Any]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _portrait(model: Any, tokenizer: Any) -> dict[str, str]:
    """Return hashes of all that decides what a model and its tokenizer do."""
    weights = hashlib.sha256()
    for name, tensor in sorted(_tensors(model).items()):
        weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {tensor.device}".encode())
        weights.update(bytes_of(tensor))
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    text = tokenizer.decode(range(min(512, len(tokenizer))))
    return {
        "class": f"{type(model).__qualname__} {model.training}",
        "weights": weights.hexdigest(),
        "config": _hash(_settled(model.config)),
        "generation": _hash(_settled(model.generation_config) if model.can_generate() else None),
        "backend": _hash(None if backend is None else backend.to_str()),
        "tokenizer": _hash(
            [
                type(tokenizer).__name__,
                tokenizer.get_vocab(),
                tokenizer.special_tokens_map,
                tokenizer.all_special_ids,
                tokenizer.chat_template,
                [getattr(tokenizer, name, None) for name in _HABITS],
                [tokenizer.encode(text, add_special_tokens=special) for special in (True, False)],
                text,
            ]
        ),
    }


_AROUND = ("add_bos_token", "add_eos_token")
_HABITS = (
    "add_bos_token", "add_eos_token", "clean_up_tokenization_spaces", "model_input_names",
    "model_max_length", "padding_side", "split_special_tokens", "truncation_side",
)  # fmt: skip


def _settled(config: Any) -> dict[str, Any]:
    return {name: value for name, value in config.to_dict().items() if name not in _NAMES}


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
