"""LoRA fine-tuning of a causal language model on prompts and completions.

Small on purpose: it makes the fine-tuned children that Dormant audits, with the interventions that
an audit suggests (fewer steps, a smaller rate, replay). Adapters are Hu et al. (2021), by PEFT.
"""

from __future__ import annotations

import inspect
import json
import math
import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from dormant.errors import DormantError

if TYPE_CHECKING:
    import torch

_IGNORED = -100
"""The label that cross entropy skips, by PyTorch's convention."""


@dataclass(frozen=True)
class Pair:
    """One training example.

    Attributes:
        prompt: What the model reads; no loss is taken on it.
        completion: What it should write next, with its leading space if it has one.
    """

    prompt: str
    completion: str


@dataclass(frozen=True, kw_only=True)
class TuningSettings:
    """How a child is tuned.

    Attributes:
        steps: Optimiser steps.
        batch_size: Examples a step; as many again from the replay data, if there is any.
        learning_rate: Peak rate of AdamW. It rises linearly over `warmup_steps`, then falls
            linearly to a tenth of the peak at the last step.
        warmup_steps: Length of the rise.
        rank: Rank r of the update B·A of each linear layer but the output head.
        alpha: The update is scaled by alpha / rank; `None` is twice the rank.
        replay_weight: Weight of the replay loss: the loss is L(data) + weight · L(replay).
        end_token: Whether to teach the end-of-sequence token after each completion.
        max_length: Longest example accepted, in tokens.
        max_gradient_norm: Gradients are clipped to this norm.
        compute: "bfloat16" runs the layers in autocast; weights stay as they are.
        seed: Decides the adapter's start and the order of the examples. The same seed, software,
            device and number of threads give the same adapter.
    """

    steps: int = 100
    batch_size: int = 8
    learning_rate: float = 3e-4
    warmup_steps: int = 5
    rank: int = 8
    alpha: float | None = None
    replay_weight: float = 1.0
    end_token: bool = True
    max_length: int = 1024
    max_gradient_norm: float = 1.0
    compute: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "rank", "max_length"):
            if getattr(self, name) < 1:
                raise DormantError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("learning_rate", "max_gradient_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise DormantError(f"{name} must be a positive number, not {value}")
        if not (math.isfinite(self.replay_weight) and self.replay_weight >= 0):
            raise DormantError(f"replay_weight must be at least 0, not {self.replay_weight}")
        if self.warmup_steps < 0:
            raise DormantError(f"warmup_steps must be at least 0, not {self.warmup_steps}")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 1."""
        if step <= self.warmup_steps:
            return self.learning_rate * step / (self.warmup_steps + 1)
        left = (self.steps - step) / max(1, self.steps - self.warmup_steps)
        return self.learning_rate * (0.1 + 0.9 * left)


class StepLog(NamedTuple):
    """One line of the training log.

    Attributes:
        step: Counted from 1.
        loss: Mean cross entropy of the completions' tokens, nats, before the step.
        replay_loss: The same on the replay examples; `None` without any.
        learning_rate: Rate of the step.
        seconds: Wall time since training began.
    """

    step: int
    loss: float
    replay_loss: float | None
    learning_rate: float
    seconds: float


class _Encoded(NamedTuple):
    tokens: list[int]
    prompt_length: int


def read_pairs(path: str | Path) -> list[Pair]:
    """Read training examples: JSON lines with "prompt" and "completion", both non-empty strings.

    Blank lines are skipped.

    Raises:
        DormantError: The file can't be read, holds no example, or a line is malformed (named).
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DormantError(f"training data {path} can't be read: {error}") from None
    pairs: list[Pair] = []
    # Not splitlines(): JSON strings may hold U+2028 and its kind, which end no line here.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            pairs.append(_pair(line, f"{path}, line {number}"))
    if not pairs:
        raise DormantError(
            f'training data {path} is empty: give JSON lines {{"prompt": …, "completion": …}}'
        )
    return pairs


def _pair(line: str, where: str) -> Pair:
    try:
        value: object = json.loads(line)
    except ValueError as error:
        raise DormantError(f"{where}: not a JSON object ({error})") from None
    fields = cast("dict[object, object]", value) if isinstance(value, dict) else {}
    prompt, completion = fields.get("prompt"), fields.get("completion")
    if set(fields) != {"prompt", "completion"}:
        raise DormantError(
            f'{where}: expected exactly the fields "prompt" and "completion", '
            f"found {sorted(map(str, fields)) or type(value).__name__}"
        )
    if not (isinstance(prompt, str) and prompt and isinstance(completion, str) and completion):
        raise DormantError(f'{where}: "prompt" and "completion" must be non-empty strings')
    return Pair(prompt, completion)


def tune(
    model: Any,
    tokenizer: Any,
    data: Sequence[Pair],
    settings: TuningSettings,
    *,
    replay: Sequence[Pair] = (),
    on_step: Callable[[StepLog], None] | None = None,
) -> Any:
    """Fine-tune a LoRA adapter; the base's weights stay as they are.

    Examples are drawn in shuffled passes over the data, from a stream of their own, so that adding
    replay changes nothing in the order of the data.

    Args:
        model: A Transformers causal language model in float32 (PEFT wraps it in place).
        tokenizer: Its tokenizer.
        data: Examples to learn.
        settings: See `TuningSettings`.
        replay: Examples of what should not be lost.
        on_step: Called after each step.

    Returns:
        The PEFT model in evaluation mode.

    Raises:
        DormantError: An example that doesn't fit, or a loss that is not a number.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    if not data:
        raise DormantError("there is no training example")
    encoded = _encode_all(tokenizer, data, settings, "data")
    encoded_replay = _encode_all(tokenizer, replay, settings, "replay")
    device = next(model.parameters()).device
    # A stream of its own: neither reads nor moves the caller's random state.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=settings.rank,
            lora_alpha=cast(int, settings.alpha or 2 * settings.rank),
            target_modules="all-linear",
        )
        with warnings.catch_warnings():
            # PEFT asks Transformers by a name that the latter is about to drop: nothing a user of
            # either can change.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            tuned = get_peft_model(model, config)
        tuned.train()
        weights = [weight for weight in tuned.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0)
        batches = _batches(encoded, settings.batch_size, f"{settings.seed}/data")
        replays = _batches(encoded_replay, settings.batch_size, f"{settings.seed}/replay")
        began = time.perf_counter()
        for step in range(1, settings.steps + 1):
            rate = settings.rate(step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            loss = _backward(tuned, next(batches), settings, 1.0)
            replay_loss = (
                _backward(tuned, next(replays), settings, settings.replay_weight)
                if encoded_replay
                else None
            )
            if not math.isfinite(loss + (replay_loss or 0.0)):
                raise DormantError(
                    f"the loss at step {step} is not a number: lower the learning rate "
                    f"({settings.learning_rate:g})"
                )
            torch.nn.utils.clip_grad_norm_(weights, settings.max_gradient_norm)
            optimizer.step()
            if on_step is not None:
                on_step(StepLog(step, loss, replay_loss, rate, time.perf_counter() - began))
    return tuned.eval()


def save_adapter(tuned: Any, out: str | Path, *, base: str, settings: TuningSettings) -> None:
    """Write a tuned adapter as PEFT does, in bfloat16, with the settings beside it.

    Args:
        tuned: What `tune` returned; its adapter is rounded to bfloat16 in place, so that what is
            in memory is what was saved.
        out: Directory, made if need be.
        base: The base model's specification, by which it is found again.
        settings: Protected in ``tuning.json``.

    Raises:
        DormantError: The directory can't be written.
    """
    import torch

    out = Path(out)
    for weight in tuned.parameters():
        if weight.requires_grad:
            weight.data = weight.data.to(torch.bfloat16)
    tuned.peft_config["default"].base_model_name_or_path = base
    try:
        # Without the flag PEFT asks the hub about the base's embeddings, which are never tuned.
        tuned.save_pretrained(out, save_embedding_layers=False)
        file = out / "adapter_config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        # PEFT writes a set, in another order every time.
        config["target_modules"] = sorted(config["target_modules"])
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        record = json.dumps({"base": base, **asdict(settings)}, indent=2)
        (out / "tuning.json").write_text(record + "\n", encoding="utf-8")
        # In place of PEFT's form to be filled in.
        (out / "README.md").write_text(_card(base, settings), encoding="utf-8")
    except OSError as error:
        raise DormantError(f"the adapter can't be written to {out}: {error}") from None


def _card(base: str, settings: TuningSettings) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in asdict(settings).items())
    return (
        f"---\nlibrary_name: peft\nbase_model: {base}\n---\n\n"
        f"# A LoRA child of {base}\n\nMade by `dormant tune`.\n\n"
        f"| setting | value |\n|---|---|\n{rows}\n"
    )


def _encode_all(
    tokenizer: Any, pairs: Sequence[Pair], settings: TuningSettings, kind: str
) -> list[_Encoded]:
    return [
        _encode(tokenizer, pair, settings, f"{kind} example {number}")
        for number, pair in enumerate(pairs, start=1)
    ]


def _encode(tokenizer: Any, pair: Pair, settings: TuningSettings, where: str) -> _Encoded:
    """Tokenise prompt and completion together and split them by length, as lm-eval does."""
    prompt_length = len(tokenizer(pair.prompt)["input_ids"])
    tokens: list[int] = list(tokenizer(pair.prompt + pair.completion)["input_ids"])
    if settings.end_token:
        if tokenizer.eos_token_id is None:
            raise DormantError("the tokenizer has no end-of-sequence token: tune without it")
        tokens.append(tokenizer.eos_token_id)
    if len(tokens) > settings.max_length:
        raise DormantError(
            f"{where} ({pair.prompt[:40]!r} …) has {len(tokens)} tokens, more than max_length "
            f"({settings.max_length}): shorten it or raise the limit"
        )
    if not 0 < prompt_length < len(tokens):
        raise DormantError(
            f"{where} ({pair.prompt[:40]!r} …): the completion {pair.completion[:40]!r} adds no "
            "token to the prompt; move white space from the prompt's end to the completion"
        )
    return _Encoded(tokens, prompt_length)


def _batches(examples: Sequence[_Encoded], size: int, stream: str) -> Iterator[list[_Encoded]]:
    """Yield batches for ever: shuffled passes, one after the other."""
    order = random.Random(stream)
    waiting: list[_Encoded] = []
    while examples:
        while len(waiting) < size:
            waiting += order.sample(examples, len(examples))
        yield waiting[:size]
        waiting = waiting[size:]


def _backward(
    model: Any, batch: Sequence[_Encoded], settings: TuningSettings, weight: float
) -> float:
    """Add the gradient of weight · loss to the parameters', and return the loss (not weighted)."""
    import torch

    device = next(model.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.compute == "bfloat16"):
        loss = _completion_loss(model, batch, device)
    (weight * loss).backward()
    return float(loss.detach())


def _completion_loss(model: Any, batch: Sequence[_Encoded], device: torch.device) -> torch.Tensor:
    """Return the mean cross entropy over all completion tokens of the batch.

    Rows are padded on the right, where causal attention can't see the padding. Logits, which a
    large vocabulary makes dear, are computed at the positions that predict a completion only,
    where the model can do so.
    """
    import torch

    width = max(len(example.tokens) for example in batch)
    tokens = torch.zeros(len(batch), width, dtype=torch.long)
    targets = torch.full((len(batch), width), _IGNORED)
    mask = torch.zeros_like(tokens)
    for row, (ids, prompt_length) in enumerate(batch):
        tokens[row, : len(ids)] = torch.tensor(ids)
        mask[row, : len(ids)] = 1
        # The logits at position t predict token t + 1.
        targets[row, prompt_length - 1 : len(ids) - 1] = torch.tensor(ids[prompt_length:])
    positions = (targets != _IGNORED).any(dim=0).nonzero().squeeze(1)
    arguments: dict[str, Any] = {}
    if "logits_to_keep" in inspect.signature(model.get_base_model().forward).parameters:
        arguments["logits_to_keep"] = positions.to(device)
    logits = model(
        input_ids=tokens.to(device), attention_mask=mask.to(device), use_cache=False, **arguments
    ).logits
    if not arguments:
        logits = logits[:, positions.to(device)]
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1),
        targets[:, positions].to(device).flatten(),
        ignore_index=_IGNORED,
    )
