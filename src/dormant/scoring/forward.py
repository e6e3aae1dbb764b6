"""Forward passes over batches of rows, each in the fastest way that is known to be right."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from dormant.scoring.attention import gather_indices, tree_attention
from dormant.scoring.layers import decoder_and_head, last_layer_at
from dormant.scoring.memory import out_of_memory
from dormant.scoring.prediction import Prediction, measure
from dormant.scoring.prefix_tree import PrefixTree, build_tree
from dormant.scoring.rounded import RoundedWeights
from dormant.scoring.rows import Row
from dormant.scoring.self_check import agrees, own_logits, probes
from dormant.scoring.supported import limits_of, support_of, text_config
from dormant.scoring.wrappers import can_be_disabled, unwrapped

_CHUNK = 1 << 25
"""Logits held at once, in numbers."""
_FIRST_CHECK = 128
"""Tokens that a way is compared on at least, so that it isn't compared again soon."""
_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")
"""What architectures call the length of their context."""


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

    @property
    def name(self) -> str:
        """What users are told."""
        return "prefix tree" if self.shared else "rows"


_MODES = tuple(ExecutionMode(shared, split) for shared in (True, False) for split in (True, False))
"""Fastest first."""


@dataclass
class _Known:
    """What is known of a model with its adapters in one state.

    Attributes:
        modes: Those not found wrong, fastest first.
        checked: Tokens up to which each was compared with the model's own logits.
    """

    modes: list[ExecutionMode]
    checked: dict[ExecutionMode, int] = field(default_factory=dict[ExecutionMode, int])


class Forward:
    """Runs batches through a causal language model.

    Rows go the ways that the list of tested architectures allows for their length. Each way is
    compared with the model's own logits before it is first taken, and again when a longer prompt
    comes than any that it was compared on, and when adapters are switched; one that differs is
    dropped. What is left over is for the model's own forward pass (`plain`).

    Args:
        model: The model, possibly in a PEFT wrapper.
        share_prefixes: Whether to try reading shared prefixes once.
        max_length: Tokens that the context holds.
    """

    def __init__(
        self, model: Any, *, share_prefixes: bool = True, max_length: float = math.inf
    ) -> None:
        self.model = model
        inner: Any = unwrapped(model)
        self.inner = inner
        self._decoder, self._head = decoder_and_head(inner)
        self._rounded = None if self._decoder is None else RoundedWeights(self._decoder)
        self._keeps = "logits_to_keep" in inspect.signature(inner.forward).parameters
        self._limits = limits_of(inner.config)
        support = support_of(inner, model)
        self._modes = [
            mode
            for mode in _MODES
            if support is not None
            and ((support.tree and share_prefixes) or not mode.shared)
            and (support.split and self._head is not None if mode.split else self._keeps)
        ]
        text = text_config(inner.config)
        self._vocabulary = int(text.vocab_size)
        given = [getattr(text, name, None) for name in _POSITIONS]
        positions = [length for length in given if isinstance(length, int)]
        self._room = min([max_length, *positions])
        # Longer prompts than the run's own are made only where it is known that there are places.
        self._can_draw_out = bool(positions)
        self._states: dict[Hashable, _Known] = {}

    @property
    def modes(self) -> Sequence[ExecutionMode]:
        """Ways not found wrong with the adapters as they are, fastest first."""
        return self._known().modes

    def assign(self, rows: Sequence[Row]) -> dict[ExecutionMode | None, list[Row]]:
        """Say how each row is to be run; `None` stands for the model's own forward pass.

        It depends on the row alone, not on others in its batch, so long as no way is found wrong.
        """
        known = self._known()
        while True:
            assigned: dict[ExecutionMode | None, list[Row]] = {}
            for row in rows:
                fits = (mode for mode in known.modes if row.longest <= self.limit(mode))
                assigned.setdefault(next(fits, None), []).append(row)
            wrong = [m for m, some in assigned.items() if m and not self._right(known, m, some)]
            if not wrong:
                return assigned
            known.modes = [mode for mode in known.modes if mode not in wrong]

    def drop(self, mode: ExecutionMode) -> None:
        """Take a way no more with the adapters as they are."""
        known = self._known()
        known.modes = [other for other in known.modes if other != mode]

    def own_logits(self, row: Row) -> torch.Tensor:
        """Return the model's own logits (N, V) at all tokens of a row's answers."""
        return own_logits(self.model, build_tree([row]), self._keeps)

    def __call__(
        self, rows: Sequence[Row], mode: ExecutionMode, *, half: bool
    ) -> list[list[Prediction]]:
        """Predict every answer's tokens.

        Args:
            rows: The batch.
            mode: What `assign` gave for them.
            half: Run the layers in bfloat16, where they are called apart from the head.

        Returns:
            For each row, a prediction for each answer.

        Raises:
            CannotAttend: The model asks for an attention that isn't done along a tree.
        """
        return self._predict(rows, build_tree(rows), mode, half and mode.split)

    def _known(self) -> _Known:
        return self._states.setdefault(adapter_state(self.model), _Known(list(self._modes)))

    def limit(self, mode: ExecutionMode) -> float:
        """Return how many tokens a sequence may have to be run in a way."""
        return self._limits.tree if mode.shared else self._limits.rows

    def _right(self, known: _Known, mode: ExecutionMode, rows: Sequence[Row]) -> bool:
        """Compare a way with the model's own logits, if these rows are longer than any before.

        The probe is drawn out to the next power of two, so that every row up to there is covered
        by one at least as long: what goes wrong beyond some length goes wrong there, too.
        """
        longest = max(row.longest for row in rows)
        if longest <= known.checked.get(mode, 0):
            return True
        wider = max(_FIRST_CHECK, 1 << (longest - 1).bit_length()) if self._can_draw_out else 0
        length = max(longest, int(min(wider, self._room, self.limit(mode))))
        tree = build_tree(probes(rows, length, self._vocabulary))

        @torch.inference_mode()
        def mine() -> torch.Tensor:
            return torch.cat([part for _, part in self._logits(tree, _flat(tree), mode, False)])

        try:
            wanted = own_logits(self.model, tree, self._keeps)
            right = agrees(mine, wanted, self.inner.dtype)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            # What can't be compared isn't taken.
            right = False
        if right:
            known.checked[mode] = length
        return right

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
            part = measure(logits, token[here], place[here] - start)
            logprobs[here], shortfalls[here] = part.logprobs, part.shortfalls
            choices += part.choices
            margins += part.margins
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
        dtype = torch.bfloat16 if half else self.inner.dtype
        inputs, where = _inputs(tree, nodes, mode, self.inner.device, dtype)
        with tree_attention(self.inner) if mode.shared else contextlib.nullcontext():
            yield from self.logits_at(inputs, where, mode, half)

    def logits_at(
        self, inputs: dict[str, Any], where: torch.Tensor, mode: ExecutionMode, half: bool
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Run the model, told how to attend, and yield logits as `_logits` does.

        Args:
            inputs: What the model is called with.
            where: (M,) places in its flattened output.
            mode: How it is run.
            half: Run the layers in bfloat16.
        """
        rounded = contextlib.nullcontext()
        if half and self._rounded is not None:
            rounded = self._rounded.applied(adapter_state(self.model))
        with rounded, torch.autocast(self.inner.device.type, torch.bfloat16, enabled=half):
            if not mode.split:
                yield 0, self._kept_logits(inputs, where)
                return
            with last_layer_at(self._decoder, where):
                hidden = self._decoder(**inputs).last_hidden_state
        picked = hidden.flatten(0, 1)[where].to(self._head.weight.dtype)
        size = max(1, _CHUNK // self._head.weight.shape[0])
        for start in range(0, len(picked), size):
            yield start, self._head(picked[start : start + size]).float()

    def _kept_logits(self, inputs: dict[str, Any], where: torch.Tensor) -> torch.Tensor:
        """Return the model's own logits (M, V) at flattened places, of few sequences at a time."""
        count, width = inputs["input_ids"].shape
        if count == 1:
            return self.inner(**inputs, logits_to_keep=where).logits[0].float()
        ids, size = inputs.pop("input_ids"), max(1, 4 * _CHUNK // (width * self._vocabulary))
        kept = torch.empty((len(where), self._vocabulary), device=where.device)
        for start in range(0, count, size):
            here = ((where >= start * width) & (where < (start + size) * width)).nonzero()[:, 0]
            row, place = where[here] // width - start, where[here] % width
            places, at = place.unique(return_inverse=True)
            logits = self.inner(ids[start : start + size], logits_to_keep=places, **inputs).logits
            kept[here] = logits[row, at].float()
        return kept


def adapter_state(model: Any) -> Hashable:
    """Return what tells whether, and which, adapters act in a model's layers."""
    states = {
        (
            tuple(getattr(part, "active_adapters", ())),
            bool(part.disable_adapters),
            bool(getattr(part, "merged", False)),
        )
        for part in model.modules()
        if can_be_disabled(type(part))
    }
    return frozenset(states)


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
