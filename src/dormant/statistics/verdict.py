"""The rules: from estimates to a verdict and a reason."""

from __future__ import annotations

from dormant.results import RUNGS, Rung, RungResult, Verdict
from dormant.statistics.evidence import QUARTER, Evidence, leading
from dormant.statistics.intervals import LEVEL
from dormant.statistics.wording import between, negative, number, percent, points

_BOUND = f"{100 * LEVEL:g}% bound"
_NOT_RECOVERED: dict[Rung, str] = {
    "prompt": "up to other prompts",
    "noise": "up to noise in the weights",
    "relearn": "up to uninformative relearning",
    "teach": "up to informative relearning",
}


def rung_of(verdict: Verdict, evidence: Evidence) -> Rung | None:
    """Return the rung that decided: where the ability came back, or up to which it did not."""
    if verdict == "suppressed" and evidence.back is not None:
        return evidence.back.rung
    if verdict in ("lost", "forgotten"):
        return _highest(evidence)
    return None


def decide(evidence: Evidence) -> tuple[Verdict, str]:
    """Return the verdict and why: one sentence, and one more where something was not tried.

    The rules are in the package's docstring. One more: where the base model scarcely has the
    ability (not above chance, or by less than the margin), "retained" would be vacuous, so the
    verdict is inconclusive, even where tuning raised the accuracy.
    """
    verdict, reason = _decide(evidence)
    if evidence.looked and verdict == "inconclusive":
        reason = f"Undecided after {evidence.n_items} items: {_lower(reason)}"
    # Where nothing was lost, or it came back, nothing more needs to be tried.
    drop = evidence.drop
    open_end = (
        verdict in ("lost", "forgotten", "inconclusive") and drop is not None and drop.low > 0
    )
    return verdict, f"{reason}{_untold(evidence) if open_end else ''}"


def _untold(evidence: Evidence) -> str:
    """Name what says nothing: cells that could not be run, rungs that the base did not stand."""
    parts = [
        f"{cell.name or f'the {cell.rung} rung'} ({cell.reason})" for cell in evidence.not_tried
    ]
    missing = f" Not tried: {', '.join(parts)}." if parts else ""
    barren = [f" No control was passed on the {rung} rung." for rung in evidence.barren]
    return f"{missing}{''.join(barren) if evidence.passed else ''}"


def _where(rung: RungResult) -> str:
    """Say under what the ability was looked for, and on which rung: "under french (prompt)"."""
    name = " or ".join(rung.chosen)
    match rung.rung:
        case "prompt":
            return f"under {name} (prompt)"
        case "noise":
            return f"under {name}" if name.startswith("noise") else f"under noise ({name})"
        case "relearn":
            return f"after learning nothing (uninformative relearning: {name})"
        case "teach":
            return f"after informative relearning ({name})"


def _decide(evidence: Evidence) -> tuple[Verdict, str]:
    drop, margin = evidence.drop, evidence.margin
    best = leading(evidence.rungs, None)
    if drop is None:
        if best is None:
            return "inconclusive", "Without a base model there is no drop to judge."
        return "inconclusive", (
            f"Without a base model there is no drop to judge; {_where(best)} the model gains "
            f"{points(best.gain)} on held-out items, which may mean only that it is easier there."
        )
    if drop.high < margin:
        if evidence.absent:
            change = f"; tuning changed accuracy by {points(negative(drop))}"
            return "inconclusive", (
                f"The base model scarcely has this ability ({percent(evidence.base)}), so there is "
                f"nothing to retain or to lose{change if drop.high < 0 else ''}."
            )
        if drop.high < 0:
            return "retained", (
                f"Accuracy did not drop, it rose by {points(negative(drop))}: the lower {_BOUND} "
                "of the rise is above 0."
            )
        return "retained", (
            f"The drop is {points(drop)}, and its upper {_BOUND} is below the margin of "
            f"{number(margin)}."
        )
    if drop.low <= 0:
        if evidence.looked and evidence.never_there:
            return "inconclusive", (
                f"The base model scarcely has this ability ({percent(evidence.base)}), so there is "
                "nothing to retain or to lose."
            )
        if evidence.looked:
            return "inconclusive", f"The drop is {between(drop)}."
        return "inconclusive", (
            f"The drop is {points(drop)}: its lower {_BOUND} is not above 0, and its upper one "
            f"not below the margin of {number(margin)}."
        )
    fell = f"Accuracy fell by {points(drop)}"
    trained = evidence.as_trained
    if evidence.there_as_trained and trained is not None and trained.remaining is not None:
        return "asked otherwise", (
            f"{fell} on plain prompts; in the wrapping of the training data the fine-tuned model "
            f"gains {points(trained.gain)}, and what is left of the drop is "
            f"{points(trained.remaining)}."
        )
    if trained is not None and trained.gain.low > 0:
        fell += f" (as trained, the fine-tuned model gains {points(trained.gain)})"
    if best is None or best.recovery is None:
        return "inconclusive", (
            f"{fell}, but {_nothing(evidence)}, so nothing says whether the ability is still there."
        )
    if (back := evidence.back) is not None and back.recovery is not None:
        return "suppressed", (
            f"Back {_where(back)}: {_lower(fell)}; there, on held-out items, the fine-tuned model "
            f"gains {points(back.gain)}, and the drop is smaller by {points(back.recovery)}: both "
            f"lower {100 * back.gain.level:g}% bounds are above 0."
        )
    if evidence.gone:
        also = "" if trained is None else " and as trained"
        not_recovered = (
            f"Not recovered {_NOT_RECOVERED[_highest(evidence)]}: {_lower(fell)}, with a lower "
            f"{_BOUND} above the margin of {number(margin)}; under all that passed its control "
            f"({len(evidence.passed)}){also}, surely less than {100 * QUARTER:g}% of it came back."
        )
        if evidence.relearnt:
            return "forgotten", not_recovered
        return "lost", f"{not_recovered} {_what_decides(evidence)}"
    if (taught := evidence.taught) is not None and taught.recovery is not None:
        return "inconclusive", (
            f"{fell}; right answers to other prompts bring it back: {_where(taught)}, on held-out "
            f"items, the fine-tuned model gains {points(taught.gain)}, and the drop is smaller by "
            f"{points(taught.recovery)}. Without a model that never had the ability, teaching and "
            "eliciting it can't be told apart."
        )
    if not evidence.telling:
        return "inconclusive", (
            f"{fell}, but no transform passed its control, and noise in the weights, under which "
            "it did not surely come back, can't show that it is gone."
        )
    return "inconclusive", (
        f"{fell}, but whether it comes back is undecided: {_where(best)}, on held-out items, the "
        f"gain is {points(best.gain)} and the recovery {points(best.recovery)}."
    )


def _nothing(evidence: Evidence) -> str:
    """Say that nothing can be told, and why."""
    if not evidence.transforms:
        return "no transform was tried"
    if all(cell.rung == "prompt" for cell in evidence.transforms):
        return "no transform passed its control"
    return "nothing that was tried passed its control"


def _what_decides(evidence: Evidence) -> str:
    """Say what would tell *suppressed* from *forgotten*, or that nothing can here."""
    if evidence.may_relearn:
        return "Suppressed or forgotten is decided by --evidence relearn."
    if evidence.up_to is None:
        return (
            "Outcomes under other prompts can't tell suppressed from forgotten: an audit of the "
            "models themselves can (--evidence relearn)."
        )
    return (
        "Suppressed or forgotten can't be told here: no relearning was tried under which the base "
        "model passes its control."
    )


def _highest(evidence: Evidence) -> Rung:
    return RUNGS[max(RUNGS.index(cell.rung) for cell in evidence.passed)]


def _lower(sentence: str) -> str:
    return f"{sentence[0].lower()}{sentence[1:]}"
