"""What a recovery's user decides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dormant.audit.flags import Flag, UserSettings
from dormant.audit.settings import PAIRS, AuditSettings, ModelArgs, Style
from dormant.names import in_file_names
from dormant.results import MARGIN

SKILL_MARGIN = 0.02
"""Loss of the skill, as a fraction, that counts as one."""


class RecoverSettings(UserSettings):
    """Everything that decides a recovery's numbers; kept beside what it saves."""

    base: str | None
    """The base model's specification; `None` where there is none."""
    tuned: str
    """The fine-tuned model's."""
    tasks: Annotated[tuple[str, ...], Flag("task", "-t")]
    """Ability to give back; repeat, or separate by commas."""
    skill: Annotated[str, Flag(metavar="FILE|TASK")]
    """What the model was tuned on, which is to be kept: held-out examples, or a task. It is
    measured by these, and nothing is trained on them."""
    skill_train: Annotated[
        str | None,
        Flag(
            metavar="FILE",
            default="the fine-tuned model's own answers to a part of the skill's prompts",
        ),
    ] = None
    """Training examples of the skill, which treatments may replay."""
    also: tuple[str, ...] = ()
    """Further ability to report on, which no treatment sees; repeat, or separate by commas."""
    treatments: Annotated[tuple[str, ...], Flag("treatment")] = ("scale", "conjugate-distillation")
    """What is tried, in this order: NAME, or NAME:KEY=VALUE;KEY=VALUE; repeat."""
    n: Annotated[int, Flag("items", "-n"), Field(ge=20)] = 200
    """Items an ability that are reported on: an audit's, with this number and seed."""
    choose: Annotated[int, Field(ge=20)] = 100
    """Items an ability by which candidates are chosen."""
    train: Annotated[int, Field(ge=1)] = 60
    """Items an ability that treatments may see."""
    replay: Annotated[int, Field(ge=0)] = 200
    """Examples of the skill that treatments may replay."""
    control: Annotated[bool, Flag(default="control")] = True
    """Train the base alike where training was chosen: what of the gain is teaching?"""
    shots: Annotated[int | None, Flag(default="the task's own"), Field(ge=0)] = None
    """Demonstrations a prompt."""
    seed: int = 0
    """Decides items, demonstrations and trainings."""
    prompts: Style = "raw"
    """Raw prompts, or the models' chat templates."""
    margin: Annotated[float, Field(gt=0, lt=1)] = MARGIN
    """Loss of an ability that counts as one, as a fraction between 0 and 1."""
    skill_margin: Annotated[float, Field(gt=0, lt=1)] = SKILL_MARGIN
    """The same of the skill; where it is measured by likelihood, as a share of what tuning won."""
    dtype: str = "auto"
    """auto, float32 or bfloat16."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    model_args: Annotated[ModelArgs, Flag(metavar=PAIRS)] = Field(default_factory=dict)
    """What else lm-evaluation-harness's models take."""

    def audit(self) -> AuditSettings:
        """Return how both models are loaded and asked, in an audit's words."""
        return AuditSettings(
            base=self.base,
            tuned=self.tuned,
            tasks=self.tasks,
            seed=self.seed,
            shots=self.shots,
            base_prompts=self.prompts,
            tuned_prompts=self.prompts,
            dtype=self.dtype,
            device=self.device,
            base_model_args=self.model_args,
            tuned_model_args=self.model_args,
        )


def default_out(settings: RecoverSettings) -> str:
    """Return ``recovered/TUNED``, with what names can't hold in file names replaced."""
    return f"recovered/{in_file_names(settings.tuned)}"


Items = Literal["choose", "report"]
"""Which of an ability's sets something was measured on."""
