"""What an audit says of one ability: the verdict, and each intervention that it rests on."""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import model_validator

from dormant.results.estimates import CellEstimates, Cells, Estimate, Record
from dormant.results.training import AsTrainedResult, HijackResult

Verdict = Literal["retained", "asked otherwise", "suppressed", "lost", "forgotten", "inconclusive"]
"""What became of an ability. *Lost* and *forgotten* rest on the same bounds: nothing, or surely too
little, came back. *Forgotten* is said only where relearning was tried."""

Rung = Literal["prompt", "noise", "relearn", "teach"]
"""What evidence of an ability touches: prompts; weights, by noise or rounding; weights, by
training that teaches nothing of the ability; weights, by training on a few right answers."""

RUNGS: tuple[Rung, ...] = ("prompt", "noise", "relearn", "teach")
"""Lowest first: the higher, the more was tried before *forgotten* is said."""

INFORMATIVE: frozenset[Rung] = frozenset({"teach"})
"""Rungs that tell a model of the ability. What comes back there may have been taught, so they never
say *suppressed*; what doesn't come back even there is the more surely gone."""

RELEARNING: frozenset[Rung] = frozenset({"relearn", "teach"})
"""Rungs that train a model for a while. Below them nothing brings back what a model was taught to
keep to itself in all wordings (docs/calibration.md), so what they were not tried on is *lost*."""


def rungs_up_to(rung: Rung) -> tuple[Rung, ...]:
    """Return the rungs that may be climbed where one is the highest to say *suppressed*."""
    place = 1 + RUNGS.index(rung)
    while place < len(RUNGS) and RUNGS[place] in INFORMATIVE:
        place += 1
    return RUNGS[:place]


class NotTried(Record):
    """A rung, or one of its cells, that could not be run: named in verdicts, never passed over."""

    rung: Rung
    name: str = ""
    """The cell, as `TransformResult.name` would give it; empty where the whole rung is missing."""
    reason: str
    """Why, in a few words: "the model is on a server"."""


class TransformResult(Record):
    """What one transform did to one ability."""

    name: str
    """As asked for: "french", "leetspeak", "spanish@apertium"."""
    signature: str
    """What was really used: e.g. "french:native" or "spanish@apertium-3.8.3"."""
    rung: Rung = "prompt"
    """What it touches: the prompt, or the weights."""
    n_items: int
    """Source items present in every cell."""
    excluded_items: int = 0
    """Source items left out of all cells (quality gate, or not in the transform's domain)."""
    exclusions: dict[str, int] = {}
    """Reason to count, for the items left out."""
    fidelity: float | None = None
    """Share of the round trip that survives, in [0, 1]; `None` where text is native."""
    control_passed: bool
    control_reason: str = ""
    """Why the control failed; empty when it passed."""
    accuracy: Cells
    accuracy_intervals: CellEstimates
    control: Estimate | None = None
    """What s itself costs: acc(base, plain) − acc(base, s)."""
    gain: Estimate
    """acc(tuned, s) − acc(tuned, plain)."""
    recovery: Estimate | None = None
    """drop − [acc(base, s) − acc(tuned, s)]."""
    returned_quarter: Estimate | None = None
    """gain − drop / 4: below 0 where less than a quarter of the drop came back. `None` without a
    base model, and in results of older versions."""
    reached_quarter: Estimate | None = None
    """gain − [acc(base, s) − acc(tuned, plain)] / 4: the same, of what the base still shows
    under s."""
    p_value: float
    """One-sided exact McNemar p-value of gain > 0."""
    p_adjusted: float
    """The same after Holm's correction over the ability's cells of this rung."""
    log_odds: Cells | None = None
    """Mean log p(target) − log p(distractor), in `AuditResults.log_odds_unit`; `None` without
    distractors."""
    log_odds_gain: Estimate | None = None
    log_odds_recovery: Estimate | None = None


class RungResult(Record):
    """What came back at one rung, under the transform or edit that was chosen there.

    Each half of the items chooses for the other, and the other's contrasts are pooled. Where the
    audit looks several times, the items up to each look choose for those up to the next.
    """

    rung: Rung
    chosen: list[str]
    """The transform or edit. Where the halves chose two, the surer one on all items first."""
    gain: Estimate
    """Valid for the choice, and at a level split between all rungs that may say *suppressed*, as
    they are all tested."""
    recovery: Estimate | None = None
    """`None` without a base model."""
    tuned: Estimate
    """Accuracy of the fine-tuned model under the chosen ones."""


class LooksResult(Record):
    """When an audit looked whether an ability was decided."""

    sizes: list[int]
    """Items at every look that there would have been; it stopped at `AbilityResult.n_items`."""
    level: float
    """Two-sided level at which intervals on all items were made at the last look, so that those at
    all looks hold together at `Estimate.level`. The drop's upper bound has one of its own."""


class AbilityResult(Record):
    """The verdict on one ability, and what it rests on."""

    task: str
    """Ability, e.g. "icl/copy"."""
    title: str = ""
    """One line for people: what the ability is."""
    verdict: Verdict
    reason: str
    """One sentence: why this verdict."""
    rung: Rung | None = None
    """Of *suppressed*: where the ability came back; of *lost* and *forgotten*: the highest up to
    which it did not. `None` where no rung decided, and in results of older versions."""
    not_tried: list[NotTried] = []
    """What would have been evidence and could not be run."""
    n_items: int
    items_needed: int | None = None
    """For `inconclusive`: about how many items would have decided it."""
    accuracy: Cells
    """Plain cells only."""
    accuracy_intervals: CellEstimates
    drop: Estimate | None
    """acc(base, plain) − acc(tuned, plain); `None` without a base model."""
    drop_p_value: float | None = None
    """Exact McNemar p-value (two-sided) of drop ≠ 0."""
    log_odds_drop: Estimate | None = None
    best_transform: str | None = None
    """Chosen by each half of the items for the other, at the rung that decided, or else the surest
    (`rungs` has them all)…"""
    gain: Estimate | None = None
    """…and estimated on the items that did not choose it."""
    recovery: Estimate | None = None
    """Likewise."""
    rungs: list[RungResult] = []
    """Every rung of which a cell passed its control, lowest first; empty in results of older
    versions."""
    transforms: list[TransformResult]
    as_trained: AsTrainedResult | None = None
    """`None` where no training format was given."""
    hijack: HijackResult | None = None
    """`None` where no training examples were given."""
    lost: int | None = None
    """Items that the base got right plainly and the tuned model wrong; `None` without a base."""
    won: int | None = None
    """Items that the base got wrong plainly and the tuned model right."""
    looks: LooksResult | None = None
    """`None` where the number of items was fixed before."""

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, given: object) -> object:
        """Read *lost* where an older version said *forgotten* without any relearning."""
        if not isinstance(given, dict):
            return given
        fields = cast("dict[str, Any]", given)
        unproved = fields.get("verdict") == "forgotten" and fields.get("rung") not in RELEARNING
        return fields | {"verdict": "lost"} if unproved else fields
