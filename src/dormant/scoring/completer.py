"""Which requests for texts are completed by our own decoder, and what it is held to.

It takes greedy requests to models that may be read along a prefix tree. Everything else is the
harness's: sampling, beams, settings of the checkpoint's own, other architectures, adapters that act
in their wrapper, thinking.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from dormant.libraries import quiet
from dormant.scoring.attention import CannotAttend
from dormant.scoring.completion import Text, write
from dormant.scoring.encoding import encode_together
from dormant.scoring.forward import ExecutionMode, Forward, adapter_state
from dormant.scoring.generation import ends_of
from dormant.scoring.length_batches import completion_batches, refuse_without_room, slot_budget
from dormant.scoring.memory import out_of_memory
from dormant.scoring.rows import Row
from dormant.scoring.runs import Prompt, Run, runs
from dormant.scoring.self_check import are_likeliest
from dormant.scoring.stops import Ending, Stops, ending_of
from dormant.scoring.watching import Watch

MOST: Mapping[str, int] = {"cpu": 128}
"""Texts written at once, by device; elsewhere `_MOST`."""
_MOST = 512

Within: TypeAlias = Callable[
    [Sequence[Text], Callable[[Sequence[Text]], None]], Iterator[tuple[Sequence[Text], None]]
]

_log = logging.getLogger(__name__)


class _Asked(NamedTuple):
    """What a text depends on: requests that are alike have one."""

    tokens: tuple[int, ...]
    ending: Ending


class Completer:
    """Completes prompts by a model's forward passes.

    Args:
        lm: The harness's Hugging Face model.
        forward: Runs its model.
        within: Does work on some texts, in halves where memory runs out.
    """

    def __init__(self, lm: Any, forward: Forward, within: Within) -> None:
        self._lm = lm
        self.forward = forward
        self._within = within
        self._compared: dict[Hashable, int] = {}
        self._wrong: set[Hashable] = set()

    def complete(self, requests: Sequence[Any]) -> dict[int, str]:
        """Complete what may be completed so.

        Args:
            requests: The harness's requests.

        Returns:
            Texts by the requests' places; the others are for the harness.

        Raises:
            DormantError: A prompt leaves no room for the text asked for, or is too much for the
                memory by itself.
        """
        state = adapter_state(self.forward.model)
        asked = {} if state in self._wrong else self._asked(requests)
        distinct = list(dict.fromkeys(asked.values()))
        if not distinct:
            return {}
        places: dict[_Asked, list[int]] = {}
        for place, one in asked.items():
            places.setdefault(one, []).append(place)
        with quiet():
            written = self._write(distinct, places)
            if not self._confirm(written, state):
                return {}
        texts = {
            one: text.stops.text(self._lm.tok_decode(text.written)) for one, text in written.items()
        }
        found = {place: texts[one] for place, one in asked.items() if one in texts}
        for place, text in found.items():
            self._lm.cache_hook.add_partial("generate_until", requests[place].args, text)
        return found

    def _asked(self, requests: Sequence[Any]) -> dict[int, _Asked]:
        """Return what our decoder may be asked, by the requests' places."""
        lm = self._lm
        plain = (
            lm.generation == "greedy"
            and lm.think_end_token is None
            and lm.mixed_precision_dtype is None
            and not lm.truncation
            and lm.tokenizer.eos_token_id is not None
        )
        if not plain:
            return {}
        end = lm.tok_decode(lm.tokenizer.eos_token_id, skip_special_tokens=False)
        endings = {
            place: ending
            for place, request in enumerate(requests)
            if (ending := ending_of(request.args[1], lm.max_gen_toks, end)) is not None
        }
        prompts = {place: str(requests[place].args[0]) for place in endings}
        # What the harness's `tok_batch_encode` looks for.
        known = encode_together(lm, prompts.values(), getattr(lm.tokenizer, "bos_token", None))
        for place, ending in endings.items():
            prompt = prompts[place]
            refuse_without_room(lm, prompt, len(known[prompt]), ending.more)
        return {
            place: _Asked(tuple(known[prompts[place]]), ending)
            for place, ending in endings.items()
            if known[prompts[place]]
        }

    def _write(
        self, asked: Sequence[_Asked], places: Mapping[_Asked, Sequence[int]]
    ) -> dict[_Asked, Text]:
        """Write the texts of those that may be read along a prefix tree."""
        ends = ends_of(self.forward.model)
        if ends is None:
            return {}
        # A text stands for itself: any tokens will do where only their number matters.
        rows = [
            Row(place, one.tokens, ((one.tokens[-1],) * one.ending.more,))
            for place, one in enumerate(asked)
        ]
        stops = {one.ending: Stops.of(self._lm.tokenizer, ends, one.ending) for one in asked}
        written: dict[_Asked, Text] = {}
        for mode, some in self.forward.assign(rows).items():
            if mode is None or not mode.shared:
                continue
            chosen = [asked[row.index] for row in some]
            texts = [
                Text(
                    Prompt(one.tokens, one.ending.more),
                    stops[one.ending],
                    watch=_told(self._lm.watch, places[one]),
                )
                for one in chosen
            ]
            try:
                self._write_by(mode, texts)
            except CannotAttend as error:
                # The list says that this model doesn't ask for it: a setting that it doesn't know.
                _log.info("prompts are completed by the harness's path: %s", error)
                continue
            written.update(zip(chosen, texts, strict=True))
        return written

    def _write_by(self, mode: ExecutionMode, texts: Sequence[Text]) -> None:
        device = self._lm.device.type
        most = MOST.get(device, _MOST)

        def parted(some: Sequence[Text]) -> Iterator[tuple[Run, list[Text]]]:
            prompts = [text.prompt for text in some]
            for run in runs(prompts, slot_budget(self._lm.token_budget), most):
                yield run, [some[place] for place in run.places]

        def work(some: Sequence[Text]) -> None:
            # Parted anew: where memory ran out the budget is a smaller one.
            for run, part in parted(some):
                write(self.forward, mode, part, run, self._lm.token_budget)

        for _, part in parted(texts):
            for _ in self._within(part, work):
                pass

    def _confirm(self, written: Mapping[_Asked, Text], state: Hashable) -> bool:
        """Compare the longest text with the model's own logits, if none so long was before."""
        if not written:
            return True
        text = max(written.values(), key=lambda text: len(text.prompt.tokens) + len(text.written))
        row = Row(0, text.prompt.tokens, (tuple(text.written),))
        if row.longest <= self._compared.get(state, 0):
            return True
        try:
            wanted = self.forward.own_logits(row)
            right = are_likeliest(text.written, wanted, self.forward.inner.dtype)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            # What can't be compared isn't taken.
            right = False
        if right:
            self._compared[state] = row.longest
        else:
            self._wrong.add(state)
            _log.warning("our decoder's texts aren't this model's own: the harness's path runs")
        return right


def _told(watch: Watch | None, places: Sequence[int]) -> Callable[[Sequence[int]], bool] | None:
    """Tell of one text for all requests that are alike; it goes on while one of them wants it."""
    if watch is None:
        return None

    def tell(written: Sequence[int]) -> bool:
        wanted = [watch(place, written) for place in places]
        return any(wanted)

    return tell


def by_harness(
    lm: Any,
    requests: Sequence[Any],
    places: Sequence[int],
    harness: Callable[..., list[str]],
    within: Callable[..., Iterator[tuple[Sequence[int], list[str]]]],
) -> dict[int, str]:
    """Complete requests by the harness's own path, those of like length together.

    Args:
        lm: The harness's Hugging Face model.
        requests: All requests.
        places: Those that are to be completed.
        harness: Its own `generate_until`.
        within: Does work on some places, in halves where memory runs out.

    Raises:
        DormantError: A prompt leaves no room in the context for the text asked for.
    """

    def complete(some: Sequence[int]) -> list[str]:
        # Each batch made here goes to the model as it is.
        before, lm.batch_size_per_gpu = lm.batch_size_per_gpu, len(some)
        try:
            with lm.watching_alone(some[0]):
                return harness([requests[place] for place in some], disable_tqdm=True)
        finally:
            lm.batch_size_per_gpu = before

    completed: dict[int, str] = {}
    batches = completion_batches(lm, [requests[n] for n in places], lm.token_budget, lm.pads)
    if lm.watch is not None:
        batches = [[number] for batch in batches for number in batch]
    for batch in batches:
        for some, texts in within([places[number] for number in batch], complete):
            completed.update(zip(some, texts, strict=True))
    return completed
