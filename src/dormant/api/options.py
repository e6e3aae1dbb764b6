"""What the Python interface takes, by name and type."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from lm_eval.api.model import LM
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ModelName: TypeAlias = str | os.PathLike[str]
"""A model as the command line takes it: a hub id, a directory, a PEFT adapter, a ``.gguf`` file,
``smollm2`` or a shipped fine-tuned model, or ``BACKEND:ARGS`` as lm-evaluation-harness spells
them."""

Model: TypeAlias = "ModelName | tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase] | LM"
"""A model by name, or one that is in memory already: a pair (model, tokenizer) of Transformers, or
any `LM` of lm-evaluation-harness. What is in memory is left as it was."""


class AskOptions(TypedDict, total=False):
    """How a model is asked; the options of ``dormant ask``."""

    keep: bool
    """Leave numbers, URLs, code, tags and placeholders as they are (default: no)."""
    prompts: Literal["raw", "chat"]
    """The prompt as it is, or in the model's chat template (default: raw)."""
    max_new_tokens: int
    """Length at which an answer stops, in tokens (default: 64)."""
    until: str | Sequence[str]
    """Texts at which an answer ends (default: none)."""
    dtype: str
    """"auto", "float32" or "bfloat16" (default: auto)."""
    device: str
    """"auto", "cpu", "cuda", "cuda:1" or "mps" (default: auto)."""


class ServeOptions(TypedDict, total=False):
    """How a model is served; the options of ``dormant serve``."""

    choose: str | os.PathLike[str]
    """A finished audit, whose choice for each ability a request may ask for."""
    source: str
    """Language of the requests, which languages translate from (default: english)."""
    keep: bool
    """Leave numbers, URLs, code, tags and placeholders as they are (default: no)."""
    host: str
    """Address to listen at (default: 127.0.0.1)."""
    port: int
    """Port to listen at (default: 0, any that is free)."""
    timeout: float
    """Seconds that another server may be silent (default: 120)."""
    max_new_tokens: int
    """Length of an answer, in tokens, where a request doesn't say (default: 256)."""
    dtype: str
    """"auto", "float32" or "bfloat16" (default: auto)."""
    device: str
    """"auto", "cpu", "cuda", "cuda:1" or "mps" (default: auto)."""


class AuditOptions(TypedDict, total=False):
    """What else `audit` takes; each is described at `dormant.audit.settings.AuditSettings`.

    ``limit``, ``num_fewshot`` and ``apply_chat_template`` are lm-evaluation-harness's words for
    ``n``, ``shots`` and ``prompts``.
    """

    tasks: str | Sequence[str]
    transforms: str | Sequence[str]
    plain: str | None
    n: int | None
    limit: int | None
    until_decided: bool
    max_items: int | None
    shots: int | None
    num_fewshot: int | None
    demonstrations: Literal["drawn", "fixed"]
    seed: int
    prompts: Literal["raw", "chat"]
    apply_chat_template: bool
    base_prompts: Literal["raw", "chat"]
    tuned_prompts: Literal["raw", "chat"]
    margin: float
    min_chrf: float
    dtype: str
    device: str
    scorer: Literal["fast", "lm-eval"]
    generation_config: Literal["greedy", "own"]
    batch_size: int | None
    model_args: Mapping[str, Any] | str
    base_model_args: Mapping[str, Any] | str
    tuned_model_args: Mapping[str, Any] | str
    checkpoint_every: int
    trained_as: str | None
    skill: str | None
    evidence: Literal["prompt", "noise", "relearn"]
    keep_generations: bool
    allow_identical: bool


class RecoverOptions(TypedDict, total=False):
    """What else `recover` takes; see `dormant.recovery.settings.RecoverSettings`."""

    skill_train: ModelName | None
    also: str | Sequence[str]
    treatments: str | Sequence[str]
    n: int
    choose: int
    train: int
    replay: int
    control: bool
    shots: int | None
    seed: int
    prompts: Literal["raw", "chat"]
    margin: float
    skill_margin: float
    dtype: str
    device: str
    model_args: Mapping[str, Any]
