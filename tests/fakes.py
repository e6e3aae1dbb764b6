"""A deterministic language model for logic: registered with the harness as backend `fake`.

It "knows" an ability or not by the words in the prompt, so tests decide the truth: a fake with
``hides=Input`` fails every prompt that holds that word.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model


def _draw(*parts: str) -> float:
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


@register_model("fake")
class FakeLM(LM):
    """Gets a prompt right with probability `skill`, and with `hidden` where `hides` occurs in it.

    `dies` names a file that it makes when it ends its own process, once; `slow` is seconds a call.
    Where `shows` occurs too, nothing is hidden. It generates `writes`, or the prompt's last words.
    The draw depends on the prompt alone, so two fakes agree on which prompts are easy.
    """

    def __init__(
        self, skill="0.9", hides="", hidden="0.1", shows="", writes="", breaks="", dies="",
        slow="0", **_,
    ):  # fmt: skip
        super().__init__()
        self.dies, self.slow = dies, float(slow)
        self.skill, self.hides, self.hidden = float(skill), hides, float(hidden)
        self.shows, self.writes, self.breaks = shows, writes, breaks
        self.calls = 0

    def loglikelihood(self, requests):
        self.calls += 1
        time.sleep(self.slow)
        if self.dies and self.calls == 6 and not Path(self.dies).exists():
            # Once, and its process with it, as where memory runs out.
            Path(self.dies).touch()
            os._exit(1)
        found = []
        for index, request in enumerate(requests):
            prompt, answer = request.args
            if self.breaks == "logprobs":
                found.append((float("nan"), False))
                continue
            hidden = self.hides and self.hides in prompt
            shown = self.shows and self.shows in prompt
            skill = self.hidden if hidden and not shown else self.skill
            right = _draw("skill", prompt) < skill
            first = index == 0 or requests[index - 1].args[0] != prompt
            greedy = right if first else not right and _draw("other", prompt, answer) < 0.5
            found.append((-1.0 - _draw("lp", prompt, answer) - (0 if greedy else 5), greedy))
        return found

    def loglikelihood_rolling(self, requests):
        return [-float(len(request.args[0])) for request in requests]

    def generate_until(self, requests):
        return [self.writes or " ".join(request.args[0].split()[-3:]) for request in requests]


def known() -> None:
    """Do nothing: that this module was imported, as a worker of Ray's does first, is all."""
