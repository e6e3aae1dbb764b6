"""What a verdict means in plain words, and how numbers are written: one voice for every format."""

from __future__ import annotations

from collections.abc import Mapping

from dormant.report.cells import best, chosen_rung
from dormant.results import (
    RELEARNING,
    AbilityResult,
    AuditResults,
    Estimate,
    TransformResult,
    Verdict,
)
from dormant.statistics import NO_BASE

MARKS: Mapping[Verdict, str] = {
    "retained": "✔",
    "asked otherwise": "⇄",
    "suppressed": "◐",
    "lost": "○",
    "forgotten": "✘",
    "inconclusive": "?",
}
"""A sign for each verdict that reads without colour."""

SEVERITY: tuple[Verdict, ...] = (
    "forgotten",
    "lost",
    "suppressed",
    "asked otherwise",
    "inconclusive",
    "retained",
)
"""The order in which people want to hear them: trouble first."""

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


def by_severity(results: AuditResults) -> list[AbilityResult]:
    """The abilities with trouble first; otherwise in the audit's own order."""
    return sorted(results.abilities, key=lambda ability: SEVERITY.index(ability.verdict))


def margin_points(results: AuditResults) -> str:
    """The margin m of the verdict rules as recorded in the settings, in points.

    Returns:
        For example "5"; "m" where the settings do not tell.
    """
    margin = results.settings.get("margin")
    if isinstance(margin, bool) or not isinstance(margin, int | float):
        return "m"
    return f"{100 * margin:g}"


def plain_prompts(results: AuditResults) -> str:
    """What plain prompts are called: "plain prompts", with their language where one was chosen."""
    language = results.settings.get("plain")
    return f"plain prompts ({language})" if isinstance(language, str) else "plain prompts"


def meaning(ability: AbilityResult) -> str:
    """One or two plain sentences: what the verdict says of this ability."""
    if ability.verdict == "retained":
        if ability.drop is not None and ability.drop.high < 0:
            return "Fine-tuning took nothing here: the fine-tuned model is better at it."
        return "Fine-tuning left this ability where it was, within the margin."
    if ability.verdict == "asked otherwise":
        return (
            "The fine-tuned model can still do this, and does where it is asked as it was trained. "
            "What plain prompts lack is the wrapping of its training data, not the ability."
        )
    if ability.verdict == "suppressed":
        return (
            "The fine-tuned model can still do this. What it lost is the habit: "
            f"asked plainly, it no longer sees that this is wanted.{_through(ability)}"
        )
    if ability.verdict == "forgotten":
        return (
            "Not recovered by anything tried, a short training included, although the base model "
            "withstands it. That is evidence of a real loss; it cannot be proof."
        )
    if ability.verdict == "lost":
        return (
            "Not recovered by anything tried so far, although the base model withstands it. What "
            "is gone looks like that, and so does what the model was taught to keep to itself."
        )
    if ability.drop is None:
        return "Without a base model there is no drop to measure, only what each transform gains."
    return "These items do not decide between the other verdicts."


def _through(ability: AbilityResult) -> str:
    """Say where the model can still do it."""
    name = best(ability)
    if not name:
        return ""
    match chosen_rung(ability):
        case "prompt":
            return f" Under {name} it does."
        case "noise":
            return f" With its weights shaken a little ({name}) it does."
        case "relearn" | "teach":
            return f" After a short training that teaches nothing of it ({name}) it does."


def control(result: TransformResult) -> str:
    """How a transform's control came out; without a base model there is none to fail."""
    if result.control_reason == NO_BASE:
        return "not checked"
    return "passed" if result.control_passed else "failed"


def looked(ability: AbilityResult) -> str:
    """Say when an ability was decided: "Decided after 120 items (looks at 40, 80, 120, …)".

    Empty where the number of items was fixed.
    """
    if ability.looks is None:
        return ""
    sizes = ability.looks.sizes
    shown = [grouped(size) for size in sizes if size <= ability.n_items]
    more = ", …" if len(shown) < len(sizes) else ""
    word = "Undecided" if ability.verdict == "inconclusive" else "Decided"
    return f"{word} after {grouped(ability.n_items)} items (looks at {', '.join(shown)}{more})."


def advice(ability: AbilityResult) -> str:
    """One or two plain sentences: what to do next about this ability."""
    if ability.verdict == "retained":
        return "Nothing to fix. Keep it in the audit, to catch the next training run."
    if ability.verdict == "asked otherwise":
        return (
            "Put prompts into the format of the training data wherever the model is used; to have "
            "it without, mix plain prompts into that data. Nothing has to be learned again."
        )
    if ability.verdict == "suppressed":
        # Nobody can prompt through an edit of the weights.
        prompts = best(ability) if chosen_rung(ability) == "prompt" else ""
        stopgap = f"As a stopgap, prompt through {prompts}. " if prompts else ""
        return (
            f"{stopgap}To fix it, mix a little of this task into the fine-tuning data, or keep "
            "the weights closer to the base (averaging, a KL penalty); it need not be taught "
            "again from nothing."
        )
    if ability.verdict == "forgotten":
        return (
            "Try more transforms before giving it up. If none helps, go back to the base model "
            "and tune with this ability’s data in the mixture, then audit again."
        )
    if ability.verdict == "lost":
        return _what_decides(ability)
    if ability.drop is None:
        return "Give the base model as well, and the audit can tell lost from never had."
    if ability.items_needed is not None:
        if ability.looks is not None:
            return f"Allow about {grouped(ability.items_needed)} items (--max-items)."
        return (
            f"Audit about {grouped(ability.items_needed)} items "
            f"(there were {grouped(ability.n_items)})."
        )
    if not any(result.control_passed for result in ability.transforms):
        return "Add a transform under which the base model still succeeds: none did here."
    return "Add items, or transforms of another kind, and run the audit again."


def _what_decides(ability: AbilityResult) -> str:
    """What to do where nothing but relearning could tell suppressed from forgotten."""
    if any(one.rung in RELEARNING for one in ability.not_tried):
        return (
            "Relearning, which would tell suppressed from forgotten, could not be tried here (the "
            "reason says why). Whichever it is: tune with this ability’s data in the mixture."
        )
    if any(result.rung in RELEARNING for result in ability.transforms):
        return (
            "Add transforms of another kind: the base model did not withstand the short trainings, "
            "so they say nothing."
        )
    return (
        "Audit the models with --evidence relearn: a short training that teaches nothing of this "
        "ability brings back what is only suppressed. It needs the weights."
    )


def summary(results: AuditResults) -> str:
    """One line: how many abilities got which verdict, trouble first."""
    counts = dict.fromkeys(SEVERITY, 0)
    for ability in results.abilities:
        counts[ability.verdict] += 1
    counted = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    total = len(results.abilities)
    if not total:
        return "No abilities were audited."
    return f"{total} {'ability' if total == 1 else 'abilities'}: {counted}."


def percent(fraction: float | None) -> str:
    """An accuracy: 0.834 → "83%"; a dash where there is none."""
    if fraction is None:
        return DASH
    return f"{_rounded(100 * fraction)}%".replace("-", MINUS)


def percent_interval(estimate: Estimate | None) -> str:
    """An accuracy's interval: "76–89%"; a dash where there is none."""
    if estimate is None:
        return DASH
    return f"{_rounded(100 * estimate.low)}{DASH}{_rounded(100 * estimate.high)}%"


def with_rung(ability: AbilityResult) -> str:
    """A verdict with its rung of evidence: "suppressed (prompt: french)", "lost (up to noise)"."""
    if ability.rung is None:
        return ability.verdict
    if ability.verdict == "suppressed":
        return f"suppressed ({ability.rung}: {best(ability)})"
    return f"{ability.verdict} (up to {ability.rung})"


def accuracy(fraction: float | None, interval: Estimate | None) -> str:
    """An accuracy with its interval: "83% (76–89%)"; a dash where there is none."""
    if interval is None:
        return percent(fraction)
    return f"{percent(fraction)} ({percent_interval(interval)})"


def accuracy_of(estimate: Estimate | None) -> str:
    """An estimated accuracy with its interval; a dash where there is none."""
    return DASH if estimate is None else accuracy(estimate.estimate, estimate)


def difference(estimate: Estimate | None) -> str:
    """A difference with its interval, in points: "+34 [+25, +43]"; a dash where there is none."""
    if estimate is None:
        return DASH
    return f"{points(estimate.estimate)} {points_interval(estimate)}"


def points(difference: float | None) -> str:
    """A difference of accuracies in percentage points, signed: "+66", "−5", "0"."""
    if difference is None:
        return DASH
    return signed(_rounded(100 * difference))


def points_interval(estimate: Estimate | None) -> str:
    """A difference's interval in points: "[+55, +76]"; empty where there is none."""
    if estimate is None:
        return ""
    return f"[{points(estimate.low)}, {points(estimate.high)}]"


def nats(value: float | None) -> str:
    """A log-probability or a difference of log-odds: "+1.32", "−0.08"."""
    if value is None:
        return DASH
    return signed(f"{value:.2f}")


def nats_interval(estimate: Estimate | None) -> str:
    """An interval in nats; empty where there is none."""
    if estimate is None:
        return ""
    return f"[{nats(estimate.low)}, {nats(estimate.high)}]"


def p_value(p: float | None) -> str:
    """A p-value: "0.034", "< 0.001"."""
    if p is None:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def level(results: AuditResults) -> str:
    """The coverage of the intervals, "95%": the first one found speaks for all."""
    for ability in results.abilities:
        for estimate in (ability.drop, ability.gain, *(t.gain for t in ability.transforms)):
            if estimate is not None:
                return f"{100 * estimate.level:g}%"
    return "95%"


def duration(seconds: float) -> str:
    """A wall time for people: "48 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def grouped(count: int) -> str:
    """A count with thin spaces between thousands."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def signed(number: str) -> str:
    """A decimal numeral with its sign shown; zero, however written, has none."""
    if not number.strip("-0."):
        return number.lstrip("-")
    return number.replace("-", MINUS) if number.startswith("-") else f"+{number}"


def _rounded(value: float) -> str:
    """To whole points, but never a nonzero bound to zero: 0.4 stays 0.4, not 0.

    A lower bound of 0.4 points decides a verdict; printed as 0 it would contradict it.
    """
    whole = f"{value:.0f}"
    if abs(value) < 0.95 and value != 0:
        whole = f"{value:.1f}"
    return "0" if not whole.strip("-0.") else whole
