"""What one evaluation found, whichever tool ran it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, ValidationError

from dormant.errors import DormantError, one_line
from dormant.models.weights import LoadedWeights
from dormant.results import PLAIN, Record

HOW = (
    "pass a directory that `lm_eval --log_samples --output_path DIRECTORY` wrote, one of its "
    "samples_….jsonl files, .eval or .json logs of Inspect, or a directory of them"
)

METADATA = "dormant"
"""The key of `ItemOrigin` and `LogOrigin` in the metadata of other tools' logs."""


class ItemOrigin(Record):
    """Where a sample of another tool's log comes from, if it is an item of Dormant's."""

    ability: str
    """E.g. "icl/copy"."""
    item: str
    """Source item: the same across models and transforms; the unit of resampling."""
    prompt: str
    """The plain prompt, whatever the transform made of it."""
    target: str
    """The plain answer."""


class CellOrigin(Record):
    """What a log's samples of one ability have in common."""

    title: str = ""
    """One line for people."""
    chance: float = 0.0
    """Accuracy of guessing, in [0, 1]."""
    signature: str = PLAIN
    """What was really used, e.g. "french:native"."""
    fidelity: float | None = None
    """Share of the round trip that survives, in [0, 1]; `None` where text is native."""
    excluded: dict[str, str] = Field(default_factory=dict)
    """The reason, for every item that the transform could not render."""


class LogOrigin(Record):
    """What a whole log is of."""

    transform: str
    seed: int
    """Decides items and demonstrations, and the halves on which transforms are chosen."""
    shots: int | None = None
    """Demonstrations a prompt; `None` is the task's own number."""
    abilities: dict[str, CellOrigin]


def recorded_weights(given: object, path: Path) -> LoadedWeights | None:
    """Read what a log says of the weights that were loaded.

    Args:
        given: What stands there; `None` where nothing does.
        path: The log, for messages.

    Raises:
        DormantError: It is damaged.
    """
    if given is None:
        return None
    try:
        return LoadedWeights.model_validate(given)
    except ValidationError as error:
        raise DormantError(
            f"{path}: what it says of the loaded weights can't be read ({one_line(error)}): was it "
            "made by another version?"
        ) from None


@dataclass(frozen=True)
class Sample:
    """One item of a log.

    Attributes:
        value: How far it was a success, in [0, 1]: 0 or 1, or what partial credit or several
            epochs of it make.
        prompt: The prompt, if the log has it.
        target: The right answer, if the log has it.
        content: Fingerprint of the item, the same under every transform; equal in all logs, or
            they can't be paired.
        asked: Fingerprint of the prompt; another one is worth a warning.
        output: What the model wrote, if the log has it.
        generated: By which settings that was, in words; another one is worth a warning, too.
    """

    value: float
    prompt: str = ""
    target: str = ""
    content: str = ""
    asked: str = ""
    output: str | None = None
    generated: str = ""

    @property
    def correct(self) -> bool:
        """Whether it was a success through and through."""
        return self.value == 1


@dataclass(frozen=True)
class Log:
    """What one evaluation of one model found, under one transform or none.

    Attributes:
        name: The model, with all that the log says of it: two logs are of one model where these
            are equal.
        source: Where it was read.
        abilities: Samples by ability ("TASK/METRIC") and item.
        notes: What was left out, and why.
        versions: Versions of the tool that wrote it.
        transform: The transform of its prompts, or `PLAIN`.
        signature: What was really used, where that is the same for all abilities.
        origin: What Dormant's own plug-in said of it.
        lost: The reason, by ability and item, for items without an outcome.
        time: When it was made, as the tool writes it; later is greater.
        adapts: The model below, in the same words, where this one is an adapter on it.
        hash: Hash of its weights' revision, where the log has one.
        weights: The weights that were loaded, where Dormant's plug-in recorded them.
        settings: What else decides what it computes, in words.
        named: Whether the log says which model it is of; else its place does.
    """

    name: str
    source: Path
    abilities: dict[str, dict[str, Sample]]
    notes: list[str] = field(default_factory=list[str])
    versions: dict[str, str] = field(default_factory=dict[str, str])
    transform: str = PLAIN
    signature: str = ""
    origin: LogOrigin | None = None
    lost: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    time: str = ""
    adapts: str = ""
    hash: str = ""
    weights: LoadedWeights | None = None
    settings: str = ""
    named: bool = True

    def cell(self, ability: str) -> CellOrigin:
        """Return what is known of an ability's samples."""
        known = self.origin.abilities if self.origin else {}
        cell = known.get(ability) or CellOrigin(signature=self.transform)
        return cell.model_copy(update={"signature": self.signature}) if self.signature else cell
