"""Everything that decides a laboratory run's numbers, and the presets that ship with it."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dormant.errors import DormantError, unknown
from dormant.regression.functions import FamilyName
from dormant.regression.training import TrainingSettings
from dormant.regression.transformer import TransformerSettings
from dormant.regression.tuning import TuningSettings

_PRESETS = "presets"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PriorSettings(_Settings):
    """The two priors and how they are mixed while pretraining (paper §2.1–2.2)."""

    family: FamilyName = "linear"
    """Functions f(x) = ⟨w, φ(x)⟩; see `functions`."""
    features: int | None = Field(default=None, ge=1)
    """P, for families that leave it open."""
    sigma: float = Field(default=1.0, gt=0)
    """σ: standard deviation of the noise, in units of labels."""
    tau: float = Field(default=1.0, gt=0)
    """τ of D_cont, on which losses are measured (the paper's value is unconfirmed)."""
    pretraining_tau: tuple[float, float] | None = None
    """While pretraining, draw τ uniformly between these two instead: tasks of many sizes, so that
    labels × γ are still like something seen. None: the paper's single τ."""
    pretraining_units: tuple[float, float] | None = None
    """While pretraining, multiply the labels of D_cont, noise and all, by a number drawn uniformly
    between these two: just what s does. None: the paper's single unit."""
    tasks: int = Field(default=64, ge=1)
    """Number n of fixed tasks of D_disc, drawn from N(0, τ² I)."""
    alpha: float = Field(default=0.5, ge=0, le=1)
    """α: probability of D_disc in pretraining; 0 is D_cont alone, 1 D_disc alone."""

    @model_validator(mode="after")
    def _one_breadth(self) -> PriorSettings:
        if self.pretraining_tau and self.pretraining_units:
            raise ValueError("give pretraining_tau or pretraining_units, not both")
        for pair in (self.pretraining_tau, self.pretraining_units):
            if pair and not 0 < pair[0] < pair[1]:
                raise ValueError(f"{list(pair)} must be a lower and a greater positive number")
        return self


class FinetuningSettings(TrainingSettings):
    """Fine-tuning on D_disc, and what else is mixed in."""

    replay: float = Field(default=0.0, ge=0, lt=1)
    """Share of prompts drawn from the pretraining prior rather than D_disc."""
    tasks: Literal["same", "other"] = "same"
    """Fine-tune on the pretraining's discrete set, or on another of the same size."""
    prompts: int = Field(default=0, ge=0)
    """Distinct prompts that fine-tuning draws from; 0 for new ones at every step."""


class EvaluationSettings(_Settings):
    """How losses are measured."""

    prompts: int = Field(default=2_000, ge=2)
    """Prompts of each prior on which every figure is reported."""
    choosing_prompts: int = Field(default=1_000, ge=2)
    """Other prompts of D_cont, on which γ is chosen."""
    curve_prompts: int = Field(default=500, ge=2)
    """Further prompts of each prior, on which losses are followed during fine-tuning."""
    gammas: tuple[float, ...] = Field(default=(1.5, 2.0, 3.0), min_length=1)
    """Values of γ to choose from."""

    @model_validator(mode="after")
    def _usable(self) -> EvaluationSettings:
        if 0 in self.gammas or len(set(self.gammas)) < len(self.gammas):
            raise ValueError("gammas must be distinct and none of them 0")
        return self


class LabSettings(_Settings):
    """One laboratory run: pretrain, fine-tune, evaluate, for every seed."""

    preset: str
    """Name of the preset it started from."""
    summary: str = ""
    """One line for `dormant list presets`."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Each seed draws tasks, weights and prompts of its own."""
    prior: PriorSettings = PriorSettings()
    model: TransformerSettings = TransformerSettings()
    pretraining: TrainingSettings = TrainingSettings()
    finetuning: FinetuningSettings = FinetuningSettings(steps=5_000)
    tuning: TuningSettings = TuningSettings()
    """Which weights fine-tuning moves."""
    evaluation: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="after")
    def _consistent(self) -> LabSettings:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must be distinct")
        return self


def names() -> list[str]:
    """Return the names of the presets that ship with Dormant."""
    folder = resources.files("dormant.regression") / _PRESETS
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.suffix == ".toml")  # type: ignore[attr-defined]


def load(name: str, changes: Sequence[str] = ()) -> LabSettings:
    """Return a preset, with changes.

    Args:
        name: A shipped preset, or the path of a ``.toml`` file like one.
        changes: ``field=value`` each; a field is written ``section.field``, or ``field`` alone
            where only one section has it. Values are JSON, or plain words.

    Raises:
        DormantError: There is no such preset or field (the nearest is suggested), or a value
            doesn't fit; the message names the file and the field.
    """
    path = Path(name)
    if path.suffix == ".toml":
        where, preset = name, path.stem
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise DormantError(f"preset {name} can't be read: {error.strerror}") from None
    else:
        if name not in names():
            raise unknown("preset", name, names())
        where, preset = f"preset {name}", name
        file = resources.files("dormant.regression") / _PRESETS / f"{name}.toml"
        text = file.read_text(encoding="utf-8")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DormantError(f"{where} is not TOML: {error}") from None
    settings = parse({"preset": preset, **raw}, where)
    return changed(settings, changes) if changes else settings


def parse(raw: Mapping[str, Any], where: str) -> LabSettings:
    """Make settings of plain values.

    Args:
        raw: Values by field, nested by section.
        where: What they come from, for the message.

    Raises:
        DormantError: A field is unknown, or a value doesn't fit.
    """
    try:
        return LabSettings.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise DormantError(f"{where}: {_unknown(place)}") from None
        text = first["msg"].removeprefix("Value error, ")
        whole = isinstance(first["input"], dict)  # a rule between fields, or a missing one
        given = "" if whole or not place else f" = {first['input']!r}"
        raise DormantError(f"{where}: {place}{given}: {text}".replace(": : ", ": ")) from None


def changed(settings: LabSettings, changes: Sequence[str]) -> LabSettings:
    """Return settings with some fields changed.

    Args:
        settings: What to start from.
        changes: ``field=value`` each, as for `load`.

    Raises:
        DormantError: A change is not of that form, its field unknown, or its value doesn't fit.
    """
    raw = settings.model_dump(mode="json")
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise DormantError(f"{change!r}: write field=value, such as prior.alpha=0.3")
        put(raw, resolve(name.strip()), value(text.strip()))
    return parse(raw, f"preset {settings.preset}")


def fields() -> list[str]:
    """Return every field that a preset may have, as ``section.field`` or ``field``."""
    found: list[str] = []
    for name, field in LabSettings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += [f"{name}.{inner}" for inner in kind.model_fields]
        else:
            found.append(name)
    return found


def resolve(name: str) -> str:
    """Return the full name of a field that is given by its full or its last name.

    Raises:
        DormantError: No field is called so, or more than one.
    """
    known = fields()
    if name in known:
        return name
    matching = [full for full in known if full.rpartition(".")[2] == name]
    if len(matching) > 1:
        raise DormantError(f"field {name!r} could be any of {', '.join(matching)}: say which")
    if not matching:
        raise _unknown(name)
    return matching[0]


def _unknown(name: str) -> DormantError:
    """Suggest the field whose full or last name is nearest."""
    known = fields()
    by_last = {full.rpartition(".")[2]: full for full in known}
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    nearest = difflib.get_close_matches(name.rpartition(".")[2], by_last, n=1, cutoff=0.6)
    if not close and nearest:
        close = [by_last[nearest[0]]]
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    return DormantError(f"unknown field {name!r}: {hint}")


def value(text: str) -> Any:
    """Read one value as TOML would; a bare word is itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text in ("null", "none") else text


def put(raw: dict[str, Any], field: str, value: Any) -> None:
    """Set one field of nested plain values, in place."""
    *sections, last = field.split(".")
    for section in sections:
        raw = raw[section]
    raw[last] = value


def flat(settings: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values by full field name."""
    raw = settings.model_dump(mode="json") if isinstance(settings, BaseModel) else settings
    found: dict[str, Any] = {}
    for name, inner in raw.items():
        if isinstance(inner, dict):
            section = cast("dict[str, Any]", inner)
            found |= {f"{name}.{key}": item for key, item in section.items()}
        else:
            found[name] = inner
    return found
