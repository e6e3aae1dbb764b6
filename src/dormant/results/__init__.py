"""Typed records: what an audit found, with everything needed to say how it was found.

``results.json`` in a run directory is an `AuditResults` written by `AuditResults.to_json`;
it is the stable interface to other programs. Accuracies are fractions in [0, 1] and always rates
of success; log-odds are in nats; every estimate carries its interval.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from dormant.errors import DormantError
from dormant.results.abilities import INFORMATIVE as INFORMATIVE
from dormant.results.abilities import RELEARNING as RELEARNING
from dormant.results.abilities import RUNGS as RUNGS
from dormant.results.abilities import AbilityResult as AbilityResult
from dormant.results.abilities import LooksResult as LooksResult
from dormant.results.abilities import NotTried as NotTried
from dormant.results.abilities import Rung as Rung
from dormant.results.abilities import RungResult as RungResult
from dormant.results.abilities import TransformResult as TransformResult
from dormant.results.abilities import Verdict as Verdict
from dormant.results.abilities import rungs_up_to as rungs_up_to
from dormant.results.closeness import ClosenessResult as ClosenessResult
from dormant.results.estimates import CellEstimates as CellEstimates
from dormant.results.estimates import Cells as Cells
from dormant.results.estimates import Estimate as Estimate
from dormant.results.estimates import Record as Record
from dormant.results.estimates import Which as Which
from dormant.results.events import CellSoFar as CellSoFar
from dormant.results.training import AsTrainedResult as AsTrainedResult
from dormant.results.training import HijackResult as HijackResult
from dormant.results.training import SkillResult as SkillResult
from dormant.results.training import WrongAnswer as WrongAnswer

SCHEMA_VERSION = 1

PLAIN = "plain"
"""The name of prompts under no transform."""

AS_TRAINED = "as-trained"
"""The name of prompts in the wrapping of the training data."""

MARGIN = 0.05
"""Drop, as a fraction, below which an ability counts as retained, where nothing else is asked for.
"""

LOOKS = (40, 80, 120, 200, 400, 800)
"""Items an ability at which an audit looks whether it is decided, where it may stop then."""

_Record = TypeVar("_Record", bound=Record)


class Effect(Record):
    """How far the tuned model is from the base, on a sample of the run's own prompts.

    Measured before the tuned model is scored: where there is no difference, nothing is audited.
    """

    measure: Literal["logits", "log-probabilities", "answers"]
    """What was compared: logits after the last tokens of the prompts; log-probabilities of the
    answers, where a server shows no logits; greedy answers, where it shows neither."""
    prompts: int
    """Prompts in the sample."""
    places: int
    """Token places, answers or texts that were compared."""
    distance: float | None = None
    """Logits: mean KL divergence of the tuned model from the base, nats a place.
    Log-probabilities: mean absolute difference, nats an answer. `None` for texts."""
    changed: float
    """Share of the places whose likeliest token is another one; of the answers whose greedy
    verdict is another one; of the texts that are others."""
    noise: float | None = None
    """`distance` of the base from itself, asked in other batch shapes: what rounding does."""
    noise_changed: float | None = None
    """`changed`, likewise."""
    identical: bool
    """Whether the difference is no larger than that noise."""


class ModelFacts(Record):
    """What decides how a model reads and computes, beside its weights.

    `None` or empty where a backend doesn't show it.
    """

    tokenizer: str | None = None
    """Its class."""
    vocabulary: int | None = None
    """Tokens that it knows, added ones included."""
    vocabulary_hash: str | None = None
    """Short hash of tokens and ids."""
    tokenizer_of: str | None = None
    """Whose tokenizer and chat template it has, where they are not the model's own."""
    special_tokens: dict[str, str] = {}
    adds_bos: bool | None = None
    """Whether a raw prompt of this run begins with the beginning-of-text token."""
    chat_template: str | None = None
    """Short hash of its text."""
    prompts: str | None = None
    """"raw" or "chat": how this run's prompts were put to it."""
    dtype: str | None = None
    quantisation: str | None = None
    generation_config: dict[str, object] = {}
    """What the checkpoint would have generation do; see `dormant.scoring.generation` on what is
    obeyed."""
    max_length: int | None = None
    """Tokens of context."""
    weights: str | None = None
    """Whether they are shared with the other model, or a copy."""
    first_ids: tuple[int, ...] = ()
    """The first tokens of one prompt of the run, as they went in."""
    first_tokens: tuple[str, ...] = ()
    """The same as text."""
    tokenisation: str | None = None
    """Short hash of the tokens of a sample of texts: equal where two models read alike."""


class Comparability(Record):
    """Base and tuned side by side, in what should be equal for a difference to be of weights."""

    base: ModelFacts | None = None
    tuned: ModelFacts | None = None


class Comparison(Record):
    """What was seen of a pair before it was scored; a run directory keeps it."""

    effect: Effect | None = None
    comparability: Comparability = Comparability()


class AuditResults(Record):
    """`results.json`: one audit."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    schema_: Literal[1] = Field(default=SCHEMA_VERSION, alias="schema")
    base: str | None
    """`None` in a two-cell audit."""
    tuned: str
    settings: dict[str, object]
    versions: dict[str, str]
    abilities: list[AbilityResult]
    skill: SkillResult | None = None
    """Did the skill arrive? `None` where none was named."""
    warnings: list[str] = []
    """Said at the top of every report: differing chat templates, fallbacks, exclusions."""
    wall_seconds: float | None = None
    """What the start that ended it took; those that were interrupted before it don't count."""
    effect: Effect | None = None
    """`None` without a base model, and in runs of older versions."""
    comparability: Comparability | None = None
    log_odds_unit: Literal["nats", "nats per byte"] = "nats"
    """Per byte of answer where the two models have different tokens."""
    closeness: list[ClosenessResult] = []
    """How close prompts are to the fine-tuning data, by each measure that was asked for."""

    def to_json(self) -> str:
        """Return the text of `results.json`."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


class ItemScore(Record):
    """What a verdict needs of an `ItemOutcome`, read from the same line."""

    item: str
    correct: bool
    log_odds: float | None = None


class ItemOutcome(Record):
    """One scored prompt, as kept on disk and shown in the report's item view."""

    model: Which
    task: str
    transform: str
    item: str
    """Source item: the same across models and transforms; the unit of resampling."""
    prompt: str
    target: str
    distractor: str | None = None
    target_logprob: float | None = None
    """Natural logarithm of p(target | prompt); `None` where text was generated."""
    distractor_logprob: float | None = None
    target_greedy: bool
    """Greedy decoding would begin with the target."""
    distractor_greedy: bool | None = None
    other_logprobs: tuple[float, ...] = ()
    """Natural logarithms for further wrong answers (multiple choice), in the task's order."""
    content_free_logprobs: tuple[float, ...] = ()
    """log p(answer | content-free prompt), nats: target, distractor if any, others; empty where
    the task does not calibrate."""
    correct: bool
    """Success by the task's own measure; what accuracy counts."""
    log_odds: float | None = None
    """log p(target) − log Σ p(wrong answers), nats; `None` without wrong answers."""
    label: str | None = None
    """What the task calls the outcome, where it has labels (e.g. "REFUSE")."""
    output: str | None = None
    """Generated text, where the task generates and the user asked to keep it."""
    output_language: str | None = None
    """Code of the language detected in the generated text ("fr"), where the task detects it."""
    familiar: bool | None = None
    """Whether the generated text is like those that the labels were learnt from."""
    run: str = ""
    """Short hash of the settings and versions under which it was scored (see `run.json`)."""


def parse_record(kind: type[_Record], text: bytes, file: Path, advice: str) -> _Record:
    """Read a record as it stands in a file.

    Args:
        kind: The record's type.
        text: Its JSON.
        file: Where it was read, for the message; with ``:LINE`` where the file holds several.
        advice: What to do where it is damaged.

    Raises:
        DormantError: It is damaged, or of a newer schema.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        refuse_newer(text, file)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        detail = f"{where}: {first['msg']}" if where else first["msg"]
        raise DormantError(f"{file}: damaged record ({detail}); {advice}") from None


def refuse_newer(text: bytes, file: Path) -> None:
    """Refuse a file whose schema number is above `SCHEMA_VERSION`.

    Raises:
        DormantError: It is.
    """
    try:
        schema: object = json.loads(text)["schema"]
    except (ValueError, KeyError, TypeError):
        return
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        raise DormantError(
            f"{file}: written by a newer version (schema {schema}, and {SCHEMA_VERSION} is "
            "understood here): upgrade dormant"
        )
