"""What an audit tells while it runs: how full its cells are, and what came of it.

``dormant audit --json-lines`` writes these records, one a line (docs/watch.md); a newer version may
add fields and kinds of events, and raises `EVENTS_SCHEMA` where it changes what there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from dormant.results.abilities import Rung, Verdict
from dormant.results.estimates import Estimate, Record, Which
from dormant.results.training import Learned

EVENTS_SCHEMA = 1


class CellSoFar(Record):
    """One cell while it is filled: one model's answers on one ability, asked in one way."""

    model: Which
    task: str
    transform: str
    """A transform, an edit of the weights or a training; "plain" for none, "as-trained" for the
    wrapping of training data."""
    rung: Rung | None = "prompt"
    """`None` where only the run directory was read."""
    n: int
    """Items that it is to have. Where an audit goes on until it is decided, up to the next look."""
    done: int
    """Those that are on disk."""
    correct: int
    """Successes among them."""
    accuracy: Estimate | None = None
    """correct / done with its 95 % interval, as it stands; `None` where nothing is done. It is for
    looking on: verdicts rest on whole cells."""


class Started(Record):
    """An audit has its run directory."""

    event: Literal["started"] = "started"
    run: str
    """The run directory; the same in every event of this audit."""
    base: str | None
    tuned: str
    version: str
    """Dormant's."""
    resumed: bool
    """Whether the directory held this run before."""


class Planned(Record):
    """Cells that are to be filled now, with what is on disk of them already.

    It comes again where the audit goes on to more items (a cell named again has another `n`), or to
    a higher rung of evidence (new cells).
    """

    event: Literal["planned"] = "planned"
    run: str
    cells: list[CellSoFar]


class CellEvent(Record):
    """A cell's first batch is put to its model; a batch is on disk; all of the cell is.

    The batch that fills a cell is told as "cell-done" alone. A cell that was whole before is told
    in `Planned` alone.
    """

    event: Literal["cell-started", "cell-progress", "cell-done"]
    run: str
    cell: CellSoFar


class AbilityJudged(Record):
    """What became of an ability; told once, when all cells of the audit are whole."""

    event: Literal["ability-judged"] = "ability-judged"
    run: str
    task: str
    title: str
    verdict: Verdict
    reason: str
    rung: Rung | None
    n_items: int
    drop: Estimate | None
    best_transform: str | None
    gain: Estimate | None
    recovery: Estimate | None


class SkillJudged(Record):
    """Whether the model learnt what it was tuned on."""

    event: Literal["skill-judged"] = "skill-judged"
    run: str
    task: str
    verdict: Learned
    reason: str


class Finished(Record):
    """An audit has ended well: its files are written."""

    event: Literal["finished"] = "finished"
    run: str
    results: str
    """``results.json``."""
    report: str
    """The page."""
    wall_seconds: float | None


class ChildFailed(Record):
    """One of several fine-tuned models could not be audited; the others go on."""

    event: Literal["child-failed"] = "child-failed"
    run: str
    child: str
    reason: str


class TimelineFinished(Record):
    """Audits of several fine-tuned models have ended."""

    event: Literal["timeline-finished"] = "timeline-finished"
    run: str
    """The directory that has a run directory for each."""
    timeline: str
    """``timeline.json``."""
    report: str
    """Its page."""
    keep: str | None
    """The model to keep."""


class Stage(Record):
    """What is being done now, for people."""

    event: Literal["stage"] = "stage"
    text: str


class Note(Record):
    """What people should know, one line."""

    event: Literal["note"] = "note"
    text: str


class Advanced(Record):
    """How far the work is that is known of; a further look or rung adds to it, and begins anew."""

    event: Literal["progress"] = "progress"
    share: float
    """In [0, 1], by characters of prompt, what an earlier start did included."""
    seconds_left: float | None
    """By the speed of the last two minutes; `None` until there is one."""


class Failed(Record):
    """The command ends without results: an error (2), Ctrl-C (130) or SIGTERM (143)."""

    event: Literal["failed"] = "failed"
    message: str
    exit_code: int


AuditEvent: TypeAlias = (
    Started
    | Planned
    | CellEvent
    | AbilityJudged
    | SkillJudged
    | Finished
    | ChildFailed
    | TimelineFinished
)
"""What an audit tells of itself."""

Event: TypeAlias = AuditEvent | Stage | Note | Advanced | Failed
"""A line of ``--json-lines``."""

Tell: TypeAlias = Callable[[AuditEvent], None]
"""Who is told."""
