"""What a treatment is: a function that proposes changes of weights and hears what they did.

A treatment is a generator function. Its first argument is what it may see (`Given`), its keyword
arguments are its configuration, and it yields a `Change`; the value of that ``yield`` is what the
change did on the items that choose (`Measured`): numbers, never items. So a treatment can search,
and can't fit what it is judged on. It holds no model: text is generated through `Given.complete`,
and weights are trained by whoever runs it::

    def scale(given: Given, *, steps: int = 4) -> Candidates:
        least, most = 0.0, 1.0
        for _ in range(steps):
            middle = (least + most) / 2
            measured = yield Change((middle,))
            least, most = (least, middle) if measured.kept else (middle, most)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from dormant.errors import DormantError
from dormant.finetuning.data import Pair
from dormant.finetuning.settings import TuningSettings
from dormant.prompts.case import Case
from dormant.results import Estimate, Which


class Complete(Protocol):
    """Lets a model answer; see `Given.complete`."""

    def __call__(self, cases: Sequence[Case], model: Which = "tuned") -> Sequence[str | None]:
        """Answer cases."""
        ...


@dataclass(frozen=True)
class Training:
    """A short LoRA training.

    Attributes:
        examples: What is learnt.
        replay: What should not be lost; as many of these a step.
        settings: How.
        teacher: "base" to learn the base's distribution over the answers' tokens, not their tokens
            alone.
    """

    examples: tuple[Pair, ...]
    replay: tuple[Pair, ...]
    settings: TuningSettings
    teacher: Literal["base"] | None = None


@dataclass(frozen=True)
class Change:
    """New weights θ₀ + λ ⊙ (θ₁ − θ₀) + B·A, of the base's θ₀ and the fine-tuned model's θ₁.

    Attributes:
        factors: λ of each of so many equal parts of the layers, the first layers' first; what
            stands before the layers counts to the first part, what stands after them to the last.
            (1,) leaves the fine-tuned model as it is.
        training: Gives B·A, trained on the model as the factors leave it: the fine-tuned one by
            (1,), the base by (0,).
        settings: What people are told of it, beside its treatment's name.
    """

    factors: tuple[float, ...] = (1.0,)
    training: Training | None = None
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def key(self, models: Sequence[str | None]) -> str:
        """Return what tells it from others: a hash of all that decides the weights.

        Args:
            models: Fingerprints of the base and the fine-tuned model.
        """
        trained = None if self.training is None else asdict(self.training)
        text = json.dumps([*models, self.factors, trained], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def cost(self) -> tuple[bool, int]:
        """How much it changes: whether anything is trained, then in how many parts it scales."""
        return self.training is not None, len(set(self.factors))


@dataclass(frozen=True)
class Measured:
    """What a change did, on the items that choose.

    Attributes:
        kept: Whether the skill counts as kept (`dormant.recovery.choose`).
        skill_loss: skill(tuned) − skill(changed), in the skill's unit.
        gain: acc(changed) − acc(tuned) over the abilities to be recovered.
        returned: The gain as a share of the drop; `None` where there is no base.
    """

    kept: bool
    skill_loss: Estimate
    gain: Estimate
    returned: Estimate | None


class UnfitTreatmentError(DormantError):
    """A treatment can't be tried here; the message says why."""


@dataclass(frozen=True)
class Given:
    """What a treatment may see.

    Attributes:
        prompts: Training cases of each ability to be recovered, by its name. They have their right
            answers, which a treatment that says so doesn't read.
        replay: Returns examples of the skill: its training data, or, where there is none, the
            fine-tuned model's own answers to the skill's prompts.
        has_data: Whether these are its training data.
        seed: Decides what is drawn.
        scales: Why the update of fine-tuning can't be scaled; `None` where it can.
        has_base: Whether there is a base to be asked, and to begin at.
        complete: Answers of a model to cases, greedily, one line each, undone where a case is
            under a transform (`None` where that can't be).
        example: A case and an answer to it as a training example.
    """

    prompts: Mapping[str, Sequence[Case]]
    replay: Callable[[], Sequence[Pair]]
    has_data: bool
    seed: int
    scales: str | None
    has_base: bool
    complete: Complete
    example: Callable[[Case, str], Pair]


Candidates: TypeAlias = Generator[Change, Measured, None]


def pursue(candidates: Candidates, measure: Callable[[Change], Measured | None]) -> int:
    """Let a treatment propose, and hear, until it ends or is to end.

    Args:
        candidates: What a treatment returned.
        measure: Makes a change and measures it; `None` ends the treatment.

    Returns:
        How many changes were measured.

    Raises:
        UnfitTreatmentError: The treatment can't be tried, or goes no further.
    """
    count = 0
    try:
        change = next(candidates)
        while (measured := measure(change)) is not None:
            count += 1
            change = candidates.send(measured)
    except StopIteration:
        pass
    finally:
        candidates.close()
    return count


class Treatment(Protocol):
    """A generator function of `Given`, configured by keywords; its first line of help says what."""

    __name__: str

    def __call__(self, given: Given, /, **configuration: Any) -> Candidates:
        """Propose changes."""
        ...
