"""What the training data tell, in words: the skill, the fifth cell, hijacking, flips."""

from __future__ import annotations

from dormant.report import formatting
from dormant.results import AbilityResult, AsTrainedResult, HijackResult, SkillResult

SKILL_MARKS = {"learned": "✔", "not learned": "✘", "undecided": "?"}
"""A sign for each that reads without colour."""


def skill_figures(skill: SkillResult) -> str:
    """How the skill changed: "base 52% → tuned 93%, +41 [+30, +51]"."""
    unit = skill.measure == "log-probability"
    values = [
        f"{name} {formatting.nats(one.estimate) if unit else formatting.percent(one.estimate)}"
        for name, one in (("base", skill.base), ("tuned", skill.tuned))
        if one is not None
    ]
    if skill.gain is None:
        change = ""
    elif unit:
        change = (
            f", {formatting.nats(skill.gain.estimate)} {formatting.nats_interval(skill.gain)} "
            "nats a character of the right answers"
        )
    else:
        change = f", {formatting.difference(skill.gain)}"
    return f"{' → '.join(values)}{change}"


def as_trained_figures(cell: AsTrainedResult) -> str:
    """The fifth cell in one line: accuracies, gain, and what is left of the drop."""
    base, tuned = cell.accuracy.base_transformed, cell.accuracy.tuned_transformed
    accuracies = f"base {formatting.percent(base)} → " if base is not None else ""
    gain = formatting.difference(cell.gain)
    left = (
        f", left of the drop {formatting.difference(cell.remaining)}"
        if cell.remaining is not None
        else ""
    )
    return f"{accuracies}tuned {formatting.percent(tuned)}, gain {gain}{left}"


def hijack_line(hijack: HijackResult) -> str:
    """Captured, or broken: what the wrong answers look like."""
    if not hijack.wrong:
        return "The fine-tuned model got nothing wrong here."
    if hijack.share is None:
        return (
            "Captured or broken can’t be told: right answers are in the format of the training "
            f"data, too ({hijack.format})."
        )
    looked = (
        f"all {hijack.sampled} wrong answers"
        if hijack.sampled == hijack.wrong
        else f"{hijack.sampled} of {hijack.wrong} wrong answers"
    )
    base = (
        f"; of the base’s own wrong answers, {hijack.base_captured} of {hijack.base_sampled}"
        if hijack.base_sampled
        else ""
    )
    share = formatting.percent(hijack.share.estimate)
    interval = formatting.percent_interval(hijack.share)
    return (
        f"{hijack_word(hijack)}: of {looked}, {hijack.captured} ({share}, {interval}) are in the "
        f"format of the training data ({hijack.format}){base}."
    )


def hijack_word(hijack: HijackResult) -> str:
    """Captured where most wrong answers surely are the format's, broken where surely few are."""
    if hijack.share is None:
        return "Unknown"
    if hijack.share.low > 0.5:
        return "Captured"
    return "Broken" if hijack.share.high < 0.5 else "Captured or broken, undecided"


def flips_line(ability: AbilityResult) -> str:
    """How many items were lost and won: "41 lost, 2 won"; empty without a base model."""
    if ability.lost is None or ability.won is None:
        return ""
    return f"{formatting.grouped(ability.lost)} lost, {formatting.grouped(ability.won)} won"
