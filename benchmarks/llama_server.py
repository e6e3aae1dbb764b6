"""llama.cpp's own server as one of the ways of `time_to_verdict`.

What can be had of it: greedy text, with the prompt's beginning in its cache, and so the paper's
verdict; and the log-probability of an answer *that it wrote*, from the tokens that it wrote. What
can't: log-probabilities of a prompt, and so of an answer that it didn't write, and so log-odds.
Its weights are the GGUF file's own, multiplied with activations rounded to 8 bits where the file is
quantised, so its verdicts may differ from float32's.

llama-cpp-python's own server does return log-probabilities of a prompt ("echo"); an audit can be
put to it as ``local-completions:base_url=…`` (docs/models.md).

The fine-tuned model is asked where the server has one adapter, which is switched on for it:

    python benchmarks/llama_adapter.py sentiment adapter.gguf   # in dormant-data's adapters
    llama-server -m BASE.gguf --lora adapter.gguf --lora-init-without-apply
"""

from __future__ import annotations

import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from workers import NEW_TOKENS, begins, read_rows


class LlamaServer:
    """A client of a running server.

    Args:
        url: Where it is.

    Attributes:
        loading: 0, since it has loaded already.
        about: Its slots, and whether it has an adapter.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self.loading = 0.0
        slots = int(self._call("/props").get("total_slots", 1))
        self._adapters = self._call("/lora-adapters")
        plain, special = (
            self._call("/tokenize", {"content": "a", "add_special": wanted})["tokens"]
            for wanted in (False, True)
        )
        self._begins_by_itself = plain != special
        self.about = {"slots": slots, "adapters": len(self._adapters)}
        self._slots = ThreadPoolExecutor(slots)

    def ask(self, way: str, file: Path) -> dict[str, Any]:
        """Have the prompts in a file answered."""
        rows = read_rows(file)
        said: dict[str, Any] = {}
        start = time.perf_counter()
        for which in ("base", "tuned") if len(self._adapters) == 1 else ("base",):
            written = self._slots.map(
                lambda row, which=which: self._complete(row[0], which == "tuned"), rows
            )
            said[which] = [
                [answered(tokens, answer) for answer in answers]
                for tokens, (_, answers) in zip(written, rows, strict=True)
            ]
        return {"said": said, "seconds": time.perf_counter() - start, "about": {}}

    def close(self) -> None:
        """Leave the server alone."""
        self._slots.shutdown()

    def _complete(self, prompt: str, tuned: bool) -> list[tuple[str, float]]:
        """Return the tokens written after a prompt, each with its log-probability."""
        text: Any = prompt
        if self._begins_by_itself:
            text = self._call("/tokenize", {"content": prompt, "add_special": False})["tokens"]
        reply = self._call(
            "/completion",
            {
                "prompt": text,
                "n_predict": NEW_TOKENS,
                "temperature": 0.0,
                "cache_prompt": True,
                "n_probs": 1,
                "lora": [{"id": one["id"], "scale": float(tuned)} for one in self._adapters],
            },
        )
        return [(one["token"], one["logprob"]) for one in reply["completion_probabilities"]]

    def _call(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._url + path, data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=600) as reply:
            return json.load(reply)


def answered(tokens: list[tuple[str, float]], answer: str) -> tuple[float | None, bool]:
    """Return an answer's log-probability, where it was written token for token, and its verdict."""
    said, total = "", 0.0
    for text, logprob in tokens:
        said, total = said + text, total + logprob
        if said == answer:
            return total, True
    return None, begins(said, answer)
