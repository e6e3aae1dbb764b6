"""The run directory: one line a scored prompt, written so that a kill loses one batch at most.

``run.json`` holds the settings and versions; ``cells/TASK/TRANSFORM.MODEL.jsonl`` the outcomes of
one cell, appended a batch at a time and synced; ``results.json`` and the report are made from
those. A batch that a kill cut short is scored again as a whole, so a resumed run repeats the very
computation of an unbroken one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from dormant.audit.manifest_file import (
    but_for_tuned,
    differences,
    read_manifest,
    write_manifest,
)
from dormant.audit.record_lines import item_of, records_in
from dormant.errors import DormantError
from dormant.files import append, content_of, guarded, opened, replacing, write_atomically
from dormant.results import (
    AuditResults,
    Comparison,
    ItemOutcome,
    ItemScore,
    Which,
    parse_record,
)
from dormant.rundirs import locked, refuse_other_settings, refuse_unexpected_files

_Kept = TypeVar("_Kept")
UNDER = " under "
"""What stands between a note's subject and the cell that it is about, where it is about one."""


@dataclass(frozen=True)
class CellKey:
    """One cell of an ability: which model, under which transform.

    Attributes:
        model: "base" or "tuned".
        task: The ability's name.
        transform: The transform's name, or `results.PLAIN`.
    """

    model: Which
    task: str
    transform: str


class RunDirectory:
    """A run on disk, open for one process at a time.

    Use `RunDirectory.start` to make or resume one, `RunDirectory.read` to look at one.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self.id: str = manifest["id"]
        self._lock: FileLock | None = None

    @classmethod
    def start(
        cls,
        path: Path,
        settings: Mapping[str, Any],
        versions: Mapping[str, str],
        *,
        base_stands: bool = False,
    ) -> RunDirectory:
        """Make a run directory, or open one made with the same settings.

        Args:
            path: Where; made if missing.
            settings: Everything that decides the numbers; JSON values only.
            versions: Versions of the libraries in use.
            base_stands: Whether the base's answers stand where the fine-tuned model, of which
                nothing was asked yet, is another one by now.

        Raises:
            DormantError: The directory holds a run with other settings, something that is no
                run, is in use by another process, or can't be written.
        """
        lock = locked(path)
        try:
            file = path / "run.json"
            if file.exists():
                run = cls.read(path)
                here = json.loads(json.dumps(settings))
                there: Mapping[str, Any] = run.manifest["settings"]
                if (
                    base_stands
                    and there != here
                    and differences(but_for_tuned(there), but_for_tuned(here)) == []
                ):
                    run = run._with_other_tuned(here)
                refuse_other_settings(path, differences(run.manifest["settings"], here))
            else:
                refuse_unexpected_files(path)
                run = cls(path, write_manifest(path, settings, versions))
        except BaseException:
            lock.release()
            raise
        run._lock = lock
        return run

    def _with_other_tuned(self, settings: Mapping[str, Any]) -> RunDirectory:
        """Take another tuned model, where the one that was to be asked never was.

        As where a checkpoint was still being written, and could not be loaded. What the base
        answered stays.

        Args:
            settings: Those with the other model's fingerprint.

        Returns:
            The run with that, or as it is where its tuned model was asked already.
        """
        asked = any(file.name.endswith(".tuned.jsonl") for file in cell_files(self.path))
        if asked or (self.path / "results.json").exists():
            return self
        for name in _SEEN_OF_PAIR:
            guarded(self.path, lambda name=name: (self.path / name).unlink(missing_ok=True))
        if notes := self.notes():
            kept = {subject: text for subject, text in notes.items() if "tuned" not in subject}
            self.keep("notes.json", json.dumps(kept, indent=1))
        manifest = write_manifest(self.path, settings, self.manifest["versions"])
        return RunDirectory(self.path, manifest)

    @classmethod
    def read(cls, path: Path) -> RunDirectory:
        """Open a run for reading.

        Raises:
            DormantError: There is no run, or its ``run.json`` is damaged.
        """
        return cls(path, read_manifest(path))

    def close(self) -> None:
        """Let another process have the directory."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def notes(self) -> dict[str, str]:
        """Return what was decided while the run went on, by subject.

        Raises:
            DormantError: The file is damaged.
        """
        return self.kept("notes.json", dict[str, str])

    def note(self, subject: str, text: str) -> None:
        """Keep what was decided on a subject, for the results."""
        self.keep("notes.json", json.dumps(self.notes() | {subject: text}, indent=1))

    def comparison(self) -> Comparison | None:
        """Return what was seen of the pair; `None` where it was not looked at yet.

        Raises:
            DormantError: The file is damaged.
        """
        file = self.path / "comparison.json"
        if not file.exists():
            return None
        return parse_record(Comparison, content_of(file), file, "delete it, and start again")

    def keep_comparison(self, seen: Comparison) -> None:
        """Keep what was seen of the pair: a resumed run doesn't look again."""
        self.keep("comparison.json", seen.model_dump_json(indent=1) + "\n")

    def warnings(self) -> list[str]:
        """Return what was warned of while the run went on, each line once.

        Raises:
            DormantError: The file is damaged.
        """
        return self.kept("warnings.json", list[str])

    def warn(self, lines: Sequence[str]) -> None:
        """Keep warnings for the results: a resumed run may not load what gave them."""
        every = list(dict.fromkeys([*self.warnings(), *lines]))
        self.keep("warnings.json", json.dumps(every, indent=1))

    def cell_file(self, cell: CellKey) -> Path:
        """Return the file that holds a cell's outcomes."""
        return self.record_file("cells", cell.task, cell.transform, cell.model)

    def record_file(self, folder: str, task: str, transform: str, model: str) -> Path:
        """Return the file, in a folder of the run, of one model's prompts under one transform."""
        return self.path / folder / _slug(task) / f"{_slug(transform)}.{model}.jsonl"

    def finished(self, cell: CellKey, batches: Sequence[Sequence[str]]) -> list[bool]:
        """Say which batches of a cell are on disk, dropping what a kill left half-written.

        Args:
            cell: The cell.
            batches: Item ids of the cell, in the batches in which they are scored: all, or those of
                the first looks. Records of other items are left as they are.

        Returns:
            One flag a batch.

        Raises:
            DormantError: A whole line of the file is damaged.
        """
        file = self.cell_file(cell)
        if not file.exists():
            return [False] * len(batches)
        present: set[str] = set()
        torn = False
        with opened(file) as stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    torn = True
                    continue
                item = item_of(line, file, number)
                torn |= item in present
                present.add(item)
        done = [all(item in present for item in batch) for batch in batches]
        half = {
            item for batch, ready in zip(batches, done, strict=True) if not ready for item in batch
        }
        if torn or not half.isdisjoint(present):
            guarded(self.path, lambda: _keep_only(file, present - half))
        return done

    def append(self, cell: CellKey, outcomes: Sequence[ItemOutcome]) -> None:
        """Add one batch to a cell: all of it reaches the disk, or none.

        Raises:
            DormantError: The disk is full or can't be written; what was there is intact.
        """
        file = self.cell_file(cell)
        block = "".join(outcome.model_dump_json(exclude_none=True) + "\n" for outcome in outcomes)
        guarded(file, lambda: file.parent.mkdir(parents=True, exist_ok=True))
        guarded(self.path, lambda: append(file, block.encode()))

    def outcomes(self, cell: CellKey) -> Iterator[ItemOutcome]:
        """Read a cell's outcomes, one at a time.

        Raises:
            DormantError: A record is damaged.
        """
        file = self.cell_file(cell)
        if file.exists():
            yield from records_in(file, ItemOutcome)

    def scores(self, cell: CellKey) -> Iterator[ItemScore]:
        """Read what a cell's outcomes say of success alone, which is several times as fast.

        Raises:
            DormantError: A record is damaged.
        """
        file = self.cell_file(cell)
        if file.exists():
            yield from records_in(file, ItemScore)

    def all_outcomes(self) -> Iterator[ItemOutcome]:
        """Read every outcome of the run, one at a time, cell after cell.

        Raises:
            DormantError: A record is damaged.
        """
        for file in cell_files(self.path):
            yield from records_in(file, ItemOutcome)

    def write_results(self, results: AuditResults) -> None:
        """Write ``results.json``, replacing an older one in one step."""
        self.keep("results.json", results.to_json())

    def write_excluded(self, reasons: Mapping[str, Mapping[str, Mapping[str, str]]]) -> None:
        """Write ``excluded.json``: why each item is left out, by task and transform.

        No file is written where no item is.
        """
        listed = {task: by_name for task, by_name in reasons.items() if by_name}
        if listed:
            self.keep("excluded.json", json.dumps(listed, indent=1, ensure_ascii=False))

    def results(self) -> AuditResults:
        """Read ``results.json``.

        Raises:
            DormantError: The run has not finished, or the file is damaged.
        """
        file = self.path / "results.json"
        try:
            text = content_of(file)
        except FileNotFoundError:
            raise DormantError(
                f"{self.path}: the run has not finished; start it again to resume it"
            ) from None
        return parse_record(AuditResults, text, file, "start the run again to write it anew")

    def keep(self, name: str, text: str) -> None:
        """Write a small file, replacing an older one in one step.

        Raises:
            DormantError: The disk is full or can't be written.
        """
        guarded(self.path, lambda: write_atomically(self.path / name, text))

    def kept(self, name: str, kind: Callable[[Any], _Kept]) -> _Kept:
        """Return what `kind` makes of a small file in JSON; of ``()`` where there is no file.

        Raises:
            DormantError: It is damaged.
        """
        file = self.path / name
        try:
            return kind(json.loads(content_of(file)) if file.exists() else ())
        except (ValueError, TypeError):
            raise DormantError(f"{file}: damaged; delete it, and start the run again") from None


_SEEN_OF_PAIR = ("comparison.json", "warnings.json")
"""Files of what was seen of a run's models, which are looked at anew where they are missing."""


def cell_files(run: Path) -> list[Path]:
    """Return the files of a run's cells that there are."""
    return sorted((run / "cells").glob("*/*.jsonl"))


def _keep_only(file: Path, items: set[str]) -> None:
    """Rewrite a cell's file with the first whole record of each of `items`."""
    left = set(items)
    with replacing(file) as part, file.open("rb") as old, part.open("wb") as new:
        for number, line in enumerate(old, start=1):
            if line.endswith(b"\n") and (item := item_of(line, file, number)) in left:
                left.remove(item)
                new.write(line)


def _slug(name: str) -> str:
    """Return a file name for `name`, distinct for distinct names."""
    plain = re.sub(r"[^A-Za-z0-9.@_-]+", "-", name)
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
