"""What an audit's user decides, declared once.

The options of ``dormant audit``, the keyword arguments of `dormant.audit` and the parameters of the
Inspect tasks are made from the fields of `AuditSettings`, or held equal to them by a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, cast

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from dormant.audit.flags import Flag, UserSettings
from dormant.audit.model_args import parse_model_args
from dormant.errors import DormantError
from dormant.models.arguments import LoadOptions, ScorerName
from dormant.models.pair import Which
from dormant.names import in_file_names
from dormant.prompts.case import Style as Style
from dormant.results import LOOKS, MARGIN
from dormant.scoring.generation import GenerationConfig
from dormant.transforms.fidelity import MIN_CHRF

EvidenceLevel: TypeAlias = Literal["prompt", "noise", "relearn"]


def _style(given: object) -> object:
    return {True: "chat", False: "raw"}[given] if isinstance(given, bool) else given


def _batch_size(given: object) -> object:
    if isinstance(given, str):
        return None if given == "auto" else int(given) if given.isdecimal() else given
    return given


_Style: TypeAlias = Annotated[Style, BeforeValidator(_style)]
ModelArgs: TypeAlias = Annotated[dict[str, JsonValue], BeforeValidator(parse_model_args)]
PAIRS = "KEY=VALUE,…"
"""How these are written on the command line."""


class AuditSettings(UserSettings):
    """Everything that decides an audit's numbers; kept in its run directory."""

    base: str | None
    """The base model's specification; `None` audits the tuned model alone."""
    tuned: str
    """The fine-tuned model's."""
    tasks: Annotated[tuple[str, ...], Flag("task", "-t")] = ("icl", "icl_vs_if")
    """Ability or group; repeat, or separate by commas."""
    transforms: Annotated[
        tuple[str, ...],
        Flag(
            "transform",
            "-s",
            default="every language a task ships, leetspeak and pig-latin",
        ),
    ] = ()
    """Transform; repeat, or separate by commas."""
    plain: Annotated[
        str | None, Flag(metavar="LANGUAGE", default="each task's first; English for shipped ones")
    ] = None
    """Language of plain prompts: the fine-tuning's."""
    n: Annotated[int | None, Flag("items", "-n", synonyms=("limit",), default="up to 100")] = None
    """Items an ability."""
    until_decided: bool = False
    """Ask about more and more items (40, 80, 120, 200, 400, 800), until each ability is decided."""
    max_items: Annotated[
        int | None, Flag(default="800, or the whole pool where it is smaller"), Field(ge=1)
    ] = None
    """Items an ability at most, with --until-decided."""
    shots: Annotated[
        int | None, Flag(synonyms=("num_fewshot",), default="the task's own; icl: 2"), Field(ge=0)
    ] = None
    """Demonstrations a prompt."""
    demonstrations: Literal["drawn", "fixed"] = "drawn"
    """Drawn for each item, as in the paper, or the same before all of a task's items."""
    seed: int = 0
    """Decides items, demonstrations and resamples."""
    prompts: Annotated[_Style, Flag(switches=("apply_chat_template",)), Field(exclude=True)] = "raw"
    """Raw prompts, or the model's chat template."""
    base_prompts: Annotated[_Style, Flag(default="as --prompts")] = "raw"
    """The same, for the base model alone."""
    tuned_prompts: Annotated[_Style, Flag(default="as --prompts")] = "raw"
    """The same, for the tuned model alone."""
    margin: Annotated[float, Field(gt=0, lt=1)] = MARGIN
    """Drop that counts as one, as a fraction between 0 and 1."""
    min_chrf: Annotated[float, Field(ge=0, le=100)] = MIN_CHRF
    """Least round-trip chrF of a translated item; those below are left out of all four cells."""
    dtype: str = "auto"
    """auto, float32 or bfloat16."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    scorer: ScorerName = "fast"
    """Dormant's scorer, or lm-eval's own."""
    generation_config: GenerationConfig = "greedy"
    """Generate greedily, or by each checkpoint's own generation_config.json, without sampling."""
    batch_size: Annotated[
        int | None,
        Flag(default="chosen by the scorer", metavar="N"),
        Field(ge=1),
        BeforeValidator(_batch_size),
    ] = None
    """Prompts a forward pass."""
    model_args: Annotated[ModelArgs, Flag(metavar=PAIRS)] = Field(
        default_factory=dict, exclude=True
    )
    """What else lm-evaluation-harness's models take: revision=…,trust_remote_code=True."""
    base_model_args: Annotated[ModelArgs, Flag(metavar=PAIRS)] = Field(default_factory=dict)
    """The same, for the base model alone."""
    tuned_model_args: Annotated[ModelArgs, Flag(metavar=PAIRS)] = Field(default_factory=dict)
    """The same, for the tuned model alone."""
    checkpoint_every: Annotated[int, Flag(old=("batch",)), Field(ge=1)] = 128
    """Prompts between checkpoints on disk: what a kill may lose."""
    trained_as: Annotated[str | None, Flag(metavar="FILE|template")] = None
    """Ask in the wrapping of these training examples too, or in the tuned model's chat template."""
    skill: Annotated[str | None, Flag(metavar="FILE|TASK")] = None
    """What the model was tuned on: held-out training examples, or a task. Was it learned?"""
    evidence: Annotated[EvidenceLevel, Field(exclude=True)] = "noise"
    """Highest rung of evidence: prompt; noise in the weights for what prompts leave open; relearn,
    which trains on prompts of the ability's form for what noise leaves open."""
    keep_generations: bool = False
    """Keep generated text in the records."""
    allow_identical: Annotated[bool, Field(exclude=True)] = False
    """Go on where base and tuned model do not differ, which is an error otherwise."""

    @model_validator(mode="before")
    @classmethod
    def _for_both_models(cls, given: Any) -> Any:
        """Let what is said of both models hold for each, where nothing is said of it alone."""
        values = dict(cast("Mapping[str, Any]", given))
        sides = ("base", "tuned")
        if "prompts" in values:
            values = {f"{side}_prompts": values["prompts"] for side in sides} | values
        if "model_args" in values:
            both = parse_model_args(values["model_args"])
            for side in sides:
                own = parse_model_args(values.get(f"{side}_model_args", {}))
                values[f"{side}_model_args"] = {**both, **own}
        return values

    @model_validator(mode="after")
    def _one_way_to_say_how_many(self) -> Self:
        """Refuse what says the number of items twice, or can't be decided.

        Raises:
            DormantError: It does.
        """
        if self.max_items is not None and not self.until_decided:
            raise DormantError(
                f"--max-items {self.max_items} is for --until-decided: give that too, or a number "
                f"of items that is fixed (-n {self.max_items})"
            )
        if not self.until_decided:
            return self
        first = LOOKS[0]
        if self.n is not None:
            raise DormantError(
                f"-n {self.n} and --until-decided are two ways to say how many items: leave one "
                f"out (the most are --max-items {max(self.n, first)})"
            )
        if self.max_items is not None and self.max_items < first:
            raise DormantError(
                f"--max-items {self.max_items}: the first look is at {first} items; give at least "
                f"as many, or a number that is fixed (-n {self.max_items})"
            )
        if self.base is None:
            raise DormantError(
                "--until-decided needs a base model: without one, no number of items decides"
            )
        return self

    @model_validator(mode="after")
    def _base_for_what_needs_one(self) -> Self:
        """Refuse what does nothing without a base model.

        Raises:
            DormantError: There is none.
        """
        if self.base is None and self.evidence == "relearn":
            raise DormantError(
                "--evidence relearn needs a base model: without one, nothing is known to be lost"
            )
        return self

    def style(self, which: Which) -> Style:
        """Return how a model's prompts are put to it."""
        return self.base_prompts if which == "base" else self.tuned_prompts

    def recorded(self) -> dict[str, Any]:
        """Return what of this a run directory keeps, as JSON values."""
        recorded = self.model_dump(mode="json")
        # Runs that are older than these settings go on.
        if not self.until_decided:
            for name in ("until_decided", "max_items"):
                del recorded[name]
        for name, before in (("plain", None), ("demonstrations", "drawn")):
            if recorded[name] == before:
                del recorded[name]
        return recorded

    def load_options(self, which: Which) -> LoadOptions:
        """Return how a model is loaded."""
        return LoadOptions(
            dtype=self.dtype,
            device=self.device,
            scorer=self.scorer,
            batch_size=self.batch_size,
            model_args=self.base_model_args if which == "base" else self.tuned_model_args,
            generation_config=self.generation_config,
        )


def default_directory(settings: AuditSettings) -> Path:
    """Return ``runs/BASE--TUNED``, with what names can't hold in file names replaced."""
    names = [name for name in (settings.base, settings.tuned) if name is not None]
    return Path("runs") / "--".join(in_file_names(name) for name in names)
