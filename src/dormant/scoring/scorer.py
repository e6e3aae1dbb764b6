"""A fast, exact scorer: lm-evaluation-harness's Hugging Face model with one pass a prompt.

Every distinct prefix of a batch is read once, answers included, and logits are computed only
where an answer is predicted (`dormant.scoring`). On hardware with fast bfloat16 the
layers run in it, after a check against float32 on a sample of the run's own prompts; the output
head runs in float32, and so do the prompts whose verdict hangs on less than rounding.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from lm_eval.api.instance import Instance

from dormant.libraries import quiet
from dormant.scoring.arithmetic import Arithmetic
from dormant.scoring.attention import CannotAttend
from dormant.scoring.backends import BATCH_SIZE, with_smaller_batches
from dormant.scoring.completer import Completer, by_harness
from dormant.scoring.encoding import encode_prompts, encode_requests
from dormant.scoring.forward import Forward, adapter_state
from dormant.scoring.harness import requests_of
from dormant.scoring.harness_model import HarnessLM
from dormant.scoring.judging import Predict, judge, refuse_infinite
from dormant.scoring.memory import within_memory
from dormant.scoring.precision import Precision, fast_bfloat16
from dormant.scoring.prediction import Prediction
from dormant.scoring.protocol import SURE_VERDICTS, Answer
from dormant.scoring.rows import Row, batches, numbered
from dormant.scoring.tokenisations import Tokenisations

TOKEN_BUDGET: Mapping[str, int] = {"cpu": 2048, "cuda": 32768}
"""Tokens a forward pass, by device; `benchmarks/scoring.py --budgets` compares others."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class FastLM(HarnessLM):
    """lm-evaluation-harness's HF model with a faster way to score answers.

    Where an architecture allows none of the engine's modes (checked on the first batch against the
    model's own logits), the harness's own path runs. It is a `dormant.scoring.protocol.Scorer`.

    Args:
        precision: "auto" tries bfloat16 where the hardware is fast at it; "float32" and
            "bfloat16" insist. A checkpoint loaded in half precision stays in it.
        token_budget: Tokens a forward pass; `None` takes the device's own. Halved for good when
            memory runs out.
        share_prefixes: Whether to read shared prefixes once.
        batch_size: Prompts a forward pass on the harness's own path.
        options: As for the harness's model.
    """

    def __init__(
        self,
        *,
        precision: str = "auto",
        token_budget: int | None = None,
        share_prefixes: bool = True,
        batch_size: int | str | None = None,
        **options: Any,
    ) -> None:
        options["batch_size"] = batch_size or BATCH_SIZE
        super().__init__(**options)
        self.token_budget = token_budget or TOKEN_BUDGET.get(self.device.type, 4096)
        self._arithmetic = Arithmetic(
            precision,
            self.model.dtype,
            lambda rows, half: self._run(rows, half),
            lambda: adapter_state(self.model),
        )
        self._share_prefixes = share_prefixes
        self._made: Forward | None = None
        self._completer: Completer | None = None
        self.completed_by: list[str] = []
        self._modes: tuple[str, ...] = ()
        self._tokenisations = Tokenisations(
            functools.partial(self.tok_encode, add_special_tokens=False),
            self.tok_decode,
            self.tokenizer.eos_token_id,
        )

    @property
    def _forward(self) -> Forward | None:
        """Made on first use, and anew for another model: an adapter may be put on it later."""
        if self.backend != "causal":
            return None
        if self._made is None or self._made.model is not self.model:
            self._made = Forward(
                self.model, share_prefixes=self._share_prefixes, max_length=self.max_length
            )
        return self._made

    def release(self) -> None:
        """Let go of the model's weights; nothing can be asked afterwards."""
        self._model = None
        self._made = self._completer = None
        self._arithmetic.forget()

    @property
    def precision(self) -> Precision:
        """What was decided about the arithmetic, and on what evidence."""
        return self._arithmetic.precision

    @precision.setter
    def precision(self, precision: Precision) -> None:
        self._arithmetic.settle(precision)

    @property
    def mode(self) -> str:
        """How the last prompts were run: "prefix tree", "rows", "harness", or several of these."""
        return ", ".join(self._modes) or "not asked yet"

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
        rows = encode_requests(
            self,
            {
                context: [_pair(requests[place])[1] for place in places]
                for context, places in groups.items()
            },
        )
        if not self._is_read_by_us():
            return self._harness_loglikelihood(requests, disable_tqdm)
        predictions = self._predict(rows, list(groups))
        scored: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for row, places, predicted in zip(rows, groups.values(), predictions, strict=True):
            for place, answer, one in zip(places, row.answers, predicted, strict=True):
                scored[place] = (one.logprob, one.choices == answer)
                self.cache_hook.add_partial("loglikelihood", requests[place].args, scored[place])
        return scored

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Complete prompts; see the harness's `LM`. Greedy texts are written side by side.

        Raises:
            DormantError: A prompt leaves no room in the context for the text asked for.
        """
        texts: dict[int, str] = {}
        forward = self._forward
        if forward is not None and not self.enable_thinking:
            if self._completer is None or self._completer.forward is not forward:
                self._completer = Completer(self, forward, self._within_memory)
            texts = self._completer.complete(requests)
        rest = [place for place in range(len(requests)) if place not in texts]
        harness: Any = super(HarnessLM, self).generate_until
        theirs = by_harness(self, requests, rest, harness, self._within_memory)
        self.completed_by = [n for n, some in (("slots", texts), ("harness", theirs)) if some]
        texts |= theirs
        return [texts[place] for place in range(len(requests))]

    # -- our own, richer call -------------------------------------------------------------------

    def score(
        self, prompts: Sequence[str], answers: Sequence[Sequence[str]], *, ranked: bool = False
    ) -> list[list[Answer]]:
        """Score every answer to every prompt, and say whether greedy decoding begins with it.

        Where greedy decoding leaves our tokens for others that may give the same text, its own
        tokens are followed until the text is said or missed.

        Args:
            prompts: N prompts.
            answers: N rows of answers, with their leading space where they have one.
            ranked: Whether a verdict hangs on which answer is likelier, which no logit margin
                bounds: in float32 throughout.

        Returns:
            N rows like `answers`.

        Raises:
            DormantError: A prompt is longer than the context, or a log-probability isn't finite.
        """
        rows = encode_prompts(self, prompts, answers)
        with quiet():
            if not self._is_read_by_us():
                return self._by_harness(prompts, answers)
            predict = self._predict_exactly if ranked else self._predict
            return self._judge(rows, prompts, answers, predict)

    def chooses_precision(self) -> bool:
        """Say whether bfloat16 is fast here, and nothing was insisted on."""
        return self._arithmetic.is_open and fast_bfloat16(self.device)

    def choose_precision(
        self,
        prompts: Sequence[str],
        answers: Sequence[Sequence[str]],
        *,
        verdicts: int = SURE_VERDICTS,
    ) -> str | None:
        """Decide between bfloat16 and float32 on the run's own prompts.

        Some of them, as many as it takes, are computed in both. Each half says how far bfloat16's
        logit differences are off; verdicts that hang on less than half as much again are computed
        in float32 as well, and the other half tests that. bfloat16 is kept only if as many sure
        verdicts as asked for equal float32's, and if most prompts need no second pass. The choice
        depends on the sample only, never on the clock: a resumed run makes the same. It is kept in
        `precision`, and what was computed on the way is not computed again.

        Args:
            prompts: N prompts, in an order of which every beginning is a sample of the run's; none
                where the run has too few for the test to pay.
            answers: N rows of answers.
            verdicts: Sure verdicts to compare.

        Returns:
            One line on what was chosen and why; `None` where there was nothing to choose.
        """
        if not self.chooses_precision():
            return self.precision.reason()
        self._arithmetic.forget()
        rows = encode_prompts(self, prompts, answers)
        with quiet():
            modes = self._forward.assign(rows) if self._is_read_by_us() and self._forward else {}
            if not rows or any(mode is not None and mode.split for mode in modes):
                self._arithmetic.choose(
                    rows, prompts, answers, judge=self._judge, verdicts=verdicts
                )
        return self.precision.reason()

    # -- inside ---------------------------------------------------------------------------------

    def _is_read_by_us(self) -> bool:
        return self._forward is not None and not self.enable_thinking

    def _harness_loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool
    ) -> list[tuple[float, bool]]:
        path: Any = super().loglikelihood
        return with_smaller_batches(self, lambda: path(requests, disable_tqdm=disable_tqdm))

    def _by_harness(
        self, prompts: Sequence[str], answers: Sequence[Sequence[str]]
    ) -> list[list[Answer]]:
        flat = iter(self._harness_loglikelihood(requests_of(prompts, answers), True))
        scored: list[list[Answer]] = []
        for prompt, row in zip(prompts, answers, strict=True):
            scored.append([])
            for _ in row:
                logprob, greedy = next(flat)
                refuse_infinite(logprob, prompt)
                scored[-1].append(Answer(logprob, greedy, greedy))
        return scored

    def _judge(
        self,
        rows: Sequence[Row],
        prompts: Sequence[str],
        answers: Sequence[Sequence[str]],
        predict: Predict,
    ) -> list[list[Answer]]:
        return judge(
            rows,
            prompts,
            answers,
            predict=predict,
            tokenisations=self._tokenisations,
            max_length=self.max_length,
        )

    def _predict(self, rows: Sequence[Row], prompts: Sequence[str]) -> list[list[Prediction]]:
        """Predict rows, whose `index` is their place; their prompts are for error messages."""
        return _finite(prompts, self._arithmetic.predict(rows))

    def _predict_exactly(
        self, rows: Sequence[Row], prompts: Sequence[str]
    ) -> list[list[Prediction]]:
        return _finite(prompts, self._arithmetic.predict_exactly(rows))

    def _run(self, rows: Sequence[Row], half: bool) -> list[list[Prediction]]:
        forward = self._forward
        assert forward is not None
        predictions: dict[int, list[Prediction]] = {}
        assigned = forward.assign(rows)
        for mode, some in assigned.items():
            try:
                if mode is None:
                    run = zip(some, self.predict_plainly(some), strict=True)
                else:
                    run = self._run_fast(functools.partial(forward, mode=mode, half=half), some)
            except CannotAttend:
                # The list says that this model doesn't ask for it: a setting that it doesn't know.
                assert mode is not None
                forward.drop(mode)
                run = zip(some, self._run(numbered(some), half), strict=True)
            predictions.update((row.index, one) for row, one in run)
        modes = dict.fromkeys("harness" if mode is None else mode.name for mode in assigned)
        if modes and tuple(modes) != self._modes:
            self._modes = tuple(modes)
            _log.info("scoring by %s", self.mode)
        return [predictions[row.index] for row in rows]

    def _run_fast(
        self, forward: Callable[[Sequence[Row]], list[list[Prediction]]], rows: Sequence[Row]
    ) -> list[tuple[Row, list[Prediction]]]:
        return [
            pair
            for batch in batches(rows, self.token_budget)
            for part, predicted in self._within_memory(batch, forward)
            for pair in zip(part, predicted, strict=True)
        ]

    def _within_memory(
        self, batch: Sequence[_Item], work: Callable[[Sequence[_Item]], _Result]
    ) -> Iterator[tuple[Sequence[_Item], _Result]]:
        def halved() -> None:
            self.token_budget = max(1, self.token_budget // 2)
            _log.warning("out of memory: going on with %d tokens a batch", self.token_budget)

        return within_memory(batch, work, halved=halved)


def _finite(prompts: Sequence[str], predictions: list[list[Prediction]]) -> list[list[Prediction]]:
    """Return predictions, all of whose log-probabilities are numbers."""
    for prompt, predicted in zip(prompts, predictions, strict=True):
        for one in predicted:
            refuse_infinite(one.logprob, prompt)
    return predictions


def _pair(request: Instance) -> tuple[str, str]:
    return cast(tuple[str, str], request.args)
