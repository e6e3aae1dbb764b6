"""One forward pass over a batch of rows, in the fastest way that gives the model's own logits."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from dormant.scoring.attention import CannotAttend, gather_indices, tree_attention
from dormant.scoring.layers import decoder_and_head, last_layer_at
from dormant.scoring.prefix_tree import PrefixTree, build_tree
from dormant.scoring.rows import Row
from dormant.scoring.wrappers import acts_in_wrapper

_CHUNK = 1 << 25
"""Logits held at once, in numbers."""
_PROBES = 4
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_COARSE = 0.05
"""Differences allowed in half precision, as a part of the largest logit."""


class Prediction(NamedTuple):
    """What the model makes of one answer's tokens.

    Attributes:
        logprob: Their log-probability, nats.
        choices: The likeliest token at each of their places.
        margins: By how much each choice's logit is above the next one's.
        shortfalls: By how much the logit of the answer's own token is below the choice's; 0 where
            it is the choice.
    """

    logprob: float
    choices: tuple[int, ...]
    margins: tuple[float, ...]
    shortfalls: tuple[float, ...]

    def verdict_margin(self) -> float:
        """Return the smallest change of a logit difference that would change the verdict.

        A greedy answer stops being one when any of its margins is lost; another becomes one only
        when all its shortfalls are made up for.
        """
        return max(self.shortfalls) if any(self.shortfalls) else min(self.margins)


@dataclass(frozen=True)
class ExecutionMode:
    """A way to run a batch.

    Attributes:
        shared: Each distinct prefix once, in one flat row, with an attention of our own; else
            one row a sequence, padded on the right, where causal attention never looks.
        split: Layers and output head called apart, the head in float32 on answer places only;
            else the model's own forward, told which places to keep (`logits_to_keep`).
    """

    shared: bool
    split: bool


_MODES = (ExecutionMode(True, True), ExecutionMode(True, False), ExecutionMode(False, True))
"""Fastest first."""


class Forward:
    """Runs batches through a causal language model.

    The first batch decides how: each mode is compared with the model's own logits, one sequence a
    call, and the first that agrees is taken.

    Args:
        model: The model, possibly in a PEFT wrapper.
        share_prefixes: Whether to try reading shared prefixes once.
    """

    def __init__(self, model: Any, *, share_prefixes: bool = True) -> None:
        self.model = model
        inner: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._inner = inner
        self._decoder, self._head = decoder_and_head(inner)
        whole = acts_in_wrapper(model)
        keeps = "logits_to_keep" in inspect.signature(inner.forward).parameters
        self._modes = [
            mode
            for mode in (
                ExecutionMode(True, True),
                ExecutionMode(True, False),
                ExecutionMode(False, True),
            )
            # What an adapter does in its wrapper is lost to whoever calls the layers under it.
            if not whole
            and (self._head is not None if mode.split else keeps)
            and (share_prefixes or not mode.shared)
        ]
        self.decided = False

    @property
    def mode(self) -> ExecutionMode | None:
        """How batches are run; `None` where no mode gives the model's own logits."""
        return self._modes[0] if self._modes else None

    @property
    def splits(self) -> bool:
        """Whether layers and head are called apart, so that only the layers run in bfloat16."""
        return self.mode is not None and self.mode.split

    def decide(self, rows: Sequence[Row]) -> ExecutionMode | None:
        """Settle on a mode by comparing on a few rows; later calls change nothing."""
        if not self.decided and self._modes:
            self._drop_wrong_modes(rows)
            self.decided = True
        return self.mode

    def __call__(self, rows: Sequence[Row], *, half: bool) -> list[list[Prediction]]:
        """Predict every answer's tokens.

        Args:
            rows: The batch; `decide` has found a mode.
            half: Run the layers in bfloat16.

        Returns:
            For each row, a prediction for each answer.

        Raises:
            CannotAttend: No mode is left that can run this batch.
        """
        tree = build_tree(rows)
        while self.mode is not None:
            try:
                return self._predict(rows, tree, self.mode, half)
            except CannotAttend:
                # A longer prompt than those that decided, e.g. beyond a sliding window. What
                # comes next was never compared with the model's own logits.
                self._modes.pop(0)
                self._drop_wrong_modes(rows)
        raise CannotAttend("anything that this engine does")

    def _drop_wrong_modes(self, rows: Sequence[Row]) -> None:
        """Drop modes until one gives the model's own logits on a few rows."""
        shortest = sorted(rows, key=lambda row: (len(row.paths) < 2, row.longest))[:_PROBES]
        wanted = self._own_logits(build_tree(shortest)) if self._modes else None
        while wanted is not None and self._modes and not self._agrees(shortest, wanted):
            self._modes.pop(0)

    @torch.inference_mode()
    def _predict(
        self, rows: Sequence[Row], tree: PrefixTree, mode: ExecutionMode, half: bool
    ) -> list[list[Prediction]]:
        nodes = list(dict.fromkeys(_flat(tree)))
        at = {node: place for place, node in enumerate(nodes)}
        place = torch.tensor([at[node] for node in _flat(tree)])
        token = torch.tensor([t for row in rows for answer in row.answers for t in answer])
        logprobs = torch.empty(len(token), dtype=torch.float64)
        shortfalls = torch.empty(len(token))
        choices: list[int] = []
        margins: list[float] = []
        for start, logits in self._logits(tree, nodes, mode, half):
            here = ((place >= start) & (place < start + len(logits))).nonzero()[:, 0]
            where = (place[here] - start).to(logits.device)
            picked = logits[where, token[here].to(logits.device)]
            spread = logits.logsumexp(dim=-1)[where]
            logprobs[here] = (picked - spread).double().cpu()
            best = logits.topk(2, dim=-1)
            shortfalls[here] = (best.values[where, 0] - picked).cpu()
            choices += best.indices[:, 0].tolist()
            margins += (best.values[:, 0] - best.values[:, 1]).tolist()
        found: list[list[Prediction]] = []
        taken = 0
        for row, predicted in zip(rows, tree.predicted, strict=True):
            found.append([])
            for answer, path in zip(row.answers, predicted, strict=True):
                own = slice(taken, taken + len(answer))
                taken += len(answer)
                found[-1].append(
                    Prediction(
                        float(logprobs[own].sum()),
                        tuple(choices[at[node]] for node in path),
                        tuple(margins[at[node]] for node in path),
                        tuple(shortfalls[own].tolist()),
                    )
                )
        return found

    def _logits(
        self, tree: PrefixTree, nodes: Sequence[int], mode: ExecutionMode, half: bool
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield float32 logits (M, V) at `nodes`, in chunks, each with its first place."""
        device = self._inner.device
        dtype = torch.bfloat16 if half else self._inner.dtype
        inputs, where = _inputs(tree, nodes, mode, device, dtype)
        attention = tree_attention(self._inner) if mode.shared else contextlib.nullcontext()
        with attention, torch.autocast(device.type, torch.bfloat16, enabled=half):
            if not mode.split:
                yield 0, self._inner(**inputs, logits_to_keep=where).logits[0].float()
                return
            with last_layer_at(self._decoder, where):
                hidden = self._decoder(**inputs).last_hidden_state
        picked = hidden.flatten(0, 1)[where].to(self._head.weight.dtype)
        size = max(1, _CHUNK // self._head.weight.shape[0])
        for start in range(0, len(picked), size):
            yield start, self._head(picked[start : start + size]).float()

    @torch.inference_mode()
    def _own_logits(self, tree: PrefixTree) -> torch.Tensor:
        """Return the model's own logits (M, V) at the places that predict, a sequence a call."""
        rows: dict[int, torch.Tensor] = {}
        wanted = set(_flat(tree))
        for path in tree.paths:
            ids = torch.tensor([[tree.tokens[node] for node in path.nodes]])
            logits = self.model(input_ids=ids.to(self._inner.device), use_cache=False).logits[0]
            for place, node in enumerate(path.nodes):
                if node in wanted:
                    rows[node] = logits[place].float()
        return torch.stack([rows[node] for node in _flat(tree)])

    @torch.inference_mode()
    def _agrees(self, rows: Sequence[Row], wanted: torch.Tensor) -> bool:
        tree = build_tree(rows)
        try:
            parts = self._logits(tree, _flat(tree), self._modes[0], half=False)
            mine = torch.cat([part for _, part in parts])
        except torch.OutOfMemoryError:
            raise
        except (CannotAttend, TypeError, ValueError, RuntimeError, KeyError, AttributeError):
            # Foreign code was told to run in a mode that it may not know; it has others.
            return False
        if mine.shape != wanted.shape:
            return False
        known = wanted.isfinite()
        if not known.all():
            # Nothing to compare: the caller names the prompt that gave it.
            return True
        tolerance = _TOLERANCE.get(self._inner.dtype, _COARSE)
        return bool((mine - wanted).abs().max() <= tolerance * wanted.abs().max().clamp(min=1))


def _flat(tree: PrefixTree) -> list[int]:
    """Return the predicting nodes in the order of rows, answers and tokens."""
    return [node for row in tree.predicted for path in row for node in path]


def _inputs(
    tree: PrefixTree,
    nodes: Sequence[int],
    mode: ExecutionMode,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[dict[str, Any], torch.Tensor]:
    """Return the model's arguments, and where in its flattened output the nodes are."""
    if mode.shared:
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor([tree.tokens], device=device),
            "position_ids": torch.tensor([tree.positions], device=device),
            "prefix_tree": gather_indices(tree, device, dtype),
            "use_cache": False,
        }
        return inputs, torch.tensor(nodes, device=device)
    width = max(len(path.nodes) for path in tree.paths)
    ids = torch.zeros((len(tree.paths), width), dtype=torch.long)
    at: dict[int, int] = {}
    for row, path in enumerate(tree.paths):
        ids[row, : len(path.nodes)] = torch.tensor([tree.tokens[node] for node in path.nodes])
        at.update((node, row * width + place) for place, node in enumerate(path.nodes))
    where = torch.tensor([at[node] for node in nodes], device=device)
    return {"input_ids": ids.to(device), "use_cache": False}, where
