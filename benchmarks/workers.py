"""Processes that load models once and score when they are told; needs nothing but Python.

One line of JSON is a request, ``{"way": NAME, "prompts": FILE}``, and one line is what comes back.
The first line that a worker writes says that it has loaded; its standard input's end ends it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

# A prompt, and its answers.
Rows = list[tuple[str, list[str]]]

NEW_TOKENS = 10
"""Tokens that the paper's way generates (paper §3.1)."""


class Scored(NamedTuple):
    """What one way says of one answer.

    Attributes:
        logprob: log p(answer | prompt), nats; `None` where the way has none.
        greedy: Whether greedy decoding begins with it, as the way tells that.
    """

    logprob: float | None
    greedy: bool


def begins(said: str, answer: str) -> bool:
    """Whether what was generated begins with an answer, spaces before both aside."""
    return said.lstrip(" ").startswith(answer.lstrip(" "))


def write_rows(file: Path, rows: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Write prompts and their answers, one a line."""
    lines = [json.dumps({"prompt": prompt, "answers": [*answers]}) for prompt, answers in rows]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_rows(file: Path) -> Rows:
    """Read them."""
    read = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return [(row["prompt"], row["answers"]) for row in read]


class Channel:
    """A worker's end: what is written here is all that its parent reads.

    Libraries print, some of them from processes of their own: standard output becomes standard
    error for them.
    """

    def __init__(self) -> None:
        self._out: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def loaded(self, **about: Any) -> None:
        """Say that all is loaded."""
        self._tell(**about)

    def requests(self) -> Iterator[tuple[str, Rows]]:
        """Wait for a way and the prompts that are to be scored by it."""
        for line in sys.stdin:
            request = json.loads(line)
            yield request["way"], read_rows(Path(request["prompts"]))

    def answer(self, said: dict[str, Any], seconds: float, **about: Any) -> None:
        """Answer what was asked last.

        Args:
            said: For each model and prompt, [log-probability or null, greedy] of each answer.
            seconds: How long the scoring took.
            about: What else there is to say.
        """
        self._tell(said=said, seconds=seconds, about=about)

    def _tell(self, **what: Any) -> None:
        self._out.write(json.dumps(what) + "\n")
        self._out.flush()


class Worker:
    """The parent's end.

    Attributes:
        about: What it said of itself when it had loaded.
        loading: Seconds that took, from its start.
    """

    def __init__(self, words: Sequence[object], environment: dict[str, str] | None = None) -> None:
        start = time.perf_counter()
        self._words = [str(word) for word in words]
        self._process = subprocess.Popen(
            self._words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.about = self._read()
        self.loading = time.perf_counter() - start

    def ask(self, way: str, file: Path) -> dict[str, Any]:
        """Have the prompts in a file scored; see `Channel.answer`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"way": way, "prompts": str(file)}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise RuntimeError(f"{' '.join(self._words[:3])} … ended with exit code {code}")
        return json.loads(line)
