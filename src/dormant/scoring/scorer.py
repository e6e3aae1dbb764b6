"""A fast, exact scorer: lm-evaluation-harness's Hugging Face model with one pass a prompt.

Every distinct prefix of a batch is read once, answers included, and logits are computed only
where an answer is predicted (`dormant.scoring`). On hardware with fast bfloat16 the
layers run in it, after a check against float32 on a sample of the run's own prompts; the output
head runs in float32, and so do the prompts whose verdict hangs on less than rounding.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from dormant.errors import DormantError
from dormant.scoring.forward import Forward, Prediction
from dormant.scoring.length_batches import length_batches
from dormant.scoring.memory import within_memory
from dormant.scoring.precision import Precision, fast_bfloat16
from dormant.scoring.rows import Row, batches
from dormant.scoring.tokenisations import Speller, Spelling

TOKEN_BUDGET: Mapping[str, int] = {"cpu": 2048, "cuda": 32768}
"""Tokens a forward pass, by device; `benchmarks/scoring.py --budgets` compares others."""

_SAMPLE = 32
_MOST_DOUBTED = 0.5
"""Where more prompts than this are computed twice, bfloat16 saves nothing: it is about twice as
fast."""
_GENERATION: Mapping[str, int] = {"cpu": 8}
"""Generation reads a token at a time, so batches may be larger by this factor, by device: where
scoring's batches are small for a processor's caches, by more than elsewhere."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class Scored(NamedTuple):
    """One answer to one prompt.

    Attributes:
        logprob: log p(answer | prompt), nats.
        greedy: Whether greedy decoding would begin with the answer's text, whatever its tokens;
            a leading space is ignored.
        exact: Whether it would begin with the answer's tokens.
    """

    logprob: float
    greedy: bool
    exact: bool


class FastLM(HFLM):
    """lm-evaluation-harness's HF model with a faster way to score answers.

    Where an architecture allows none of the engine's ways (checked on the first batch against the
    model's own logits), the harness's own path runs.

    Args:
        precision: "auto" tries bfloat16 where the hardware is fast at it; "float32" and
            "bfloat16" insist. A checkpoint loaded in half precision stays in it.
        token_budget: Tokens a forward pass; `None` takes the device's own. Halved for good when
            memory runs out.
        forest: Whether to read shared prefixes once.
        options: As for the harness's model.
    """

    if TYPE_CHECKING:
        # The harness leaves these untyped.
        model: Any
        tokenizer: Any
        device: Any
        backend: str
        max_length: int
        cache_hook: Any
        max_gen_toks: int
        prefix_token_id: int
        enable_thinking: bool | None
        add_bos_token: bool | None

        def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]: ...
        def tok_encode(self, string: str, add_special_tokens: bool | None = None) -> list[int]: ...  # noqa: D102
        def tok_decode(self, tokens: Sequence[int]) -> str: ...  # noqa: D102

    def __init__(
        self,
        *,
        precision: str = "auto",
        token_budget: int | None = None,
        forest: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.token_budget = token_budget or TOKEN_BUDGET.get(self.device.type, 4096)
        self._wanted = precision
        self.precision = Precision("bfloat16" if precision == "bfloat16" else "float32")
        if self.model.dtype != torch.float32:
            # The checkpoint's own precision: there is nothing to choose.
            self._wanted = "own"
            self.precision = Precision(str(self.model.dtype).removeprefix("torch."))
        self._forward = Forward(self.model, forest=forest) if self.backend == "causal" else None
        self._speller = Speller(
            lambda text: self.tok_encode(text, add_special_tokens=False),
            self.tok_decode,
            self.tokenizer.eos_token_id,
        )

    @property
    def way(self) -> str:
        """How batches are run: "forest", "rows", or "harness" where no fast way is exact."""
        way = self._forward.way if self._forward is not None else None
        return "harness" if way is None else "forest" if way.forest else "rows"

    @contextlib.contextmanager
    def adapter(self, enabled: bool) -> Generator[FastLM]:
        """Score with a PEFT adapter on, or off: the base model over the same weights."""
        if enabled or not hasattr(self.model, "disable_adapter"):
            yield self
            return
        with self.model.disable_adapter():
            yield self

    # -- the harness's contract -----------------------------------------------------------------

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Score continuations, those of one context in one pass; see the harness's `LM`.

        Raises:
            DormantError: A prompt is longer than the context, or a log-probability isn't finite.
        """
        groups: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(_pair(request)[0], []).append(place)
        rows = [
            self._row(
                index,
                context,
                [self._harness_pair(*_pair(requests[place])) for place in places],
            )
            for index, (context, places) in enumerate(groups.items())
        ]
        if not self._can_run(rows):
            return self._harness_loglikelihood(requests, disable_tqdm)
        found: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        predictions = self._predict(rows, list(groups))
        for row, places, predicted in zip(rows, groups.values(), predictions, strict=True):
            for place, answer, one in zip(places, row.answers, predicted, strict=True):
                found[place] = (one.logprob, one.choices == answer)
                self.cache_hook.add_partial("loglikelihood", requests[place].args, found[place])
        return found

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Complete prompts; see the harness's `LM`. Prompts of like length go together.

        Raises:
            DormantError: A prompt leaves no room in the context for the text asked for.
        """
        settings = [cast(tuple[Any, Any], request.args)[1] for request in requests]
        lengths: list[int] = []
        for request, options in zip(requests, settings, strict=True):
            (prompt, _), more = _pair(request), int(options.get("max_gen_toks", self.max_gen_toks))
            length = len(self.tok_encode(prompt))
            if length + more > self.max_length:
                raise DormantError(
                    f"{length} tokens leave no room for {more} more in the model's context of "
                    f"{self.max_length}: the prompt that begins {prompt[:60]!r}"
                )
            lengths.append(length + more)
        harness: Any = super().generate_until

        def complete(places: Sequence[int]) -> list[str]:
            self.batch_size_per_gpu = len(places)
            return harness([requests[place] for place in places], disable_tqdm=True)

        found: list[str] = [""] * len(requests)
        before = self.batch_size_per_gpu
        tokens = self.token_budget * _GENERATION.get(self.device.type, 4)
        try:
            for batch in length_batches(lengths, settings, tokens):
                for places, outputs in self._within_memory(batch, complete):
                    for place, output in zip(places, outputs, strict=True):
                        found[place] = output
        finally:
            self.batch_size_per_gpu = before
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
        rows = self._rows(prompts, answers)
        if not self._can_run(rows):
            return self._by_harness(prompts, answers)
        return self._judge(rows, prompts, answers)

    def choose_precision(
        self, prompts: Sequence[str], answers: Sequence[Sequence[str]]
    ) -> Precision:
        """Decide between bfloat16 and float32 on a sample of the run's own prompts.

        The sample says how far bfloat16's logit differences are off; verdicts that hang on less
        than twice that are computed in float32 as well. bfloat16 is kept only if, so done, every
        greedy verdict on the sample equals float32's, and if most prompts need no second pass. The
        choice depends on the sample only, never on the clock: a resumed run makes the same.

        Args:
            prompts: N prompts, of which at most 32 are used, evenly spread.
            answers: N rows of answers.
        """
        if self._wanted != "auto" or not fast_bfloat16(self.device) or not prompts:
            return self.precision
        step = max(1, len(prompts) // _SAMPLE)
        prompts, answers = prompts[::step][:_SAMPLE], answers[::step][:_SAMPLE]
        rows = self._rows(prompts, answers)
        self.precision = Precision("float32")
        if not self._can_run(rows) or self._forward is None or not self._forward.splits:
            return self.precision
        slow = _flat(self._predict(rows, prompts))
        self.precision = Precision("bfloat16")
        by_row = self._predict(rows, prompts)
        fast = _flat(by_row)
        off = [_difference(a, b) for a, b in zip(slow, fast, strict=True)]
        error = math.sqrt(
            math.fsum((a.logprob - b.logprob) ** 2 for a, b in zip(slow, fast, strict=True))
            / len(slow)
        )
        # The largest error of a run is larger than that of a sample.
        margin = 2 * max(off)
        doubted = sum(_in_doubt(row, margin) for row in by_row) / len(by_row)
        self.precision = Precision("float32")
        exact = _flat(self._judge(rows, prompts, answers))
        self.precision = Precision("bfloat16", margin=margin)
        tried = _flat(self._judge(rows, prompts, answers))
        differing = sum(a.greedy != b.greedy for a, b in zip(exact, tried, strict=True))
        worth = not differing and doubted <= _MOST_DOUBTED
        self.precision = Precision(
            "bfloat16" if worth else "float32",
            len(exact),
            differing,
            margin if worth else 0.0,
            error,
            doubted,
        )
        return self.precision

    # -- inside: tokens -------------------------------------------------------------------------

    def _rows(self, prompts: Sequence[str], answers: Sequence[Sequence[str]]) -> list[Row]:
        pairs = [
            [_split(prompt, text) for text in texts]
            for prompt, texts in zip(prompts, answers, strict=True)
        ]
        known = self._encode_all(
            text
            for row in pairs
            for context, answer in row
            if context
            for text in (context, context + answer)
        )
        return [
            self._row(index, prompt, [self._pair(*pair, known) for pair in row])
            for index, (prompt, row) in enumerate(zip(prompts, pairs, strict=True))
        ]

    def _encode_all(self, texts: Iterable[str]) -> dict[str, list[int]]:
        """Encode texts as `tok_encode` does, in one call: a call costs more than a text."""
        distinct = list(dict.fromkeys(texts))
        first: str = self.tokenizer.decode(self.prefix_token_id)
        # The harness adds no special tokens to a text that begins with them.
        odd = [text for text in distinct if text.startswith(first)]
        known = {text: self.tok_encode(text) for text in odd}
        rest = [text for text in distinct if text not in known]
        special = {} if self.add_bos_token is None else {"add_special_tokens": self.add_bos_token}
        if rest:
            found = self.tokenizer(rest, return_attention_mask=False, **special).input_ids
            known.update(zip(rest, found, strict=True))
        return known

    def _row(self, index: int, prompt: str, pairs: Sequence[tuple[list[int], list[int]]]) -> Row:
        contexts = {tuple(context) for context, _ in pairs}
        if len(contexts) != 1 or not all(tail for _, tail in pairs):
            raise DormantError(
                f"an answer can't be told apart from the prompt that begins {prompt[:60]!r}: "
                "give at least one answer, none of them empty"
            )
        row = Row(index, contexts.pop(), tuple(tuple(tail) for _, tail in pairs))
        if row.longest > self.max_length:
            raise DormantError(
                f"{row.longest} tokens, but the model's context holds {self.max_length}: the "
                f"prompt that begins {prompt[:60]!r}"
            )
        return row

    def _pair(
        self, context: str, answer: str, known: Mapping[str, list[int]]
    ) -> tuple[list[int], list[int]]:
        """Encode a prompt as it is read before generation, and the answer behind it.

        Where the two would merge into one token, they are encoded apart.
        """
        if not context:
            return self._harness_pair(context, answer)
        before, whole = known[context], known[context + answer]
        if whole[: len(before)] == before and len(whole) > len(before):
            return before, whole[len(before) :]
        return before, self.tok_encode(answer, add_special_tokens=False)

    def _harness_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Encode a pair exactly as the harness does."""
        if context:
            return self._encode_pair(context, continuation)
        tail = self.tok_encode(continuation, add_special_tokens=False)
        first = self.prefix_token_id
        return ([first], tail) if first != tail[0] else (tail[:1], tail[1:])

    # -- inside: models -------------------------------------------------------------------------

    def _can_run(self, rows: Sequence[Row]) -> bool:
        if self._forward is None or self.enable_thinking:
            return False
        known = self._forward.decided
        way = self._forward.decide(rows)
        if not known:
            _log.info("scoring by %s", self.way)
        return way is not None

    def _harness_loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool
    ) -> list[tuple[float, bool]]:
        path: Any = super().loglikelihood
        return path(requests, disable_tqdm=disable_tqdm)

    def _by_harness(
        self, prompts: Sequence[str], answers: Sequence[Sequence[str]]
    ) -> list[list[Scored]]:
        requests = [
            Instance("loglikelihood", {}, (prompt, answer), index)
            for index, (prompt, row) in enumerate(zip(prompts, answers, strict=True))
            for answer in row
        ]
        flat = iter(self._harness_loglikelihood(requests, True))
        rows = [[Scored(*(one := next(flat)), one[1]) for _ in row] for row in answers]
        for prompt, row in zip(prompts, rows, strict=True):
            for one in row:
                _refuse_infinite(one.logprob, prompt)
        return rows

    def _judge(
        self, rows: Sequence[Row], prompts: Sequence[str], answers: Sequence[Sequence[str]]
    ) -> list[list[Scored]]:
        """Score rows and settle their verdicts, other spellings included."""
        found: list[list[Scored]] = []
        open_: list[tuple[int, int, Spelling]] = []
        spaced = [self._spaced(row, texts) for row, texts in zip(rows, answers, strict=True)]
        for row, tried, predicted in zip(rows, spaced, self._predict(spaced, prompts), strict=True):
            found.append([])
            count = len(row.answers)
            beside = list(zip(tried.answers[count:], predicted[count:], strict=True))
            for place, (tokens, one) in enumerate(zip(row.answers, predicted[:count], strict=True)):
                exact = one.choices == tokens
                text = answers[row.index][place]
                next_ = exact or self._speller.follow(Spelling(text, (), tokens), one.choices)
                if isinstance(next_, Spelling) and beside:
                    other, said = beside[place]
                    if next_.taken == other[: len(next_.taken)]:
                        next_ = self._speller.follow(Spelling(text, (), other), said.choices)
                if isinstance(next_, Spelling):
                    open_.append((row.index, place, next_))
                found[-1].append(Scored(one.logprob, next_ is True, exact))
        while open_:
            follow = [
                Row(index, rows[owner].context, (spelling.tokens,))
                for index, (owner, _, spelling) in enumerate(open_)
            ]
            named = [prompts[owner] for owner, _, _ in open_]
            left: list[tuple[int, int, Spelling]] = []
            for (owner, place, spelling), predicted in zip(
                open_, self._predict(follow, named), strict=True
            ):
                next_ = self._speller.follow(spelling, predicted[0].choices)
                if isinstance(next_, Spelling):
                    left.append((owner, place, next_))
                elif next_:
                    found[owner][place] = found[owner][place]._replace(greedy=True)
            open_ = left
        return found

    def _spaced(self, row: Row, texts: Sequence[str]) -> Row:
        """Let a row try another spelling beside each answer, where that fits the context."""
        others = [self._speller.spaced(text) for text in texts]
        tried = Row(row.index, row.context, (*row.answers, *others))
        return tried if all(others) and tried.longest <= self.max_length else row

    def _predict(self, rows: Sequence[Row], prompts: Sequence[str]) -> list[list[Prediction]]:
        """Predict rows; those in doubt under bfloat16 once more in float32.

        Args:
            rows: N rows whose `index` is their place here.
            prompts: N prompts, for error messages.
        """
        half = self.precision.dtype == "bfloat16" and self._wanted != "own"
        found = self._run(rows, half)
        if half and self.precision.margin:
            doubted = [
                row
                for row, predicted in zip(rows, found, strict=True)
                if _in_doubt(predicted, self.precision.margin)
            ]
            again = [Row(place, row.context, row.answers) for place, row in enumerate(doubted)]
            for row, predicted in zip(doubted, self._run(again, False), strict=True):
                found[row.index] = predicted
        for prompt, predicted in zip(prompts, found, strict=True):
            for one in predicted:
                _refuse_infinite(one.logprob, prompt)
        return found

    def _run(self, rows: Sequence[Row], half: bool) -> list[list[Prediction]]:
        forward = self._forward
        assert forward is not None
        found: list[list[Prediction]] = [[] for _ in rows]
        for batch in batches(rows, self.token_budget):
            for part, predicted in self._within_memory(
                batch, lambda part: forward(part, half=half)
            ):
                for row, one in zip(part, predicted, strict=True):
                    found[row.index] = one
        return found

    def _within_memory(
        self, batch: Sequence[_Item], work: Callable[[Sequence[_Item]], _Result]
    ) -> Iterator[tuple[Sequence[_Item], _Result]]:
        def halved() -> None:
            self.token_budget = max(1, self.token_budget // 2)
            _log.warning("out of memory: going on with %d tokens a batch", self.token_budget)

        try:
            yield from within_memory(batch, work, halved=halved)
        except MemoryError:
            raise DormantError(
                "out of memory on a single prompt: use a smaller model or dtype bfloat16"
            ) from None


def _pair(request: Instance) -> tuple[str, str]:
    return cast(tuple[str, str], request.args)


def _split(prompt: str, answer: str) -> tuple[str, str]:
    """Move spaces at the end of the prompt to the answer, as the harness does."""
    context = prompt.rstrip(" ") or prompt
    return context, prompt[len(context) :] + answer


def _in_doubt(predicted: Sequence[Prediction], margin: float) -> bool:
    return any(one.doubt() < margin for one in predicted)


def _flat(rows: Sequence[Sequence[_Item]]) -> list[_Item]:
    return [one for row in rows for one in row]


def _difference(one: Prediction, other: Prediction) -> float:
    """Return how far two precisions' logit differences are apart at most."""
    leads = zip(one.leads, other.leads, one.choices, other.choices, strict=True)
    return max(
        # Where the choices differ, the lead changed its sign.
        *(abs(a - b) if x == y else a + b for a, b, x, y in leads),
        *(abs(a - b) for a, b in zip(one.lags, other.lags, strict=True)),
    )


def _refuse_infinite(logprob: float, prompt: str) -> None:
    if not math.isfinite(logprob):
        raise DormantError(
            f"the model gave log-probability {logprob} after the prompt that begins "
            f"{prompt[:60]!r}: use float32 or another model"
        )
