"""One forward pass over a batch of rows, in the fastest way that gives the model's own logits."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from dormant.scoring.attention import CannotAttend, forest_attention, lay_out
from dormant.scoring.prefix_tree import Forest, plant
from dormant.scoring.rows import Row

_CHUNK = 1 << 25
"""Logits held at once, in numbers."""
_PROBES = 4
_AFTER_HEAD = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""Settings by which architectures change logits after the head; small logits hide the change."""
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_COARSE = 0.05
"""Differences allowed in half precision, as a part of the largest logit."""


class Prediction(NamedTuple):
    """What the model makes of one answer's tokens.

    Attributes:
        logprob: Their log-probability, nats.
        choices: The likeliest token at each of their places.
        leads: By how much each choice's logit leads the next one's.
        lags: By how much the answer's own token lags behind the choice, 0 where it is the choice.
    """

    logprob: float
    choices: tuple[int, ...]
    leads: tuple[float, ...]
    lags: tuple[float, ...]

    def doubt(self) -> float:
        """Return the smallest change of a logit difference that would change the verdict.

        A greedy answer stops being one when any of its leads is lost; another becomes one only
        when all its lags are made up for.
        """
        return max(self.lags) if any(self.lags) else min(self.leads)


@dataclass(frozen=True)
class Way:
    """A way to run a batch.

    Attributes:
        forest: Each distinct prefix once, in one flat row, with an attention of our own; else
            one row a sequence, padded on the right, where causal attention never looks.
        split: Layers and output head called apart, the head in float32 on answer places only;
            else the model's own forward, told which places to keep (`logits_to_keep`).
    """

    forest: bool
    split: bool


class Forward:
    """Runs batches through a causal language model.

    The first batch decides how: each way is compared with the model's own logits, one sequence a
    call, and the first that agrees is taken.

    Args:
        model: The model, possibly in a PEFT wrapper.
        forest: Whether to try reading shared prefixes once.
    """

    def __init__(self, model: Any, *, forest: bool = True) -> None:
        self.model = model
        inner: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._inner = inner
        self._decoder, self._head = _decoder_and_head(inner)
        prompts = any(
            getattr(config, "is_prompt_learning", False)
            for config in getattr(model, "peft_config", {}).values()
        )
        keeps = "logits_to_keep" in inspect.signature(inner.forward).parameters
        self._ways = [
            way
            for way in (Way(True, True), Way(True, False), Way(False, True))
            # Virtual tokens of an adapter reach the model through its wrapper only.
            if not prompts
            and (self._head is not None if way.split else keeps)
            and (forest or not way.forest)
        ]
        self.decided = False

    @property
    def way(self) -> Way | None:
        """How batches are run; `None` where no way gives the model's own logits."""
        return self._ways[0] if self._ways else None

    @property
    def splits(self) -> bool:
        """Whether layers and head are called apart, so that only the layers run in bfloat16."""
        return self.way is not None and self.way.split

    def decide(self, rows: Sequence[Row]) -> Way | None:
        """Settle on a way by comparing on a few rows; later calls change nothing."""
        if not self.decided and self._ways:
            shortest = sorted(rows, key=lambda row: (len(row.paths) < 2, row.longest))[:_PROBES]
            wanted = self._own_logits(plant(shortest))
            while self._ways and not self._agrees(shortest, wanted):
                self._ways.pop(0)
            self.decided = True
        return self.way

    def __call__(self, rows: Sequence[Row], *, half: bool) -> list[list[Prediction]]:
        """Predict every answer's tokens.

        Args:
            rows: The batch; `decide` has found a way.
            half: Run the layers in bfloat16.

        Returns:
            For each row, a prediction for each answer.

        Raises:
            CannotAttend: No way is left that can run this batch.
        """
        forest = plant(rows)
        while self.way is not None:
            try:
                return self._predict(rows, forest, self.way, half)
            except CannotAttend:
                # A longer prompt than those that decided, e.g. beyond a sliding window.
                self._ways.pop(0)
        raise CannotAttend("anything that this engine does")

    @torch.inference_mode()
    def _predict(
        self, rows: Sequence[Row], forest: Forest, way: Way, half: bool
    ) -> list[list[Prediction]]:
        nodes = list(dict.fromkeys(_flat(forest)))
        at = {node: place for place, node in enumerate(nodes)}
        place = torch.tensor([at[node] for node in _flat(forest)])
        token = torch.tensor([t for row in rows for answer in row.answers for t in answer])
        logprobs = torch.empty(len(token), dtype=torch.float64)
        lags = torch.empty(len(token))
        choices: list[int] = []
        leads: list[float] = []
        for start, logits in self._logits(forest, nodes, way, half):
            here = ((place >= start) & (place < start + len(logits))).nonzero()[:, 0]
            where = (place[here] - start).to(logits.device)
            picked = logits[where, token[here].to(logits.device)]
            spread = logits.logsumexp(dim=-1)[where]
            logprobs[here] = (picked - spread).double().cpu()
            best = logits.topk(2, dim=-1)
            lags[here] = (best.values[where, 0] - picked).cpu()
            choices += best.indices[:, 0].tolist()
            leads += (best.values[:, 0] - best.values[:, 1]).tolist()
        found: list[list[Prediction]] = []
        taken = 0
        for row, predicted in zip(rows, forest.predicted, strict=True):
            found.append([])
            for answer, path in zip(row.answers, predicted, strict=True):
                own = slice(taken, taken + len(answer))
                taken += len(answer)
                found[-1].append(
                    Prediction(
                        float(logprobs[own].sum()),
                        tuple(choices[at[node]] for node in path),
                        tuple(leads[at[node]] for node in path),
                        tuple(lags[own].tolist()),
                    )
                )
        return found

    def _logits(
        self, forest: Forest, nodes: Sequence[int], way: Way, half: bool
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield float32 logits (M, V) at `nodes`, in chunks, each with its first place."""
        device = self._inner.device
        dtype = torch.bfloat16 if half else self._inner.dtype
        inputs, where = _inputs(forest, nodes, way, device, dtype)
        attention = forest_attention(self._inner) if way.forest else contextlib.nullcontext()
        with attention, torch.autocast(device.type, torch.bfloat16, enabled=half):
            if not way.split:
                yield 0, self._inner(**inputs, logits_to_keep=where).logits[0].float()
                return
            with _last_layer_at(self._decoder, where):
                hidden = self._decoder(**inputs).last_hidden_state
        picked = hidden.flatten(0, 1)[where].to(self._head.weight.dtype)
        size = max(1, _CHUNK // self._head.weight.shape[0])
        for start in range(0, len(picked), size):
            yield start, self._head(picked[start : start + size]).float()

    @torch.inference_mode()
    def _own_logits(self, forest: Forest) -> torch.Tensor:
        """Return the model's own logits (M, V) at the places that predict, a sequence a call."""
        rows: dict[int, torch.Tensor] = {}
        wanted = set(_flat(forest))
        for path in forest.paths:
            ids = torch.tensor([[forest.tokens[node] for node in path.nodes]])
            logits = self.model(input_ids=ids.to(self._inner.device), use_cache=False).logits[0]
            for place, node in enumerate(path.nodes):
                if node in wanted:
                    rows[node] = logits[place].float()
        return torch.stack([rows[node] for node in _flat(forest)])

    @torch.inference_mode()
    def _agrees(self, rows: Sequence[Row], wanted: torch.Tensor) -> bool:
        forest = plant(rows)
        try:
            parts = self._logits(forest, _flat(forest), self._ways[0], half=False)
            mine = torch.cat([part for _, part in parts])
        except torch.OutOfMemoryError:
            raise
        except (CannotAttend, TypeError, ValueError, RuntimeError, KeyError, AttributeError):
            # Foreign code was told to run in a way that it may not know; it has other ways.
            return False
        if mine.shape != wanted.shape:
            return False
        known = wanted.isfinite()
        if not known.all():
            # Nothing to compare: the caller names the prompt that gave it.
            return True
        tolerance = _TOLERANCE.get(self._inner.dtype, _COARSE)
        return bool((mine - wanted).abs().max() <= tolerance * wanted.abs().max().clamp(min=1))


def _flat(forest: Forest) -> list[int]:
    """Return the predicting nodes in the order of rows, answers and tokens."""
    return [node for row in forest.predicted for path in row for node in path]


def _inputs(
    forest: Forest,
    nodes: Sequence[int],
    way: Way,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[dict[str, Any], torch.Tensor]:
    """Return the model's arguments, and where in its flattened output the nodes are."""
    if way.forest:
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor([forest.tokens], device=device),
            "position_ids": torch.tensor([forest.positions], device=device),
            "forest": lay_out(forest, device, dtype),
            "use_cache": False,
        }
        return inputs, torch.tensor(nodes, device=device)
    width = max(len(path.nodes) for path in forest.paths)
    ids = torch.zeros((len(forest.paths), width), dtype=torch.long)
    at: dict[int, int] = {}
    for row, path in enumerate(forest.paths):
        ids[row, : len(path.nodes)] = torch.tensor([forest.tokens[node] for node in path.nodes])
        at.update((node, row * width + place) for place, node in enumerate(path.nodes))
    where = torch.tensor([at[node] for node in nodes], device=device)
    return {"input_ids": ids.to(device), "use_cache": False}, where


@contextlib.contextmanager
def _last_layer_at(decoder: Any, where: torch.Tensor) -> Generator[None]:
    """Let the feed-forward part of the last layer run on some tokens only; others get zeros.

    It works token by token, and no layer is left to attend to what it makes of the others.
    """
    layers = getattr(decoder, "layers", None) or getattr(decoder, "h", None)
    part = getattr(layers[-1], "mlp", None) if layers else None
    if part is None:
        yield
        return
    shapes: list[torch.Size] = []

    def before(_: Any, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        if len(given) != 1:
            # It is given more than the states, which would have to be picked alike.
            return None
        (states,) = given
        shapes.append(states.shape)
        return (states.flatten(0, 1)[where.to(states.device)][None],)

    def after(_: Any, __: Any, made: Any) -> Any:
        if not shapes:
            return None
        # A mixture of experts may give its router's logits as well.
        states: torch.Tensor = made[0] if isinstance(made, tuple) else made
        shape = shapes.pop()
        whole = states.new_zeros(shape).flatten(0, 1)
        whole = whole.index_copy_(0, where.to(states.device), states[0]).view(shape)
        return (whole, *made[1:]) if isinstance(made, tuple) else whole

    hooks = [part.register_forward_pre_hook(before), part.register_forward_hook(after)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _decoder_and_head(inner: Any) -> tuple[Any, Any]:
    """Return the layers below the output head, and the head; nothing where they can't be told."""
    get_decoder = getattr(inner, "get_decoder", None)
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    decoder = get_decoder() if get_decoder is not None else None
    if decoder is None or head is None or decoder is inner or not hasattr(head, "weight"):
        return None, None
    config = inner.config.get_text_config() if hasattr(inner.config, "get_text_config") else None
    if any(getattr(config, name, None) not in (None, 1, 1.0) for name in _AFTER_HEAD):
        return None, None
    return decoder, head
