"""A bounded sample of the scored prompts for the page, drawn in one pass over the stream.

Records come in any order (all of the base model's first, say), and the four cells of a source
item must be kept or dropped together. So every source item is ranked by a hash of its name, and
each ability keeps its lowest-ranked items for as long as they fit: an item once dropped ranks
above the threshold for good, and one that is kept was never dropped, so its cells are complete.
The outcome depends neither on the order of the stream nor on a random seed.
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from dormant.results import ItemOutcome

DEFAULT_BYTES = 1_400_000
"""Room for items in a page: about 6 000 few-shot prompts, and still quick to open and to mail."""

_RECORD_BYTES = 90
"""What a record costs beside its strings: keys, numbers, punctuation."""


@dataclass(frozen=True, kw_only=True)
class ItemSample:
    """What the page shows of the scored prompts.

    Attributes:
        items: JSON-ready source items: ``{"a": index of the ability, "i": item, "s": strings,
            "c": {transform: {model: cell}}}``. In a cell, "p", "t", "d", "label" and "out" point
            into the strings: prompt, target, distractor, label, output; "l", "m", "x" are the
            log-probabilities of target, distractor and others, "o" the log-odds (nats); "g", "h"
            say whether greedy decoding gives target or distractor; "ok" is success.
        shown: Source items kept, per task.
        total: Source items seen, per task.
        unmatched: Records of tasks that were not asked for, left out.
    """

    items: list[dict[str, Any]]
    shown: dict[str, int]
    total: dict[str, int]
    unmatched: int


def sample_items(
    outcomes: Iterable[ItemOutcome], tasks: Sequence[str], max_bytes: int = DEFAULT_BYTES
) -> ItemSample:
    """Draw source items until their text fills `max_bytes`, shared equally among the tasks.

    Args:
        outcomes: The scored prompts, in any order; read once. Of two records of one prompt the
            later counts.
        tasks: The abilities to show, in order.
        max_bytes: The room, in bytes of UTF-8. Every ability keeps at least one item, however
            long.

    Returns:
        The sample. Memory is bounded by `max_bytes` and eight bytes or so for every source item.
    """
    strata = {task: _Stratum(max_bytes // max(len(tasks), 1)) for task in tasks}
    unmatched = 0
    for outcome in outcomes:
        stratum = strata.get(outcome.task)
        if stratum is None:
            unmatched += 1
        else:
            stratum.add(outcome)
    items: list[dict[str, Any]] = []
    for index, stratum in enumerate(strata.values()):
        kept = sorted(stratum.kept.values(), key=lambda source: _natural(source.item))
        items += [
            {"a": index, "i": source.item, "s": source.strings, "c": source.cells}
            for source in kept
        ]
    return ItemSample(
        items=items,
        shown={task: len(stratum.kept) for task, stratum in strata.items()},
        total={task: len(stratum.seen) for task, stratum in strata.items()},
        unmatched=unmatched,
    )


@dataclass(slots=True)
class _Source:
    """One source item with all its cells; strings told once, however many cells share them."""

    item: str
    strings: list[str] = field(default_factory=list[str])
    cells: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    _places: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, outcome: ItemOutcome) -> int:
        """Take in a record and return the bytes that it costs."""
        before = len(self.strings)
        cell: dict[str, Any] = {
            "p": self._place(outcome.prompt),
            "t": self._place(outcome.target),
            "l": _number(outcome.target_logprob),
            "g": int(outcome.target_greedy),
            "ok": int(outcome.correct),
        }
        if outcome.distractor is not None:
            cell["d"] = self._place(outcome.distractor)
            cell["m"] = _number(outcome.distractor_logprob)
        if outcome.distractor_greedy is not None:
            cell["h"] = int(outcome.distractor_greedy)
        if outcome.other_logprobs:
            cell["x"] = [_number(value) for value in outcome.other_logprobs]
        if outcome.log_odds is not None:
            cell["o"] = _number(outcome.log_odds)
        if outcome.label is not None:
            cell["label"] = self._place(outcome.label)
        if outcome.output is not None:
            cell["out"] = self._place(outcome.output)
        self.cells.setdefault(outcome.transform, {})[outcome.model] = cell
        fresh = self.strings[before:]
        return _RECORD_BYTES + sum(len(text.encode()) for text in fresh)

    def _place(self, text: str) -> int:
        place = self._places.get(text)
        if place is None:
            place = self._places[text] = len(self.strings)
            self.strings.append(text)
        return place


class _Stratum:
    """The lowest-ranked source items of one ability that fit into the room."""

    def __init__(self, room: int) -> None:
        self.seen: set[int] = set()
        self.kept: dict[int, _Source] = {}
        self._room = room
        self._sizes: dict[int, int] = {}
        self._used = 0
        self._highest_first: list[int] = []  # negated ranks: heapq keeps the least in front
        self._threshold: float = math.inf

    def add(self, outcome: ItemOutcome) -> None:
        rank = int.from_bytes(blake2b(outcome.item.encode(), digest_size=8).digest())
        self.seen.add(rank)
        if rank >= self._threshold:
            return
        source = self.kept.get(rank)
        if source is None:
            source = self.kept[rank] = _Source(outcome.item)
            self._sizes[rank] = 0
            heapq.heappush(self._highest_first, -rank)
        size = source.add(outcome)
        self._sizes[rank] += size
        self._used += size
        while self._used > self._room and len(self.kept) > 1:
            highest = -heapq.heappop(self._highest_first)
            self._threshold = highest
            del self.kept[highest]
            self._used -= self._sizes.pop(highest)


def _number(value: float | None) -> float | str | None:
    """A number as JSON can hold it: three decimals; infinities told in words."""
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return round(value, 3)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts item 9 before item 10."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [(0, int(part), "") if index % 2 else (1, 0, part) for index, part in enumerate(parts)]
