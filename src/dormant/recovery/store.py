"""What a recovery keeps on disk as it goes, so that nothing computed is lost: JSON lines.

``run.json`` holds settings, versions and fingerprints; ``outcomes.jsonl`` a line an item and model;
``answers.jsonl`` what models wrote; ``candidates.jsonl`` a line a candidate;
``candidates/KEY`` its weights. A line that a kill cut short is left out, and made anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dormant.audit.run_dir import RunDirectory
from dormant.errors import DormantError
from dormant.files import append, guarded
from dormant.recovery.settings import Items


class Store:
    """A recovery's directory, open for one process at a time.

    Args:
        run: The directory, opened.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self.path = run.path
        self._outcomes: dict[tuple[str, str, str], dict[str, float]] = {}
        for row in self._rows("outcomes"):
            cell = self._outcomes.setdefault((row["model"], row["items"], row["task"]), {})
            cell[row["item"]] = row["value"]
        self._answers = {
            (row["model"], row["prompt"]): row["text"] for row in self._rows("answers")
        }
        self._candidates = {row["key"]: row for row in self._rows("candidates")}

    @classmethod
    def start(cls, path: Path, settings: Mapping[str, Any], versions: Mapping[str, str]) -> Store:
        """Make a directory, or open one made with the same settings; see `RunDirectory.start`."""
        return cls(RunDirectory.start(path, settings, versions))

    def close(self) -> None:
        """Let another process have the directory."""
        self._run.close()

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What decides the numbers, and with which versions the run was begun."""
        return self._run.manifest

    def outcomes(self, model: str, items: Items, task: str) -> Mapping[str, float]:
        """Return what is known of a model on a set, by item: success, or a log-probability."""
        return self._outcomes.get((model, items, task), {})

    def keep_outcomes(
        self, model: str, items: Items, task: str, values: Mapping[str, float]
    ) -> None:
        """Add outcomes.

        Raises:
            DormantError: The disk is full or can't be written; likewise below.
        """
        where = {"model": model, "items": items, "task": task}
        self._add(
            "outcomes", [{**where, "item": item, "value": value} for item, value in values.items()]
        )
        self._outcomes.setdefault((model, items, task), {}).update(values)

    def answer(self, model: str, prompt: str) -> str | None:
        """Return what a model wrote after a prompt; `None` where it isn't known."""
        return self._answers.get((model, prompt))

    def keep_answers(self, model: str, answers: Mapping[str, str]) -> None:
        """Add what a model wrote, by prompt."""
        rows = [{"model": model, "prompt": key, "text": text} for key, text in answers.items()]
        self._add("answers", rows)
        self._answers.update({(model, key): text for key, text in answers.items()})

    def candidates(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the rows of candidates, by key."""
        return self._candidates

    def keep_candidate(self, row: Mapping[str, Any]) -> None:
        """Add a candidate's row, which has its "key"."""
        self._add("candidates", [row])
        self._candidates[row["key"]] = dict(row)

    def _add(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        block = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        guarded(self.path, lambda: append(self._file(name), block.encode()))

    def _rows(self, name: str) -> Iterator[dict[str, Any]]:
        file = self._file(name)
        if not file.exists():
            return
        text = file.read_bytes()
        if not text.endswith(b"\n"):
            # What a kill left half-written would be joined by the next line.
            text = text[: text.rfind(b"\n") + 1]
            guarded(file, lambda: file.write_bytes(text))
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                yield json.loads(line)
            except ValueError:
                raise DormantError(
                    f"{file}, line {number}: damaged; delete the line, and start again"
                ) from None

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.jsonl"
