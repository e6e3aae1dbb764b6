"""Labels of NLI as tables have them: names, numbers, and rows without any."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from dormant.errors import DormantError
from dormant.tasks.nli.items import LABELS, TWO_CLASSES
from dormant.tasks.tables import Row

_NAMES = {
    "entailment": ("entailment", "entails", "entailed", "entail"),
    "neutral": ("neutral",),
    "contradiction": ("contradiction", "contradicts"),
    "not_entailment": ("not_entailment", "non_entailment", "not_entailed"),
}
_UNLABELLED = ("-", "-1", "", "none", "nan", "hidden")
"""What stands where annotators didn't agree (SNLI), or a test set keeps its labels."""
_SETS = {
    **dict.fromkeys(("xnli", "mnli", "multinli", "snli", "anli", "wanli"), LABELS),
    **dict.fromkeys(("rte", "qnli", "hans"), TWO_CLASSES),
    "wnli": TWO_CLASSES[::-1],
    "cb": ("entailment", "contradiction", "neutral"),
}
"""What the numbers from 0 mean in sets that are known by name; they don't agree."""


class Labels:
    """The labels of one table's rows.

    Args:
        rows: The rows.
        column: The column of their labels.
        place: The file or folder, whose name may be a known set's.
        order: What the numbers from 0 mean, if the user says it.

    Raises:
        DormantError: A label is of no known name, numbers could mean several things, or the classes
            don't belong together; file and line are named.

    Attributes:
        order: What the numbers from 0 on mean, where there are numbers.
        why: Who says so.
        classes: The classes among which the rows have theirs.
    """

    def __init__(
        self, rows: Sequence[Row], column: str, place: Path, order: Sequence[str] = ()
    ) -> None:
        self._column, self._place = column, place
        given = [self._given(row) for row in rows]
        numbers = {value for value in given if isinstance(value, int)}
        self.order, self.why = self._meaning(rows, numbers, order) if numbers else ((), "")
        named = {self._read(row, value) for row, value in zip(rows, given, strict=True)}
        classes = set(self.order) | (named - {None})
        if "not_entailment" in classes and classes & {"neutral", "contradiction"}:
            raise DormantError(
                f"{rows[0].file}: its labels are of two classes and of three ({_listed(classes)}): "
                "keep one kind"
            )
        self.classes = TWO_CLASSES if "not_entailment" in classes else LABELS

    def of(self, row: Row) -> str | None:
        """Return a row's label; `None` where it has none."""
        return self._read(row, self._given(row))

    def _given(self, row: Row) -> int | str | None:
        """Return what stands there: a number, a name, or nothing that is a label."""
        if self._column not in row.values:
            raise row.error(f"label None is none of {', '.join(LABELS)} (or 0, 1, 2)")
        value = row.values[self._column]
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, bool):
            raise row.error(f"label {value!r} is none of {', '.join(LABELS)} (or 0, 1, 2)")
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # what pandas makes of whole numbers beside empty cells
        text = re.sub(r"\.0$", "", str(value).strip().casefold())
        if text in _UNLABELLED:
            return None
        return int(text) if text.isdecimal() else text

    def _read(self, row: Row, value: int | str | None) -> str | None:
        if value is None:
            return None
        if isinstance(value, int):
            if value < len(self.order):
                return self.order[value]
        else:
            word = re.sub(r"[\s-]+", "_", value)
            for name, words in _NAMES.items():
                if word in words:
                    return name
        raise row.error(
            f"label {row.values[self._column]!r} is none of {', '.join(self.order or LABELS)} (or "
            f"{', '.join(map(str, range(len(self.order or LABELS))))})"
        )

    def _meaning(
        self, rows: Sequence[Row], numbers: set[int], order: Sequence[str]
    ) -> tuple[Sequence[str], str]:
        """Return what numbers from 0 mean, and who says so."""
        if order:
            return _checked(order, self._place), "as you say"
        logged = rows[0].classes.get(self._column, ())
        known = {word: name for name, words in _NAMES.items() for word in words}
        if logged and all(_plain(name) in known for name in logged):
            return [known[_plain(name)] for name in logged], "as the file says"
        for place in (self._place, self._place.parent):
            for word in re.split(r"[^a-z]+", place.stem.casefold()):
                if word in _SETS:
                    return _SETS[word], f"as in {word.upper()}"
        if max(numbers) > 1 or numbers == {0}:
            return LABELS, "as in XNLI, MNLI, SNLI and ANLI"
        two, three = "+".join(TWO_CLASSES), "+".join(LABELS)
        raise DormantError(
            f"{rows[0].file}: its labels 0 and 1 may be RTE's two classes, WNLI's, or two of "
            f"three: say what they mean, from 0 on: nli:path={self._place}@{two} (or …@{three}, …)"
        )


def unlabelled_note(name: str, items: Sequence[str], total: int) -> str:
    """Say how many rows have no label."""
    shown = ", ".join(items[:3]) + (", …" if len(items) > 3 else "")
    return f"nli:{name}: {len(items)} of {total} rows have no label and are left out ({shown})"


def _checked(order: Sequence[str], place: Path) -> list[str]:
    known = {word: name for name, words in _NAMES.items() for word in words}
    unknown = [name for name in order if _plain(name) not in known]
    if unknown:
        raise DormantError(
            f"nli:path={place}@…: {unknown[0]!r} is no class: expected some of {_listed(_NAMES)}"
        )
    return [known[_plain(name)] for name in order]


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def _listed(names: Iterable[str | None]) -> str:
    return ", ".join(sorted(str(name) for name in names))
