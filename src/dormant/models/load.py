"""From a model specification to an lm-evaluation-harness `LM` that can be asked.

The harness loads: a specification becomes the arguments of its Hugging Face model
(`dormant.models.arguments`), of which our scorer is a subclass.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dormant.devices import pick_device
from dormant.errors import DormantError, one_line
from dormant.libraries import collecting, quiet
from dormant.models import vllm
from dormant.models.arguments import LoadOptions, harness_arguments, wrapping_arguments
from dormant.models.attach import attach_adapter
from dormant.models.checkpoint import LoadLog, checked, tie_hands, untie_hands
from dormant.models.converting import load_once
from dormant.models.embeddings import guard_rows
from dormant.models.gguf_files import read_once
from dormant.models.proof import probe, refuse_entangled
from dormant.models.quantisation import quantised
from dormant.models.served import SERVERS, adapt, refuse_other_model
from dormant.models.spec import ON_DEVICES, ModelSpec, parse, require_libraries
from dormant.models.stored import has_own_code, resolve
from dormant.models.tokenizers import TokenizerChoice, for_adapter, for_checkpoint
from dormant.scoring.wrappers import virtual_tokens

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_log = logging.getLogger(__name__)


def load(
    spec: ModelSpec | str,
    options: LoadOptions | None = None,
    *,
    other: ModelSpec | None = None,
    log: LoadLog | None = None,
) -> LM:
    """Load any model as an lm-evaluation-harness `LM`.

    An adapter is loaded on top of the base that its configuration names.

    Args:
        spec: The model.
        options: How it is loaded.
        other: The other model of an audit, whose tokenizer stands in where this one has none.
        log: Takes warnings and what was decided; without it, warnings are logged.

    Raises:
        DormantError: It can't be loaded, or a part of it would be made up.
    """
    spec = parse(spec) if isinstance(spec, str) else spec
    options = options or LoadOptions()
    spec = resolve(spec, options)
    kept = LoadLog() if log is None else log
    try:
        if spec.kind == "backend":
            return _start_backend(spec, options)
        if spec.kind != "adapter":
            harness_arguments(spec, options)  # a wrong argument is told before a missing file
            choice = for_checkpoint(spec, options, other, kept)
            lm = load_checkpoint(spec, options, choice, kept)
            guard_rows(lm, spec.text, kept)
            return lm
        if spec.base is None:
            raise DormantError(f"adapter {spec.text!r} names no base model; give it explicitly")
        return load_adapter(resolve(parse(spec.base), options), spec, options, log=kept)
    finally:
        if log is None:
            for line in kept.warnings:
                _log.warning("%s", line)


def load_adapter(base: ModelSpec, adapter: ModelSpec, options: LoadOptions, *, log: LoadLog) -> LM:
    """Load a base model with an adapter on it, and with the adapter's tokenizer where it has one.

    The harness could do so itself, but where tokenizer and embeddings differ in size it resizes
    the base to the tokenizer, and makes the new rows up.

    Args:
        base: The model under it, of kind hf or gguf.
        adapter: The adapter.
        options: How they are loaded.
        log: Takes warnings and what was decided.

    Raises:
        DormantError: One of them can't be loaded, or a part of it would be made up.
    """
    if base.kind not in ("hf", "gguf"):
        raise DormantError(
            f"adapter {adapter.text!r} names {base.text!r} as its base, which Transformers doesn't "
            "load: name the base's checkpoint"
        )
    choice = for_adapter(base, adapter, options, log)
    lm: Any = load_checkpoint(base, options, choice, log)
    ids = probe(lm.model)
    lm._model = attach_adapter(lm._model, adapter, options, log=log)
    refuse_entangled(lm.model, ids, adapter.text)
    guard_rows(lm, adapter.text, log)
    leave_room(lm)
    return lm


def leave_room(lm: Any) -> None:
    """Take an adapter's virtual tokens off the context of the model that reads them too."""
    if virtual := virtual_tokens(lm.model):
        lm._max_length = lm.max_length - virtual


def load_hf(
    spec: ModelSpec | str, *, dtype: str = "float32", device: str = "auto"
) -> tuple[Any, Any]:
    """Load a causal language model and its tokenizer with Transformers.

    Args:
        spec: A model of kind hf, gguf or adapter.
        dtype: A torch dtype's name, or "auto" for the checkpoint's own.
        device: See `LoadOptions`.

    Returns:
        The model in evaluation mode, and its tokenizer.

    Raises:
        DormantError: The checkpoint can't be found or read.
    """
    spec = parse(spec) if isinstance(spec, str) else spec
    if spec.kind == "backend":
        raise DormantError(
            f"model {spec.text!r} is served by a backend; this needs one that Transformers loads"
        )
    lm: Any = load(spec, LoadOptions(dtype=dtype, device=device))
    return lm.model, lm.tokenizer


def wrap(model: Any, tokenizer: Any, options: LoadOptions) -> LM:
    """Give a loaded model the harness's interface.

    Its weights stay tied as they are: the harness would tie those that its owner, or an adapter,
    may have untied.
    """
    tie_hands(model)
    try:
        with quiet():
            return _harness_class(options)(
                pretrained=model, tokenizer=tokenizer, **wrapping_arguments(options)
            )
    finally:
        untie_hands(model)


def load_checkpoint(
    spec: ModelSpec, options: LoadOptions, choice: TokenizerChoice, log: LoadLog
) -> LM:
    """Load a checkpoint with the tokenizer that was chosen for it.

    Args:
        spec: A model of kind hf or gguf.
        options: How it is loaded.
        choice: Its tokenizer.
        log: Takes what the libraries warn of.

    Raises:
        DormantError: It can't be loaded, or a part of it would be made up.
    """
    # PyTorch looks before its first tensor. The C library maps each layer's outputs anew, which
    # with pages of 4 kB costs a fault for every 1024 numbers (docs/benchmarks.md).
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    require_libraries()
    arguments = harness_arguments(spec, options)
    if choice.tokenizer is not None:
        arguments["tokenizer"] = choice.tokenizer
    plain = _harness_class(options)

    def create(given: dict[str, Any], said: list[str], made: Callable[[Any], Any]) -> LM:
        kind = made(checked(quantised(plain, given), spec.text, given))
        once = read_once() if given.get("gguf_file") else contextlib.nullcontext()
        with collecting(said), once:
            return _created(kind, given, spec)

    if spec.kind == "gguf":
        lm: Any = load_once(spec, options, arguments, create, log)
    else:
        lm = create(arguments, log.warnings, lambda kind: kind)
    # What was needed for loading is no part of the model.
    lm.__class__ = plain
    untie_hands(lm.model)
    if not arguments["trust_remote_code"] and has_own_code(spec, options):
        log.warn(
            f"{spec.text!r} has code of its own, which was not run: Transformers' own "
            f"{type(lm.model).__name__} was taken (trust_remote_code=True runs it)"
        )
    return lm


def _created(kind: Any, arguments: dict[str, Any], spec: ModelSpec) -> Any:
    """Load by the harness's model.

    Raises:
        DormantError: It can't be loaded.
    """
    try:
        return kind(**arguments)
    except DormantError:
        raise
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise DormantError(
                f"model {spec.text!r} needs code of its own, which is in its files: read it, "
                "and if you trust it, say --model-args trust_remote_code=True"
            ) from error
        # Loaders raise whatever a damaged file makes them stumble over.
        raise DormantError(f"model {spec.text!r} can't be loaded: {one_line(error)}") from error


def _harness_class(options: LoadOptions) -> Any:
    if options.scorer == "fast":
        from dormant.scoring.scorer import FastLM

        return FastLM
    from dormant.scoring.harness_model import HarnessLM

    return HarnessLM


def _start_backend(spec: ModelSpec, options: LoadOptions) -> LM:
    from lm_eval.api.registry import get_model
    from lm_eval.utils import simple_parse_args_string

    assert spec.backend is not None
    arguments = {**simple_parse_args_string(spec.location), **options.model_args}
    if options.batch_size is not None:
        arguments["batch_size"] = options.batch_size
    if spec.backend in ON_DEVICES:
        # The harness's own choice is a GPU, whether there is one or not.
        arguments.setdefault("device", pick_device(options.device))
    if spec.backend in SERVERS:
        refuse_other_model(spec.text, arguments)
    if spec.backend in vllm.BACKENDS:
        vllm.refuse_waiting(arguments)
        arguments = vllm.fitting(arguments)
    with quiet(), vllm.known_to_the_harness():
        try:
            lm = get_model(spec.backend).create_from_arg_obj(arguments, {})
        except Exception as error:
            # A backend may raise anything at all; the user needs its words, not its traceback.
            raise DormantError(
                f"backend {spec.text!r} can't be started: {one_line(error)}"
            ) from error
    if spec.backend in SERVERS:
        adapt(lm)
    if spec.backend in vllm.BACKENDS:
        vllm.without_bars(lm)
    return lm
