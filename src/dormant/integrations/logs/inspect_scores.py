"""Inspect's scores as numbers: epochs reduced and grades read by Inspect's own functions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from dormant.errors import DormantError, one_line
from dormant.integrations.logs.measures import Measured

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog
    from inspect_ai.scorer import Score, ScoreReducer

_GRADES = ("C", "I", "P", "N")
"""Correct, incorrect, partial, no answer: 1, 0, 0.5 and 0."""
_WORDS = ("yes", "no", "true", "false")
_MEAN = "mean"
"""What Inspect makes of epochs where nothing else is asked for; an ability's name leaves it out."""
_GRADED = (
    *("answer", "cascade", "choice", "exact", "f1", "includes", "match", "math", "pattern"),
    *("model_graded_fact", "model_graded_qa"),
)
"""Inspect's own scorers of which more is better."""


@dataclass
class ItemScores:
    """What one scorer said of one sample, epoch by epoch.

    Attributes:
        scores: A score of each scored epoch.
        why: Why an epoch has none.
    """

    scores: dict[int, Score] = field(default_factory=dict)
    why: list[str] = field(default_factory=list[str])


def reduced(
    log: EvalLog, scorer: str, items: Mapping[str, ItemScores]
) -> Iterator[tuple[str, Measured]]:
    """Reduce one scorer's scores to one number an item, under each of the log's reducers.

    Args:
        log: The log.
        scorer: The scorer's name in the log.
        items: Its scores, by item.

    Yields:
        What to add to the ability's name (the key of a score that holds several, and a reducer
        other than the mean), and the numbers.

    Raises:
        DormantError: The log was reduced by a function that this Inspect doesn't know.
    """
    for name in log.eval.config.epochs_reducer or [_MEAN]:
        reduce = _reducer(name)
        values = {
            item: _reduced(log, scorer, name, reduce, item, own) for item, own in items.items()
        }
        keys = dict.fromkeys(key for parts in values.values() for key in parts if key)
        for key in keys or [""]:
            measured = Measured(counts=_counts(items, key))
            for item, parts in values.items():
                # What has no score, or none at all, has no keys.
                measured.add(item, parts.get(key, parts.get("")), _why(items[item], name))
            yield (f"/{key}" if key else "") + ("" if name == _MEAN else f",{name}"), measured


def more_is_better(log: EvalLog, scorer: str, items: Mapping[str, ItemScores]) -> bool | None:
    """Return `True` where a scorer's numbers are rates of what is right; `None` if nothing says so.

    Grades (C, I, P, N), truth values, Inspect's own scorers and its metric `accuracy` say so.
    """
    values = [score.value for own in items.values() for score in own.scores.values()]
    if any(isinstance(value, bool) or value in _GRADES for value in _flat(values)):
        return True
    if scorer.split("/")[-1] in _GRADED:
        return True
    metrics = [
        name.split("/")[-1]
        for score in (log.results.scores if log.results else [])
        if scorer in (score.scorer, score.name)
        for name in score.metrics
    ]
    return True if "accuracy" in metrics else None


def _reducer(name: str) -> ScoreReducer | None:
    """Return Inspect's own function of that name; `None` where it is somebody else's."""
    from inspect_ai.scorer._reducer import create_reducers

    try:
        (reducer,) = create_reducers([name])
    except Exception:  # what Inspect raises for an unknown name is its own affair
        return None
    return reducer


def _reduced(
    log: EvalLog, scorer: str, name: str, reduce: ScoreReducer | None, item: str, own: ItemScores
) -> dict[str, object]:
    """Return one item's value, by the key of scores that hold several."""
    scores = [
        score.model_copy(update={"value": _known(score.value)})
        for _, score in sorted(own.scores.items())
    ]
    if reduce is None:
        value: object = _logged(log, scorer, name, item)
    elif not scores:
        value = None
    elif any(not _readable(value) for value in _flat([score.value for score in scores])):
        value = "of another kind"
    else:
        value = reduce(scores).value
    if isinstance(value, Mapping):
        several = cast("Mapping[str, object]", value)
        return {str(key): _float(part) for key, part in several.items()}
    return {"": _float(value)}


def _logged(log: EvalLog, scorer: str, name: str, item: str) -> object:
    """Return what the log itself has for an item, where its reducer isn't known here."""
    for reduction in log.reductions or []:
        if reduction.scorer == scorer and reduction.reducer == name:
            for sample in reduction.samples:
                if str(sample.sample_id) == item:
                    return sample.value
            return None
    raise DormantError(
        f"{log.location or log.eval.task}: its epochs were reduced by {name!r}, which Inspect "
        "doesn't know here, and the log keeps no reduced scores: import the package that has it"
    )


def _counts(items: Mapping[str, ItemScores], key: str) -> bool:
    """Return whether the scores, before epochs were reduced, are mostly right or wrong."""
    values = [
        score.value.get(key) if isinstance(score.value, Mapping) else score.value
        for own in items.values()
        for score in own.scores.values()
    ]
    known = [value for value in values if value is not None and not _missing(value)]
    return 2 * sum(value in (0, 1, *_GRADES) for value in known) >= len(known)


def _why(own: ItemScores, reducer: str) -> str:
    if own.why:
        return own.why[0]
    if any(not _missing(score.value) for score in own.scores.values()):
        return f"too few scored epochs for {reducer}"
    for score in own.scores.values():
        said = score.reason or score.explanation
        return "not scored (NaN)" + (f": {one_line(str(said), 80)}" if said else "")
    return ""


def _flat(values: Sequence[object]) -> Iterator[object]:
    for value in values:
        if isinstance(value, Mapping):
            yield from cast("Mapping[str, object]", value).values()
        else:
            yield value


def _readable(value: object) -> bool:
    """Return whether Inspect reads a value as a number; it takes others for 0, with a warning."""
    if not isinstance(value, str):
        return isinstance(value, (bool, int, float))
    if value in _GRADES or value.lower() in _WORDS:
        return True
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _float(value: object) -> object:
    from inspect_ai.scorer import value_to_float

    if value is None or not _readable(value):
        return value
    return value_to_float()(cast("Any", value))


def _missing(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _known(value: object) -> object:
    """Write a part of a score that is null as Inspect writes what is not scored."""
    if not isinstance(value, Mapping):
        return value
    parts = cast("Mapping[str, object]", value)
    return {key: math.nan if part is None else part for key, part in parts.items()}
