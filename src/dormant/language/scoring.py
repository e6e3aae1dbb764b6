"""A fast, exact scorer: lm-evaluation-harness's Hugging Face model with one pass a prompt.

Every prompt is read once, with all its answers behind it, and logits are computed only where an
answer is predicted. Batches are padded on the right, where causal attention makes padding
invisible, so plain rows need no mask at all. On hardware with fast bfloat16 the layers run in it,
after a check against float32 on a sample of the run's own prompts; the output head always runs in
float32.
"""

from __future__ import annotations

import dataclasses
import gc
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from dormant.errors import DormantError
from dormant.language.packing import Row, pack

TOKEN_BUDGET = 4096
"""Tokens a forward pass; from `benchmarks/scoring.py --budgets`, where larger no longer pays."""

_SAMPLE = 32
_SPELLING_ROUNDS = 16
_TOLERANCE = 1e-3


class Scored(NamedTuple):
    """One answer to one prompt.

    Attributes:
        logprob: log p(answer | prompt), nats.
        greedy: Whether greedy decoding would begin with the answer's text, whatever its tokens.
        exact: Whether it would begin with the answer's tokens.
    """

    logprob: float
    greedy: bool
    exact: bool


@dataclass(frozen=True)
class _Spelling:
    """Tokens that may be greedy decoding's own way to write an answer."""

    index: int
    place: int
    context: tuple[int, ...]
    tokens: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class Precision:
    """What was decided about bfloat16, and on what evidence.

    Attributes:
        dtype: "bfloat16" or "float32".
        compared: Answers compared.
        differing: Greedy verdicts that differed between the two.
    """

    dtype: str
    compared: int = 0
    differing: int = 0


class FastLM(HFLM):
    """lm-evaluation-harness's HF model with a faster way to score answers.

    Where the architecture isn't one whose decoder and head can be called apart (checked on the
    first batch against the model's own logits), it is the harness's own path that runs.

    Args:
        precision: "auto" tries bfloat16 where the hardware is fast at it; "float32" and
            "bfloat16" insist.
        token_budget: Tokens a forward pass, padding counted.
        options: As for the harness's model.
    """

    if TYPE_CHECKING:
        # The harness leaves these untyped.
        model: Any
        tokenizer: Any
        device: Any
        backend: str
        max_length: int

        def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]: ...

    def __init__(
        self, *, precision: str = "auto", token_budget: int = TOKEN_BUDGET, **options: Any
    ) -> None:
        super().__init__(**options)
        self.token_budget = token_budget
        self._wanted = precision
        self.precision = Precision("bfloat16" if precision == "bfloat16" else "float32")
        if self.model.dtype != torch.float32:
            # The checkpoint's own precision: there is nothing to choose.
            self._wanted = "own"
            self.precision = Precision(str(self.model.dtype).removeprefix("torch."))
        self._split: tuple[Any, Any] | None = _decoder_and_head(self.model)
        self._checked = False

    # -- the harness's contract -----------------------------------------------------------------

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Score continuations, those of one context in one pass; see the harness's `LM`."""
        groups: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(_pair(request)[0], []).append(place)
        if self._split is None or "" in groups or self.backend != "causal":
            return self._harness_loglikelihood(requests, disable_tqdm)
        answers = [[_pair(requests[place])[1] for place in places] for places in groups.values()]
        found: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for places, row in zip(groups.values(), self._score(list(groups), answers), strict=True):
            for place, one in zip(places, row, strict=True):
                found[place] = (one.logprob, one.exact)
        return found

    # -- our own, richer call -------------------------------------------------------------------

    def score(self, prompts: Sequence[str], answers: Sequence[Sequence[str]]) -> list[list[Scored]]:
        """Score every answer to every prompt, and say whether greedy decoding begins with it.

        Where greedy decoding leaves our tokens for others that may spell the same text, its own
        tokens are followed until the text is said or missed.

        Args:
            prompts: N prompts.
            answers: N rows of answers, with their leading space where they have one.

        Returns:
            N rows like `answers`.

        Raises:
            DormantError: A prompt is longer than the context, or a log-probability isn't finite.
        """
        if self._split is None or self.backend != "causal":
            return [
                [Scored(logprob, greedy, greedy) for logprob, greedy in row]
                for row in self._by_harness(prompts, answers)
            ]
        return self._score(prompts, answers, spell=True)

    def choose_precision(
        self, prompts: Sequence[str], answers: Sequence[Sequence[str]]
    ) -> Precision:
        """Decide between bfloat16 and float32 on a sample of the run's own prompts.

        bfloat16 is kept only if every greedy verdict on the sample equals float32's.

        Args:
            prompts: N prompts, of which the first 32 are used.
            answers: N rows of answers.
        """
        if self._wanted == "auto" and self._split is not None and _fast_bfloat16(self.device):
            prompts, answers = prompts[:_SAMPLE], answers[:_SAMPLE]
            self.precision = Precision("float32")
            slow = [one for row in self._score(prompts, answers, spell=True) for one in row]
            self.precision = Precision("bfloat16")
            fast = [one for row in self._score(prompts, answers, spell=True) for one in row]
            differing = sum(a.greedy != b.greedy for a, b in zip(slow, fast, strict=True))
            self.precision = Precision("float32" if differing else "bfloat16", len(slow), differing)
        return self.precision

    # -- inside ---------------------------------------------------------------------------------

    def _harness_loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool
    ) -> list[tuple[float, bool]]:
        path: Any = super().loglikelihood
        return path(requests, disable_tqdm=disable_tqdm)

    def _by_harness(
        self, prompts: Sequence[str], answers: Sequence[Sequence[str]]
    ) -> list[list[tuple[float, bool]]]:
        requests = [
            Instance("loglikelihood", {}, (prompt, answer), index)
            for index, (prompt, row) in enumerate(zip(prompts, answers, strict=True))
            for answer in row
        ]
        flat = iter(self._harness_loglikelihood(requests, True))
        return [[next(flat) for _ in row] for row in answers]

    def _score(
        self, prompts: Sequence[str], answers: Sequence[Sequence[str]], spell: bool = False
    ) -> list[list[Scored]]:
        rows = [
            self._row(index, prompt, texts)
            for index, (prompt, texts) in enumerate(zip(prompts, answers, strict=True))
        ]
        found: list[list[Scored]] = [[] for _ in rows]
        open_: list[_Spelling] = []
        for batch, outputs in self._forward(rows):
            for row, (logprobs, choices) in zip(batch, outputs, strict=True):
                for place, answer in enumerate(row.answers):
                    total = float(logprobs[place].double().sum())
                    if not math.isfinite(total):
                        raise DormantError(
                            f"the model gave log-probability {total} after the prompt that begins "
                            f"{prompts[row.index][:60]!r}: use float32 or another model"
                        )
                    exact = choices[place] == answer
                    found[row.index].append(Scored(total, exact, exact))
                    if spell and not exact:
                        text = answers[row.index][place]
                        open_ += self._follow(
                            _Spelling(row.index, place, row.context, answer, text), choices[place]
                        )
        for _ in range(_SPELLING_ROUNDS):
            open_ = self._chase(open_, found)
            if not open_:
                break
        return found

    def _follow(self, one: _Spelling, chosen: Sequence[int]) -> list[_Spelling]:
        """Return the spelling that greedy decoding took instead, if it may be the same text."""
        same = 0
        while one.tokens[same] == chosen[same]:
            same += 1
        taken = (*one.tokens[:same], chosen[same])
        said = self.tokenizer.decode(taken).lstrip(" ")
        text = one.text.lstrip(" ")
        if said.startswith(text):
            return [dataclasses.replace(one, tokens=taken)]
        if not said or not text.startswith(said):
            return []
        rest = self.tokenizer.encode(text[len(said) :], add_special_tokens=False)
        return [dataclasses.replace(one, tokens=(*taken, *rest))]

    def _chase(self, open_: Sequence[_Spelling], found: list[list[Scored]]) -> list[_Spelling]:
        """Score other spellings; return those that decoding leaves again for another one."""
        left: list[_Spelling] = []
        rows = [Row(index, one.context, (one.tokens,)) for index, one in enumerate(open_)]
        for batch, outputs in self._forward(rows):
            for row, (_, choices) in zip(batch, outputs, strict=True):
                one = open_[row.index]
                if choices[0] == one.tokens:
                    cell = found[one.index]
                    cell[one.place] = cell[one.place]._replace(greedy=True)
                else:
                    left += self._follow(one, choices[0])
        return left

    def _row(self, index: int, prompt: str, answers: Sequence[str]) -> Row:
        pairs = [self._encode_pair(prompt, answer) for answer in answers]
        contexts = {tuple(context) for context, _ in pairs}
        if len(contexts) > 1 or not all(tail for _, tail in pairs):
            raise DormantError(
                f"an answer can't be told apart from the prompt that begins {prompt[:60]!r}"
            )
        row = Row(index, contexts.pop(), tuple(tuple(tail) for _, tail in pairs))
        longest = len(row.context) + max(len(answer) for answer in row.answers)
        if longest > self.max_length:
            raise DormantError(
                f"{longest} tokens, but the model's context holds {self.max_length}: the prompt "
                f"that begins {prompt[:60]!r}"
            )
        return row

    def _forward(
        self, rows: Sequence[Row]
    ) -> Iterator[tuple[list[Row], list[tuple[list[Any], list[tuple[int, ...]]]]]]:
        """Yield batches with, for each row and answer, log-probabilities and choices."""
        waiting = pack(rows, self.token_budget)
        while waiting:
            batch = waiting.pop(0)
            try:
                outputs = self._forward_batch(batch)
            except (torch.OutOfMemoryError, MemoryError):
                if len(batch) == 1:
                    raise DormantError(
                        f"out of memory on a single prompt of {batch[0].length} tokens: use a "
                        "smaller model or dtype bfloat16"
                    ) from None
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                half = len(batch) // 2
                waiting[:0] = [batch[:half], batch[half:]]
                continue
            yield batch, outputs

    @torch.inference_mode()
    def _forward_batch(self, batch: Sequence[Row]) -> list[tuple[list[Any], list[tuple[int, ...]]]]:
        assert self._split is not None
        decoder, head = self._split
        width = max(row.length for row in batch)
        tokens = torch.zeros((len(batch), width), dtype=torch.long)
        for place, row in enumerate(batch):
            flat = [*row.context, *(token for tail in row.tails for token in tail)]
            tokens[place, : len(flat)] = torch.tensor(flat)
        extra: dict[str, Any] = {}
        if any(row.branches for row in batch):
            mask, positions = _branch_mask(batch, width)
            extra = {
                "attention_mask": mask.to(self.device),
                "position_ids": positions.to(self.device),
            }
        tokens = tokens.to(self.device)
        kind = self.device.type
        half = self.precision.dtype == "bfloat16" and self._wanted != "own"
        with torch.autocast(kind, torch.bfloat16, enabled=half):
            hidden = decoder(input_ids=tokens, use_cache=False, **extra).last_hidden_state
        where = [
            (place, at)
            for place, row in enumerate(batch)
            for places in row.predicted_at()
            for at in places
        ]
        picked = hidden[[place for place, _ in where], [at for _, at in where]]
        logits = head(picked.to(head.weight.dtype)).float()
        if not self._checked:
            self._check_split(tokens, extra, where, logits, half)
        wanted = torch.tensor(
            [token for row in batch for answer in row.answers for token in answer]
        )
        spread = torch.log_softmax(logits, dim=-1)
        logprobs = spread.gather(1, wanted.to(self.device)[:, None])[:, 0].cpu()
        choices: list[int] = logits.argmax(dim=-1).tolist()
        found: list[tuple[list[Any], list[tuple[int, ...]]]] = []
        place = 0
        for row in batch:
            row_logprobs: list[Any] = []
            row_choices: list[tuple[int, ...]] = []
            for answer in row.answers:
                row_logprobs.append(logprobs[place : place + len(answer)])
                row_choices.append(tuple(choices[place : place + len(answer)]))
                place += len(answer)
            found.append((row_logprobs, row_choices))
        return found

    def _check_split(
        self,
        tokens: Any,
        extra: dict[str, Any],
        where: Sequence[tuple[int, int]],
        logits: Any,
        half: bool,
    ) -> None:
        """Compare with the model's own logits once; a model that scales or caps them is refused."""
        row = where[0][0]
        own = {name: value[row : row + 1] for name, value in extra.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            full = self.model(input_ids=tokens[row : row + 1], use_cache=False, **own).logits
        at = [place for r, place in where if r == row]
        mine = logits[: len(at)]
        error = float((full[0, at].float() - mine).abs().max())
        if error > (0.5 if half else _TOLERANCE * max(1.0, float(mine.abs().max()))):
            raise DormantError(
                "this architecture changes its logits after the output head: use --scorer lm-eval"
            )
        self._checked = True


def _pair(request: Instance) -> tuple[str, str]:
    return cast(tuple[str, str], request.args)


def _decoder_and_head(model: Any) -> tuple[Any, Any] | None:
    """Return the layers below the output head, and the head; `None` where they can't be told."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    get_decoder = getattr(inner, "get_decoder", None)
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    decoder = get_decoder() if get_decoder is not None else None
    if decoder is None or head is None or decoder is inner or not hasattr(head, "weight"):
        return None
    return decoder, head


def _branch_mask(batch: Sequence[Row], width: int) -> tuple[Any, Any]:
    """Return a mask (B, 1, L, L) in which answers see the prompt and themselves, and positions."""
    allowed = torch.ones((width, width), dtype=torch.bool).tril().repeat(len(batch), 1, 1)
    positions = torch.arange(width).repeat(len(batch), 1)
    for place, row in enumerate(batch):
        context = len(row.context)
        for start, tail in zip(row.starts(), row.tails, strict=True):
            stop = start + len(tail)
            allowed[place, stop:, start:stop] = False
            positions[place, start:stop] = torch.arange(context, context + len(tail))
        # Padding must see something, or its softmax is not a number.
        allowed[place].fill_diagonal_(True)
    mask = torch.zeros(allowed.shape).masked_fill_(~allowed, torch.finfo(torch.float32).min)
    return mask[:, None], positions


def _fast_bfloat16(device: Any) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type == "cpu":
        return torch.backends.mkldnn.is_available() and bool(
            torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
    return False
