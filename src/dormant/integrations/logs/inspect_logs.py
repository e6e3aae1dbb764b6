"""Inspect's logs, ``.eval`` and ``.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import ValidationError

from dormant.errors import DormantError, one_line
from dormant.integrations.logs.identity import identify
from dormant.integrations.logs.inspect_scores import ItemScores, more_is_better, reduced
from dormant.integrations.logs.measures import Directions, lower_title, successes
from dormant.integrations.logs.scored_log import (
    HOW,
    METADATA,
    CellOrigin,
    ItemOrigin,
    Log,
    LogOrigin,
    Sample,
    recorded_weights,
)
from dormant.models.weights import WEIGHTS, LoadedWeights
from dormant.results import PLAIN

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample

_Origin = TypeVar("_Origin", ItemOrigin, LogOrigin)

CONJUGATED = "dormant_conjugate"
"""The key of what the solver `dormant/conjugate` did to a sample, in the sample's metadata."""

_HEAD = 4096
_KEYS = re.compile(r'\s*\{.*"version"\s*:\s*\d.*"status"\s*:\s*".*"eval"\s*:\s*\{', re.DOTALL)


def is_log(path: Path) -> bool:
    """Return whether a file is a log, by its ending and, for JSON, its first lines."""
    if path.suffix == ".eval":
        return True
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as stream:
        return _KEYS.match(stream.read(_HEAD)) is not None


def read(path: Path, directions: Directions) -> Log:
    """Read a log.

    Args:
        path: The log.
        directions: What the user says of scorers whose values don't say which way is better.

    Raises:
        DormantError: It can't be read, or holds no scored samples.
    """
    log = _loaded(path)
    whole = _validated(LogOrigin, (log.eval.metadata or {}).get(METADATA), path)
    contents = _Contents(path, log, whole)
    for sample in log.samples or []:
        contents.add(sample)
    contents.add_missing()
    abilities, lost, notes, titles = contents.abilities(directions)
    if not abilities and not notes:
        raise DormantError(f"{path}: the log holds no scored samples (status {log.status})")
    transform, signature = contents.transform()
    for name, cell in whole.abilities.items() if whole else ():
        lost.setdefault(name, {}).update(cell.excluded)
    arguments = dict(log.eval.model_args)
    if log.eval.model_base_url:
        arguments["base_url"] = log.eval.model_base_url
    cells = {name: CellOrigin(title=title, signature=transform) for name, title in titles.items()}
    model = identify("", arguments, "", str(log.eval.model))
    return Log(
        name=model.name,
        source=path,
        abilities=abilities,
        notes=notes,
        versions={key: str(value) for key, value in log.eval.packages.items()},
        transform=transform,
        signature=signature,
        origin=whole or LogOrigin(transform=transform, seed=0, abilities=cells),
        lost=lost,
        time=log.eval.created,
        adapts=model.adapts,
        weights=contents.weights(),
        settings=model.settings,
    )


class _Contents:
    """What a log's samples say, gathered by scorer and item."""

    def __init__(self, path: Path, log: EvalLog, whole: LogOrigin | None) -> None:
        self._path, self._log, self._whole = path, log, whole
        self._scores: dict[tuple[str, str], dict[str, ItemScores]] = {}
        self._samples: dict[str, dict[str, EvalSample]] = {}
        self._origins: dict[str, ItemOrigin] = {}
        self._unscored: dict[str, dict[str, list[str]]] = {}
        self._transforms: set[tuple[str, str]] = set()
        self._seen: set[str] = set()
        self._generated = _generation(log)

    def add(self, sample: EvalSample) -> None:
        """Take a sample, which is one epoch of an item."""
        origin = _validated(ItemOrigin, sample.metadata.get(METADATA), self._path)
        item = origin.item if origin else str(sample.id)
        self._seen.add(str(sample.id))
        ability = origin.ability if origin else ""
        if sample.error is not None or sample.invalidation is not None:
            said = sample.error.message if sample.error is not None else "invalidated"
            reason = f"error: {one_line(said)}" if sample.error is not None else said
            self._unscored.setdefault(ability, {}).setdefault(item, []).append(reason)
            return
        self._transforms.add(_transform(sample, self._whole))
        self._samples.setdefault(ability, {}).setdefault(item, sample)
        if origin:
            self._origins[f"{ability}/{item}"] = origin
        for scorer, score in (sample.scores or {}).items():
            name = ability or f"{self._log.eval.task}/{scorer}"
            others = [key for key in self._scores if key[0] == name and key[1] != scorer]
            own = self._scores.setdefault((name, scorer), {}).setdefault(item, ItemScores())
            twice = any(item in self._scores[key] for key in others)
            if twice or sample.epoch in own.scores:
                raise DormantError(
                    f"{self._path}: item {item} has several scores for {name}: use one scorer"
                )
            own.scores[sample.epoch] = score

    def add_missing(self) -> None:
        """Note the samples that a run which did not end well never came to."""
        if self._log.status == "success":
            return
        reason = f"not run (the log's status is {self._log.status})"
        for sample in map(str, self._log.eval.dataset.sample_ids or []):
            if sample in self._seen:
                continue
            names = self._whole.abilities if self._whole else {}
            ability = next((name for name in names if sample.startswith(f"{name}/")), "")
            item = sample.removeprefix(f"{ability}/") if ability else sample
            self._unscored.setdefault(ability, {}).setdefault(item, []).append(reason)

    def abilities(
        self, directions: Directions
    ) -> tuple[dict[str, dict[str, Sample]], dict[str, dict[str, str]], list[str], dict[str, str]]:
        """Return samples and lost items by ability, notes, and some abilities' titles."""
        abilities: dict[str, dict[str, Sample]] = {}
        lost: dict[str, dict[str, str]] = {}
        notes: list[str] = []
        titles: dict[str, str] = {}
        for (name, scorer), items in self._scores.items():
            group = name if self._whole and name in self._whole.abilities else ""
            group = name if name in self._samples else group
            every = self._with_unscored(group, scorer, items)
            known = True if group else more_is_better(self._log, scorer, items)
            higher = directions.of(self._log.eval.task, scorer, known)
            for suffix, measured in reduced(self._log, scorer, every):
                ability = name + suffix
                values, said = successes(ability, scorer, measured, higher)
                notes += said
                if values is None:
                    continue
                if not higher:
                    titles[ability] = lower_title(scorer)
                lost[ability] = measured.lost
                abilities[ability] = {
                    item: self._sample(group, item, value) for item, value in values.items()
                }
        return abilities, lost, notes, titles

    def transform(self) -> tuple[str, str]:
        """Return the transform of all samples, and the signature of the solver's, if any.

        Raises:
            DormantError: They are under several.
        """
        if len(self._transforms) > 1:
            names = ", ".join(" by ".join(filter(None, pair)) for pair in sorted(self._transforms))
            raise DormantError(
                f"{self._path}: samples under several transforms ({names}): make a log for each"
            )
        return next(iter(self._transforms), (PLAIN, ""))

    def weights(self) -> LoadedWeights | None:
        """Return the weights that the provider `dormant` had loaded, if it was that.

        Raises:
            DormantError: They were several: a checkpoint was overwritten while the log was made.
        """
        every = (
            recorded_weights((sample.output.metadata or {}).get(WEIGHTS), self._path)
            for by_item in self._samples.values()
            for sample in by_item.values()
        )
        found = [one for one in every if one is not None]
        if any(one != found[0] for one in found):
            raise DormantError(
                f"{self._path}: samples of several weights under one name: was the checkpoint "
                "overwritten in between? evaluate it again"
            )
        return found[0] if found else None

    def _with_unscored(
        self, group: str, scorer: str, items: Mapping[str, ItemScores]
    ) -> dict[str, ItemScores]:
        """Add the items without a score to those with one."""
        every = dict(items)
        for item in self._samples.get(group, {}):
            every.setdefault(item, ItemScores(why=[f"no score by {scorer}"]))
        for item, why in self._unscored.get(group, {}).items():
            own = every.setdefault(item, ItemScores())
            own.why += why
        return every

    def _sample(self, group: str, item: str, value: float) -> Sample:
        sample = self._samples[group][item]
        origin = self._origins.get(f"{group}/{item}")
        return Sample(
            value=value,
            prompt=str(sample.input),
            target=str(sample.target),
            content=(
                f"{origin.prompt}\n{origin.target}"
                if origin
                else f"{_asked_text(sample)}\n{sample.target}"
            ),
            asked=str(self._log.eval.model_args.get("prompts", "")),
            output=sample.output.completion,
            generated=self._generated,
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
            f"{path}: not a log of Inspect ({type(error).__name__}: {one_line(error)})"
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


_DECIDING = (
    *("max_tokens", "temperature", "top_p", "top_k", "stop_seqs", "system_message"),
    *("frequency_penalty", "presence_penalty", "reasoning_effort", "reasoning_tokens"),
)
"""Of Inspect's settings of generation, those that decide a text."""


def _generation(log: EvalLog) -> str:
    """Say by which settings texts were generated, the evaluation's before the model's."""
    said = (log.eval.model_generate_config, log.plan.config)
    settings = [one.model_dump(exclude_none=True) for one in said]
    merged = {**settings[0], **settings[1]}
    deciding = {name: merged[name] for name in _DECIDING if name in merged}
    return json.dumps(deciding, sort_keys=True, default=str)


def _asked_text(sample: EvalSample) -> str:
    """Return what was asked, without the identifiers that messages get anew in every run."""
    if isinstance(sample.input, str):
        return sample.input
    return "\n".join(f"{message.role}: {message.text}" for message in sample.input)
