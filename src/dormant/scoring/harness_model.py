"""lm-evaluation-harness's Hugging Face model, so that no prompt's numbers depend on another's."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.models.huggingface import HFLM

from dormant.scoring.backends import BATCH_SIZE, with_smaller_batches
from dormant.scoring.generation import GenerationConfig, generation_of
from dormant.scoring.plain import (
    Place,
    first_batch,
    forget_lengths,
    predict_batch,
    sequences_of,
)
from dormant.scoring.prediction import Prediction
from dormant.scoring.rows import Row
from dormant.scoring.supported import (
    limits_of,
    remembers_lengths,
    rounds_activations,
    support_of,
)
from dormant.scoring.watching import Ended, Streamer, Watch
from dormant.scoring.wrappers import unwrapped

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance


class HarnessLM(HFLM):
    """The harness's model with batches that change nothing, and greedy decoding that is greedy.

    Where an architecture isn't known to bear padding (`dormant.scoring.supported`), sequences share
    a batch only if they are equally long.

    Args:
        generation_config: "greedy" generates by our own settings; "own" by those that came with
            the checkpoint, though without sampling.
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
        enable_thinking: bool | None
        batch_size_per_gpu: Any

        def tok_encode(self, string: str, add_special_tokens: bool | None = None) -> list[int]: ...  # noqa: D102
        def tok_decode(self, tokens: Any) -> str: ...  # noqa: D102

    def __init__(self, *, generation_config: GenerationConfig = "greedy", **options: Any) -> None:
        super().__init__(**options)
        self.generation: GenerationConfig = generation_config
        self.watch: Watch | None = None
        self._watched: Callable[[Sequence[int]], bool] | None = None

    def pads(self, length: float) -> bool:
        """Say whether sequences up to a length may be padded beside one another."""
        if self.backend != "causal":
            return True
        inner: Any = unwrapped(self.model)
        known = support_of(inner, self.model) is not None
        return known and length <= limits_of(inner.config).rows

    def predict_plainly(self, rows: Sequence[Row]) -> list[list[Prediction]]:
        """Predict rows' answers by the model's own forward pass, as the harness calls it.

        Raises:
            DormantError: A single prompt is too much for the memory.
        """
        places, found = sequences_of(rows), dict[Place, Prediction]()

        alone, waiting = rounds_activations(self.model.config), list(places)

        def predict_first() -> tuple[int, list[tuple[Place, Prediction]]]:
            batch = first_batch(waiting, 1 if alone else self._prompts_a_pass())
            return len(batch), predict_batch(batch, rows, places, self._model_call, self.device)

        while waiting:
            count, predicted = with_smaller_batches(self, predict_first)
            found.update(predicted)
            waiting = waiting[count:]
        return [
            [found[Place(number, place)] for place in range(len(row.answers))]
            for number, row in enumerate(rows)
        ]

    def _prompts_a_pass(self) -> int:
        size = self.batch_size_per_gpu
        return size if isinstance(size, int) else BATCH_SIZE

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Complete prompts; see the harness's `LM`."""
        harness: Any = super().generate_until
        before = self.batch_size_per_gpu
        if not self.pads(self.max_length):
            self.batch_size_per_gpu = 1
        try:
            return harness(requests, disable_tqdm=disable_tqdm)
        finally:
            self.batch_size_per_gpu = before

    def _model_generate(self, *given: Any, **options: Any) -> torch.Tensor:
        self._forget_lengths()
        harness: Any = super()
        if self._watched is not None:
            options["streamer"] = Streamer(self._watched)
        with generation_of(self):
            try:
                return harness._model_generate(*given, **options)
            except Ended as ended:
                prompt: torch.Tensor = options["context"]
                written = torch.tensor([ended.written], device=prompt.device)
                return torch.cat([prompt, written], 1) if self.backend == "causal" else written

    @contextlib.contextmanager
    def watching_alone(self, place: int) -> Generator[None]:
        """Let `watch` see the one text that the harness's own path writes here."""
        watch = self.watch
        self._watched = None if watch is None else functools.partial(watch, place)
        try:
            yield
        finally:
            self._watched = None

    def _model_call(self, *given: Any, **options: Any) -> torch.Tensor:
        self._forget_lengths()
        harness: Any = super()
        return harness._model_call(*given, **options)

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Score as the harness does, in batches without padding where padding isn't exact."""
        harness: Any = super()
        lengths = [len(context) + len(tail) for _, context, tail in requests]
        if self.pads(max(lengths, default=0)):
            return harness._loglikelihood_tokens(requests, disable_tqdm, override_bs)
        scored: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for length in sorted(set(lengths)):
            places = [place for place, other in enumerate(lengths) if other == length]
            parts = harness._loglikelihood_tokens(
                [requests[place] for place in places], True, override_bs
            )
            for place, one in zip(places, parts, strict=True):
                scored[place] = one
        return scored

    def _forget_lengths(self) -> None:
        if remembers_lengths(self.model.config):
            forget_lengths(self.model)
