"""Which model an evaluation was of: everything that decides it, never the name alone."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from dormant.errors import DormantError
from dormant.integrations.logs.scored_log import Log
from dormant.models.weights import ADAPTERS

_MODEL = ("pretrained", "model", "path", "engine", "model_path", "base_url")
"""Arguments that name a model, in lm-evaluation-harness's order."""
_PLAIN_BACKENDS = ("", "hf", "hf-auto", "hf-causal", "huggingface", "dormant-fast")
"""Names of one backend: the model itself, loaded from its checkpoint."""
_WHERE_AND_HOW_FAST = """
device batch_size max_batch_size parallelize device_map device_map_option max_memory
max_memory_per_gpu max_cpu_memory offload_folder tensor_parallel_size data_parallel_size
pipeline_parallel_size gpu_memory_utilization swap_space low_cpu_mem_usage enforce_eager
attn_implementation max_length max_model_len max_gen_toks truncation seed num_concurrent
max_retries timeout tokenized_requests verify_certificate
trust_remote_code use_fast_tokenizer cache_dir download_dir local_files_only token
use_auth_token api_key
"""
_DORMANTS = "base transform source keep scorer prompts"
_SETTINGS = frozenset(f"{_WHERE_AND_HOW_FAST} {_DORMANTS}".split())
"""Arguments that do not decide what a model computes. All others, unknown ones included, do: an
argument too many makes a model too many, which is told, and one too few would mix two in silence.
"""
_DEFAULTS = {"dtype": "auto", "revision": "main"}


class Identity(NamedTuple):
    """A model in words.

    Attributes:
        name: Where it is, and every argument that decides it.
        adapts: The same without its adapter; empty where it has none.
        settings: What decides it beside its weights.
        named: Whether anything said which model it is; else its place did.
    """

    name: str
    adapts: str = ""
    settings: str = ""
    named: bool = False


def identify(
    backend: str, arguments: Mapping[str, Any], otherwise: str, model: str = ""
) -> Identity:
    """Name a model.

    Args:
        backend: What loaded it, e.g. "hf" or "vllm".
        arguments: Its arguments.
        otherwise: Its name where no argument has it.
        model: Its name, where that is known beside the arguments.
    """
    deciding = {
        key: _text(value)
        for key, value in sorted(arguments.items())
        if key not in _SETTINGS and _says_something(key, value)
    }
    named = "" if model else next((key for key in _MODEL if key in deciding), "")
    name = model or deciding.pop(named, otherwise)
    prefix = "" if backend in _PLAIN_BACKENDS else f"{backend}:"

    def written(parts: Mapping[str, str]) -> str:
        return ",".join([f"{prefix}{name}", *(f"{key}={text}" for key, text in parts.items())])

    below = {key: text for key, text in deciding.items() if key not in ADAPTERS}
    return Identity(
        written(deciding),
        written(below) if len(below) < len(deciding) else "",
        ",".join([prefix, *(f"{key}={text}" for key, text in below.items())]),
        named=bool(model or named),
    )


def tell_apart(logs: Sequence[Log]) -> list[Log]:
    """Rename logs of one name whose weights' hashes say that they are of several models."""
    for hash_of in (_by_weights, _by_revision):
        hashes: dict[str, set[str]] = {}
        for log in logs:
            hashes.setdefault(log.name, set()).update({hash_of(log)} - {""})
        logs = [
            replace(log, name=f"{log.name}@{own[:7]}")
            if (own := hash_of(log)) and len(hashes[log.name]) > 1
            else log
            for log in logs
        ]
    return [*logs]


def _by_weights(log: Log) -> str:
    """Hash the weights that were loaded."""
    if log.weights is None:
        return ""
    text = f"{log.weights.adapter}{log.weights.model}"
    return hashlib.sha256(text.encode()).hexdigest()


def _by_revision(log: Log) -> str:
    return log.hash


def _same_weights(one: Log, other: Log) -> bool:
    """Say whether two logs say that they are of the same weights, computed with in the same way."""
    if one.weights is None or other.weights is None:
        return False
    alike = (
        one.weights.model == other.weights.model and one.weights.adapter == other.weights.adapter
    )
    return alike and one.settings == other.settings


def refuse_same_weights(logs: Sequence[Log]) -> None:
    """Refuse logs of two models that are one.

    Raises:
        DormantError: Two are, by the weights that were loaded.
    """
    first: dict[str, Log] = {}
    for log in logs:
        first.setdefault(log.name, log)
    for one, other in itertools.combinations(first.values(), 2):
        if _same_weights(one, other):
            raise identical(one, other)


def identical(one: Log, other: Log) -> DormantError:
    """Return the error for logs of two models that are one."""
    of = one.name if one.name == other.name else f"{one.name} and {other.name}"
    return DormantError(
        f"{one.source} and {other.source} name the same weights ({of}), so there is nothing to "
        "compare: was the adapter left out? evaluate the fine-tuned model, or give "
        "--allow-identical where the weights were others each time"
    )


def models_of(logs: Sequence[Log]) -> list[str]:
    """Name the models that logs are of, in their order."""
    return list(dict.fromkeys(log.name for log in logs))


def base_of(logs: Sequence[Log]) -> str | None:
    """Return the model that others are adapters on, if it is there; by name, or by its weights."""
    names = {log.name for log in logs}
    if named := next((log.adapts for log in logs if log.adapts in names), None):
        return named
    adapted = {log.weights.model for log in logs if log.weights and log.weights.adapter}
    return next(
        (
            log.name
            for log in logs
            if log.weights and not log.weights.adapter and log.weights.model in adapted
        ),
        None,
    )


def _says_something(key: str, value: object) -> bool:
    """Return whether an argument was given, and is another than what holds without it."""
    text = _text(value)
    return text not in ("", "None", "False", "false", "null") and _DEFAULTS.get(key) != text


def _text(value: object) -> str:
    text = json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else str(value)
    return text.removeprefix("torch.")
