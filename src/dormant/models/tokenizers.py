"""Whose tokenizer and chat template a model is asked with: its own where it has them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dormant.errors import DormantError, one_line
from dormant.files import json_file
from dormant.models.arguments import LoadOptions, loaded_dtype
from dormant.models.checkpoint import LoadLog
from dormant.models.converted import Entry
from dormant.models.converting import entry_of, tell
from dormant.models.spec import ModelSpec
from dormant.models.stored import place, stored_file

_VOCABULARY = (
    "tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model",
    "sentencepiece.bpe.model", "spm.model", "tekken.json", "qwen.tiktoken", "tiktoken.model",
)  # fmt: skip
_CONFIG, _TEMPLATE = "tokenizer_config.json", "chat_template.jinja"
_WITHOUT_FILES = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer", "MyT5Tokenizer")
"""Tokenizers of bytes, which have no vocabulary to store."""


@dataclass(frozen=True)
class TokenizerChoice:
    """A tokenizer that stands in for what the harness's model would look for itself.

    Attributes:
        tokenizer: The tokenizer; `None` where the model's own is to be loaded.
        same: Whether it is, template included, what the base is asked with.
    """

    tokenizer: Any = None
    same: bool = False


def for_checkpoint(
    spec: ModelSpec, options: LoadOptions, other: ModelSpec | None, log: LoadLog
) -> TokenizerChoice:
    """Choose a checkpoint's tokenizer: its own, else that of the other model of an audit.

    Args:
        spec: A model of kind hf or gguf.
        options: How it is loaded; a `tokenizer` among its arguments is the choice.
        other: The other model.
        log: Takes the choice, and a warning where the tokenizer isn't the model's.

    Raises:
        DormantError: Neither has one.
    """
    if given := options.model_args.get("tokenizer"):
        log.facts["tokenizer"] = f"as given: {getattr(given, 'name_or_path', given)}"
        return TokenizerChoice()
    if stored_file(spec, "config.json", options) is None and spec.kind == "hf":
        # Nothing of it can be had: the loader says why.
        return TokenizerChoice()
    if _has_vocabulary(spec, options):
        log.facts["tokenizer"] = "its own"
        return TokenizerChoice()
    if other is None or not _has_vocabulary(other, options):
        both = f" and neither has {other.text!r}" if other is not None else ""
        raise DormantError(
            f"model {spec.text!r} has no tokenizer files (tokenizer.json, …){both}: "
            "put them beside it, or name them: --model-args tokenizer=DIRECTORY"
        )
    log.warn(
        f"{spec.text!r} has no tokenizer files: it is asked with the tokenizer and chat template "
        f"of {other.text!r}"
    )
    log.facts["tokenizer"] = f"that of {other.text}: it has none of its own"
    return TokenizerChoice(load_tokenizer(other, options))


def is_borrowed(spec: ModelSpec, options: LoadOptions) -> bool:
    """Whether a checkpoint is asked with the tokenizer of the other model of an audit.

    Args:
        spec: A model.
        options: How it is loaded.
    """
    if spec.kind != "hf" or options.model_args.get("tokenizer"):
        return False
    there = stored_file(spec, "config.json", options) is not None
    return there and not _has_vocabulary(spec, options)


def for_adapter(
    base: ModelSpec, adapter: ModelSpec, options: LoadOptions, log: LoadLog
) -> TokenizerChoice:
    """Choose an adapter's tokenizer and chat template: its own, else the base's.

    Args:
        base: The model under it, of kind hf or gguf.
        adapter: The adapter.
        options: How it is loaded; a `tokenizer` among the arguments is the choice.
        log: Takes the choice.

    Raises:
        DormantError: Its tokenizer can't be read, or neither has one.
    """
    if options.model_args.get("tokenizer"):
        return TokenizerChoice(for_checkpoint(base, options, None, log).tokenizer, same=True)
    if _has_vocabulary(adapter, options):
        log.facts["tokenizer"] = "the adapter's own"
        return TokenizerChoice(load_tokenizer(adapter, options))
    choice = for_checkpoint(base, options, None, log)
    log.facts["tokenizer"] = f"that of {base.text}: the adapter has none of its own"
    template = _template(adapter, options)
    if template is None:
        return TokenizerChoice(choice.tokenizer, same=True)
    tokenizer = copy.deepcopy(choice.tokenizer or load_tokenizer(base, options))
    tokenizer.chat_template = template
    log.facts["tokenizer"] += ", with the adapter's chat template"
    return TokenizerChoice(tokenizer)


def load_tokenizer(spec: ModelSpec, options: LoadOptions) -> Any:
    """Load the tokenizer that is stored with a model, as the harness would.

    Raises:
        DormantError: It can't be read.
    """
    from transformers import AutoTokenizer

    arguments: dict[str, Any] = {
        **place(spec, options),
        "trust_remote_code": bool(options.model_args.get("trust_remote_code", False)),
    }
    where = name = spec.location
    entry: Entry | None = None
    bos = options.model_args.get("add_bos_token")
    if spec.kind == "gguf":
        where = name = str(Path(where).parent)
        entry = None if bos is not None else entry_of(spec, loaded_dtype(spec, options))[1]
        if entry is not None:
            where = str(entry.path)
        else:
            arguments["gguf_file"] = Path(spec.location).name
    else:
        arguments["use_fast"] = options.model_args.get("use_fast_tokenizer", True)
    if bos is not None:
        arguments["add_bos_token"] = bos
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **arguments)
        if entry is not None:
            tell(tokenizer, entry)
            tokenizer.name_or_path = name
        return tokenizer
    except Exception as error:
        # Foreign code over a user's files.
        raise DormantError(
            f"the tokenizer of {spec.text!r} can't be read: {one_line(error)}; save it again, or "
            "name another: --model-args tokenizer=DIRECTORY"
        ) from error


def _has_vocabulary(spec: ModelSpec, options: LoadOptions) -> bool:
    if spec.kind == "gguf":
        return True
    if any(stored_file(spec, name, options) for name in _VOCABULARY):
        return True
    config = json_file(stored_file(spec, _CONFIG, options))
    return "auto_map" in config or config.get("tokenizer_class") in _WITHOUT_FILES


def _template(adapter: ModelSpec, options: LoadOptions) -> str | None:
    """Return the chat template of an adapter that has no vocabulary."""
    if file := stored_file(adapter, _TEMPLATE, options):
        return file.read_text(encoding="utf-8")
    template: object = json_file(stored_file(adapter, _CONFIG, options)).get("chat_template")
    return template if isinstance(template, str) else None
