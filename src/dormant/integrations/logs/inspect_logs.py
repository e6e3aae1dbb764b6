"""Inspect's ``.eval`` logs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import ValidationError

from dormant.errors import DormantError, one_line
from dormant.integrations.logs.scored_log import HOW, METADATA, ItemOrigin, Log, LogOrigin, Sample
from dormant.results import PLAIN

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample

_Origin = TypeVar("_Origin", ItemOrigin, LogOrigin)

CONJUGATED = "dormant_conjugate"
"""The key of what the solver `dormant/conjugate` did to a sample, in the sample's metadata."""

_GRADES: Mapping[object, bool] = {"C": True, "I": False, "N": False, True: True, False: False}
"""Inspect's grades: correct, incorrect, no answer; 1 and 0 are equal to true and false."""


def read(path: Path) -> Log:
    """Read a log.

    Raises:
        DormantError: It can't be read, or holds no scored samples.
    """
    log = _loaded(path)
    whole = _validated(LogOrigin, (log.eval.metadata or {}).get(METADATA), path)
    abilities: dict[str, dict[str, Sample]] = {}
    lost: dict[str, dict[str, str]] = {}
    uncounted: set[str] = set()
    transforms: set[tuple[str, str]] = set()
    epochs = len({sample.epoch for sample in log.samples or []})
    asked = str(log.eval.model_args.get("prompts", ""))
    for sample in log.samples or []:
        origin = _validated(ItemOrigin, sample.metadata.get(METADATA), path)
        group = origin.item if origin else str(sample.id)
        item = group if epochs < 2 else f"{group}#{sample.epoch}"
        if sample.error is not None:
            reason = f"error: {one_line(sample.error.message)}"
            lost.setdefault(origin.ability if origin else "", {})[item] = reason
            continue
        transforms.add(_transform(sample, whole))
        for scorer, score in (sample.scores or {}).items():
            name = origin.ability if origin else f"{log.eval.task}/{scorer}"
            value: object = score.value
            if not isinstance(value, (str, bool, int, float)) or value not in _GRADES:
                uncounted.add(name)
                continue
            samples = abilities.setdefault(name, {})
            if item in samples:
                raise DormantError(
                    f"{path}: item {item} has several scores for {name}: use one scorer"
                )
            samples[item] = Sample(
                correct=_GRADES[value],
                group=group,
                prompt=str(sample.input),
                target=str(sample.target),
                content=(
                    f"{origin.prompt}\n{origin.target}"
                    if origin
                    else f"{_asked_text(sample)}\n{sample.target}"
                ),
                asked=asked,
                output=sample.output.completion,
            )
    if not abilities and not uncounted:
        raise DormantError(f"{path}: the log holds no scored samples (status {log.status})")
    if len(transforms) > 1:
        names = ", ".join(" by ".join(filter(None, pair)) for pair in sorted(transforms))
        raise DormantError(
            f"{path}: samples under several transforms ({names}): make a log for each"
        )
    transform, signature = transforms.pop() if transforms else (PLAIN, "")
    if whole:
        for name, cell in whole.abilities.items():
            lost.setdefault(name, {}).update(cell.excluded)
    return Log(
        name=str(log.eval.model),
        source=path,
        abilities={name: samples for name, samples in abilities.items() if name not in uncounted},
        notes=[f"{name}: not a count of successes, left out" for name in sorted(uncounted)],
        versions={key: str(value) for key, value in log.eval.packages.items()},
        transform=transform,
        signature=signature,
        origin=whole,
        # Errors of samples that say nothing of an ability are those of every scorer.
        lost={
            name: {**lost.get("", {}), **lost.get(name, {})} for name in {*abilities, *lost} - {""}
        },
        time=log.eval.created,
    )


def _loaded(path: Path) -> EvalLog:
    if not path.is_file():
        raise DormantError(f"{path}: no such log; {HOW}")
    try:
        from inspect_ai.log import read_eval_log
    except ImportError:
        raise DormantError(
            f"{path}: reading Inspect's logs needs inspect-ai: pip install 'dormant[inspect]'"
        ) from None
    try:
        return read_eval_log(str(path))
    except Exception as error:
        # Inspect reads zip, zstandard and JSON, and lets all their errors through.
        raise DormantError(
            f"{path}: not a log of Inspect ({type(error).__name__}: {error})"
        ) from error


def _validated(kind: type[_Origin], origin: Any, path: Path) -> _Origin | None:
    if origin is None:
        return None
    try:
        return kind.model_validate(origin)
    except ValidationError as error:
        raise DormantError(
            f"{path}: its metadata of Dormant can't be read ({one_line(error)}): was it "
            "made by another version?"
        ) from None


def _transform(sample: EvalSample, whole: LogOrigin | None) -> tuple[str, str]:
    """Name what was done to a sample, by Dormant's task and then by its solver.

    Returns:
        The transform, and the signature of the solver's, if it has done anything.
    """
    names = [whole.transform] if whole and whole.transform != PLAIN else []
    solver = sample.metadata.get(CONJUGATED)
    if not isinstance(solver, Mapping):
        return "+".join(names) or PLAIN, ""
    arguments = cast("Mapping[str, Any]", solver)
    return "+".join([*names, str(arguments.get("transform"))]), str(arguments.get("signature", ""))


def _asked_text(sample: EvalSample) -> str:
    """Return what was asked, without the identifiers that messages get anew in every run."""
    if isinstance(sample.input, str):
        return sample.input
    return "\n".join(f"{message.role}: {message.text}" for message in sample.input)
