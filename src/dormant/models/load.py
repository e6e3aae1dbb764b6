"""From a model specification to an lm-evaluation-harness `LM` that can be asked.

The harness loads: a specification becomes the arguments of its Hugging Face model
(`dormant.models.arguments`), of which our scorer is a subclass.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from dormant.errors import DormantError, one_line
from dormant.libraries import quiet
from dormant.models.arguments import LoadOptions, harness_arguments, wrapping_arguments
from dormant.models.gguf_files import read_once
from dormant.models.quantisation import quantised
from dormant.models.spec import ModelSpec, parse, require_libraries

if TYPE_CHECKING:
    from lm_eval.api.model import LM


def load(spec: ModelSpec | str, options: LoadOptions | None = None) -> LM:
    """Load any model as an lm-evaluation-harness `LM`.

    An adapter is loaded on top of the base that its configuration names.

    Raises:
        DormantError: It can't be loaded.
    """
    spec = parse(spec) if isinstance(spec, str) else spec
    options = options or LoadOptions()
    if spec.kind == "backend":
        return _start_backend(spec, options)
    if spec.kind != "adapter":
        return _load_checkpoint(spec, options)
    if spec.base is None:
        raise DormantError(f"adapter {spec.text!r} names no base model; give it explicitly")
    return load_adapter(parse(spec.base), spec, options)


def load_adapter(base: ModelSpec, adapter: ModelSpec, options: LoadOptions) -> LM:
    """Load a base model with an adapter on it.

    The harness could do so itself, but where tokenizer and embeddings differ in size it resizes
    the base, which is then no longer the base.

    Raises:
        DormantError: One of them can't be loaded.
    """
    lm: Any = load(base, options)
    lm._model = attach_adapter(lm._model, adapter)
    return lm


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


def attach_adapter(model: Any, spec: ModelSpec) -> Any:
    """Put a PEFT adapter on a loaded base model, which it shares and does not copy.

    Raises:
        DormantError: The adapter can't be read, or was made for a base of another shape.
    """
    from peft import PeftModel

    with quiet():
        try:
            return PeftModel.from_pretrained(model, spec.location).eval()
        except (ValueError, RuntimeError) as error:
            raise DormantError(
                f"adapter {spec.text!r} (made for {spec.base!r}) does not fit this base model: "
                f"{one_line(error)}"
            ) from error
        except Exception as error:
            # safetensors raises its own exception type for a damaged file.
            raise DormantError(
                f"adapter {spec.text!r} can't be read: {one_line(error)}; save it again"
            ) from error


def wrap(model: Any, tokenizer: Any, options: LoadOptions) -> LM:
    """Give a loaded model the harness's interface."""
    with quiet():
        return _harness_class(options)(
            pretrained=model, tokenizer=tokenizer, **wrapping_arguments(options)
        )


def _load_checkpoint(spec: ModelSpec, options: LoadOptions) -> LM:
    # PyTorch looks before its first tensor. The C library maps each layer's outputs anew, which
    # with pages of 4 kB costs a fault for every 1024 numbers (docs/benchmarks.md).
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    require_libraries()
    arguments = harness_arguments(spec, options)
    kind = quantised(_harness_class(options), arguments)
    with quiet(), read_once() if spec.kind == "gguf" else contextlib.nullcontext():
        try:
            return kind(**arguments)
        except Exception as error:
            # Loaders raise whatever a damaged file makes them stumble over.
            raise DormantError(f"model {spec.text!r} can't be loaded: {one_line(error)}") from error


def _harness_class(options: LoadOptions) -> Any:
    if options.scorer == "fast":
        from dormant.scoring.scorer import FastLM

        return FastLM
    from lm_eval.models.huggingface import HFLM

    return HFLM


def _start_backend(spec: ModelSpec, options: LoadOptions) -> LM:
    from lm_eval.api.registry import get_model
    from lm_eval.utils import simple_parse_args_string

    assert spec.backend is not None
    arguments = {**simple_parse_args_string(spec.location), **options.model_args}
    if options.batch_size is not None:
        arguments["batch_size"] = options.batch_size
    with quiet():
        try:
            return get_model(spec.backend).create_from_arg_obj(arguments, {})
        except Exception as error:
            # A backend may raise anything at all; the user needs its words, not its traceback.
            raise DormantError(
                f"backend {spec.text!r} can't be started: {one_line(error)}"
            ) from error
