"""From a model specification to an lm-evaluation-harness `LM` that can be asked."""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import logging
import math
import os
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from dormant.errors import DormantError
from dormant.models.gguf_files import read_once
from dormant.models.spec import ModelSpec, parse, require_libraries

if TYPE_CHECKING:
    from lm_eval.api.model import LM

Which: TypeAlias = Literal["base", "tuned"]
Scorer: TypeAlias = Literal["fast", "lm-eval"]


_ROUNDING, _ROUNDING_OF_SUMS = 1e-3, 2e-2
"""How far above 0 log-probabilities, and above 1 sums of probabilities, may be in bfloat16."""


BATCH_SIZE = 16
"""Prompts a forward pass where nothing else is said."""


@dataclass(frozen=True)
class LoadOptions:
    """How models are loaded.

    Attributes:
        dtype: "auto", "float32" or "bfloat16".
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        scorer: "fast" is Dormant's own subclass of lm-eval's Hugging Face model; "lm-eval" is
            that model itself.
        batch_size: Prompts a forward pass, for lm-eval's own model; `None` is `BATCH_SIZE`.
        model_args: What else lm-evaluation-harness's Hugging Face model takes, by its own names.
    """

    dtype: str = "auto"
    device: str = "auto"
    scorer: Scorer = "fast"
    batch_size: int | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Answer(NamedTuple):
    """What a model makes of one answer.

    Attributes:
        logprob: log p(answer | prompt), nats.
        greedy: Whether greedy decoding would begin with it.
    """

    logprob: float
    greedy: bool


def load_hf(
    spec: ModelSpec | str, *, dtype: str = "float32", device: str = "auto"
) -> tuple[Any, Any]:
    """Load a causal language model and its tokenizer with Transformers.

    An adapter is loaded on top of the base that its configuration names.

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
    if spec.kind == "adapter":
        if spec.base is None:
            raise DormantError(f"adapter {spec.text!r} names no base model; give it explicitly")
        model, tokenizer = load_hf(spec.base, dtype=dtype, device=device)
        return attach_adapter(model, spec), tokenizer
    if spec.kind == "backend":
        raise DormantError(
            f"model {spec.text!r} is served by a backend; this needs one that Transformers loads"
        )
    # PyTorch looks before its first tensor. The C library maps each layer's outputs anew, which
    # with pages of 4 kB costs a fault for every 1024 numbers (docs/benchmarks.md).
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    require_libraries()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"pretrained_model_name_or_path": spec.location}
    if dtype == "auto" and spec.kind == "gguf":
        # A dequantised checkpoint has no precision of its own.
        dtype = "float32"
    if spec.kind == "gguf":
        file = Path(spec.location)
        where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    kind = dtype if dtype == "auto" else getattr(torch, dtype, None)
    if kind is None:
        raise DormantError(f"unknown dtype {dtype!r}: auto, float32 or bfloat16")
    with _quiet(), read_once() if spec.kind == "gguf" else contextlib.nullcontext():
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(**where, dtype=kind)
            tokenizer = AutoTokenizer.from_pretrained(**where)
        except Exception as error:
            # Loaders raise whatever a damaged file makes them stumble over.
            raise DormantError(
                f"model {spec.text!r} can't be loaded: {_first_line(error)}"
            ) from error
    model.to(pick_device(device))
    return model.eval(), tokenizer


def attach_adapter(model: Any, spec: ModelSpec) -> Any:
    """Put a PEFT adapter on a loaded base model, which it shares and does not copy.

    Raises:
        DormantError: The adapter can't be read, or was made for a base of another shape.
    """
    from peft import PeftModel

    with _quiet():
        try:
            return PeftModel.from_pretrained(model, spec.location).eval()
        except (ValueError, RuntimeError) as error:
            raise DormantError(
                f"adapter {spec.text!r} (made for {spec.base!r}) does not fit this base model: "
                f"{_first_line(error)}"
            ) from error
        except Exception as error:
            # safetensors raises its own exception type for a damaged file.
            raise DormantError(
                f"adapter {spec.text!r} can't be read: {_first_line(error)}; save it again"
            ) from error


class ModelPair:
    """A base model and its tuned child, of which at most one is in memory at a time.

    An adapter is the exception that costs nothing: it is switched on and off over one copy of
    the base's weights.

    Args:
        base: The base model, or `None` to audit the tuned one alone.
        tuned: The fine-tuned model.
        options: How to load them.
        tuned_options: How to load the fine-tuned one, where that differs.
    """

    def __init__(
        self,
        base: ModelSpec | None,
        tuned: ModelSpec,
        options: LoadOptions | None = None,
        tuned_options: LoadOptions | None = None,
    ) -> None:
        self.base = base
        self.tuned = tuned
        self.options = options or LoadOptions()
        self.tuned_options = tuned_options or self.options
        self.shares_weights = (
            base is not None
            and tuned.kind == "adapter"
            and base.kind in ("hf", "gguf")
            and self.tuned_options == self.options
        )
        self._shared: tuple[LM, Any] | None = None

    def warnings(self) -> list[str]:
        """Return what a reader of the results should know about the pair."""
        if (
            self.base is not None
            and self.tuned.kind == "adapter"
            and self.tuned.base not in (None, self.base.text, self.base.location)
        ):
            return [
                f"the adapter names {self.tuned.base!r} as its base, and was put on "
                f"{self.base.text!r}: check that they are the same weights"
            ]
        return []

    @contextlib.contextmanager
    def open(self, which: Which) -> Generator[LM]:
        """Load one of the two, hand it out, and let go of its memory.

        Raises:
            DormantError: It can't be loaded.
        """
        spec = self.base if which == "base" else self.tuned
        if spec is None:
            raise DormantError("this audit has no base model")
        if self.shares_weights:
            assert self.base is not None
            if self._shared is None:
                base, tokenizer = load_hf(
                    self.base, dtype=self.options.dtype, device=self.options.device
                )
                model = attach_adapter(base, self.tuned)
                self._shared = (wrap(model, tokenizer, self.options), model)
            lm, model = self._shared
            with model.disable_adapter() if which == "base" else contextlib.nullcontext():
                yield lm
            return
        lm = load(spec, self.options if which == "base" else self.tuned_options)
        try:
            yield lm
        finally:
            del lm
            gc.collect()


def load(spec: ModelSpec | str, options: LoadOptions | None = None) -> LM:
    """Load any model as an lm-evaluation-harness `LM`.

    Raises:
        DormantError: It can't be loaded.
    """
    spec = parse(spec) if isinstance(spec, str) else spec
    options = options or LoadOptions()
    if spec.kind != "backend":
        model, tokenizer = load_hf(spec, dtype=options.dtype, device=options.device)
        return wrap(model, tokenizer, options)
    from lm_eval.api.registry import get_model

    assert spec.backend is not None
    with _quiet():
        try:
            return get_model(spec.backend).create_from_arg_string(spec.location, {})
        except Exception as error:
            # A backend may raise anything at all; the user needs its words, not its traceback.
            raise DormantError(
                f"backend {spec.text!r} can't be started: {_first_line(error)}"
            ) from error


def wrap(model: Any, tokenizer: Any, options: LoadOptions) -> LM:
    """Give a loaded model the harness's interface."""
    size = options.batch_size or BATCH_SIZE
    with _quiet():
        if options.scorer == "fast":
            from dormant.scoring.scorer import FastLM

            precision = "float32" if options.dtype == "float32" else "auto"
            fast: Any = FastLM
            return fast(
                pretrained=model,
                tokenizer=tokenizer,
                batch_size=size,
                precision=precision,
            )
        from lm_eval.models import huggingface

        harness: Any = huggingface.HFLM
        return harness(pretrained=model, tokenizer=tokenizer, batch_size=size)


def score(lm: LM, prompts: Sequence[str], answers: Sequence[Sequence[str]]) -> list[list[Answer]]:
    """Score every answer to every prompt.

    Args:
        lm: Any harness model.
        prompts: N rendered prompts.
        answers: N rows of continuations, with their leading space where they have one.

    Returns:
        N rows like `answers`.

    Raises:
        DormantError: The backend failed, or its log-probabilities can't be true.
    """
    from lm_eval.api.instance import Instance

    own = getattr(lm, "score", None)
    if own is not None:
        with _quiet():
            return [
                [Answer(one.logprob, one.greedy) for one in row] for row in own(prompts, answers)
            ]
    requests = [
        Instance("loglikelihood", {}, (prompt, answer), index)
        for index, (prompt, row) in enumerate(zip(prompts, answers, strict=True))
        for answer in row
    ]
    with _quiet(), _backend_errors(lm):
        found = [
            Answer(float(logprob), bool(greedy))
            for logprob, greedy in _silently(lm.loglikelihood)(requests)
        ]
    if len(found) != len(requests):
        raise DormantError(
            f"the model answered {len(found)} of {len(requests)} requests: use another backend"
        )
    flat = iter(found)
    rows = [[next(flat) for _ in row] for row in answers]
    refuse_impossible(prompts, answers, rows)
    return rows


def refuse_impossible(
    prompts: Sequence[str], answers: Sequence[Sequence[str]], rows: Sequence[Sequence[Answer]]
) -> None:
    """Raise for log-probabilities that no model can have given.

    Servers are of many makes. One that leaves out ``echo`` gives every answer probability 1, and
    all of them greedily: such numbers must not become a verdict.

    Raises:
        DormantError: One is not a number, infinite or above 0; those of different answers to one
            prompt add up to more than 1; or they are exactly 0 throughout.
    """
    for prompt, texts, row in zip(prompts, answers, rows, strict=True):
        values = [answer.logprob for answer in row]
        alone = [
            value
            for place, value in enumerate(values)
            # Probabilities of an answer and of its own beginning may add up to more.
            if not any(
                texts[place].startswith(other) or other.startswith(texts[place])
                for at, other in enumerate(texts)
                if at != place
            )
        ]
        if (
            not all(math.isfinite(value) for value in values)
            or max(values, default=0) > _ROUNDING
            or sum(math.exp(min(value, 0)) for value in alone) > 1 + _ROUNDING_OF_SUMS
        ):
            raise DormantError(
                f"the model gave an impossible log-probability ({values}) for the prompt that "
                f"begins {prompt[:60]!r}: use another dtype or backend; a server must honour "
                "echo and logprobs"
            )
    flat = [answer.logprob for row in rows for answer in row]
    if len(flat) > 1 and not any(flat):
        raise DormantError(
            f"the model gave all {len(flat)} answers probability 1 (log-probability 0): a server "
            "must honour echo and logprobs; use another backend"
        )


def choose_precision(
    lm: LM, prompts: Sequence[str], answers: Sequence[Sequence[str]]
) -> str | None:
    """Let a scorer that can choose between float32 and bfloat16 do so on a sample.

    Returns:
        One line on what was chosen and why, or `None` where there was nothing to choose.
    """
    choose = getattr(lm, "choose_precision", None)
    if choose is None:
        return None
    with _quiet():
        found = choose(prompts, answers)
    if not found.compared:
        return None
    if found.differing:
        return (
            f"float32: bfloat16 changed {found.differing} of {found.compared} greedy verdicts on "
            "a sample of the prompts"
        )
    if found.dtype == "float32":
        return (
            f"float32: {found.doubted:.0%} of a sample of the prompts were close calls in "
            "bfloat16, which saves nothing then"
        )
    return (
        f"bfloat16: all {found.compared} greedy verdicts on a sample equal float32's; "
        f"{found.doubted:.0%} of its prompts were close calls, decided in float32"
    )


def generate(
    lm: LM, prompts: Sequence[str], *, max_new_tokens: int, until: Sequence[str] = ()
) -> list[str]:
    """Complete every prompt greedily.

    Args:
        lm: Any harness model.
        prompts: N rendered prompts.
        max_new_tokens: Length at which a completion stops, in tokens.
        until: Texts at which a completion ends, left out of it.

    Returns:
        N completions.

    Raises:
        DormantError: The backend failed.
    """
    from lm_eval.api.instance import Instance

    settings = {"until": list(until), "max_gen_toks": max_new_tokens, "do_sample": False}
    requests = [
        Instance("generate_until", {}, (prompt, settings), index)
        for index, prompt in enumerate(prompts)
    ]
    with _quiet(), _backend_errors(lm):
        complete: Callable[..., list[str]] = getattr(lm, "generate_until")  # noqa: B009
        return list(_silently(complete)(requests))


def render(lm: LM, prompt: str, style: Literal["raw", "chat"]) -> str:
    """Return the prompt as the model reads it: as it is, or as a user's turn of a chat.

    Raises:
        DormantError: The model has no chat template.
    """
    return prompt if style == "raw" else render_chat(lm, [{"role": "user", "content": prompt}])


def render_chat(lm: LM, turns: list[dict[str, str]], *, answer: bool = True) -> str:
    """Return a chat as the model reads it.

    Args:
        lm: Any harness model.
        turns: Its messages, each with a "role" and its "content".
        answer: Whether the assistant's next turn begins after them; otherwise the last one, which
            is the assistant's, goes on.

    Raises:
        DormantError: The model has no chat template.
    """
    try:
        return lm.apply_chat_template(turns, add_generation_prompt=answer)
    except (NotImplementedError, ValueError, AttributeError) as error:
        raise DormantError(
            f"this model has no chat template ({_first_line(error)}); use raw"
        ) from error


def pick_device(name: str) -> str:
    """Return the device's name; "auto" is the first of cuda, mps, cpu that is there."""
    if name != "auto":
        return name
    import torch

    if torch.cuda.is_available():
        # Under torchrun each process has a device of its own.
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _silently(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turn off a harness method's own progress bar, where it takes the option."""
    if "disable_tqdm" in inspect.signature(method).parameters:
        return functools.partial(method, disable_tqdm=True)
    return method


_HINTS: tuple[tuple[str, str], ...] = (
    ("429", "ask less at once (num_concurrent=1) or try more often (max_retries=10)"),
    ("timeout", "give it more time (timeout=SECONDS) or ask less at once"),
    ("timed out", "give it more time (timeout=SECONDS) or ask less at once"),
    ("connect", "check that the server runs and that base_url is right"),
    ("disconnected", "check the server's log"),
)


@contextlib.contextmanager
def _backend_errors(lm: LM) -> Generator[None]:
    """Turn whatever a backend raises into one line; what was scored before is on disk."""
    try:
        yield
    except DormantError:
        raise
    except Exception as error:
        # Foreign code, and often a network below it: anything may come.
        told = f"{type(error).__name__}: {_first_line(error)}"
        fits = (hint for sign, hint in _HINTS if sign in told.lower())
        advice = next(fits, "check its arguments")
        raise DormantError(
            f"the model's backend ({type(lm).__name__}) failed: {told}; {advice}, then start "
            "again: finished work is kept"
        ) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:240] if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Hold back the libraries' progress bars and advice; errors still pass."""
    import transformers.utils.logging as transformers_logging

    loggers = [logging.getLogger(name) for name in ("lm_eval", "lm-eval", "transformers", "gguf")]
    levels = [logger.level for logger in loggers]
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # PEFT asks Transformers by a name that the latter is about to drop.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()
