"""Items that tuning lost or won, with what both models answered: the page's list of flips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dormant.report.sample import ItemSample
from dormant.results import PLAIN, AbilityResult, AuditResults

SHOWN = 12
"""Items lost, and as many won, that are listed of an ability; the item view has the others."""


@dataclass(frozen=True)
class Flip:
    """One item that one model gets right on the plain prompt and the other doesn't.

    Attributes:
        item: Its name.
        prompt: What the fine-tuned model was asked.
        target: The right answer.
        base: What the base answered, as far as that was kept.
        tuned: What the fine-tuned model answered.
    """

    item: str
    prompt: str
    target: str
    base: str
    tuned: str

    @property
    def query(self) -> str:
        """The last paragraph of the prompt: what is asked, without the demonstrations."""
        return self.prompt.strip().split("\n\n")[-1]


@dataclass(frozen=True)
class Flips:
    """An ability's flips.

    Attributes:
        task: The ability.
        place: Its place among the abilities, which the item view knows it by.
        lost: Items that the base gets right and the fine-tuned model wrong; some of them.
        won: Items that the base gets wrong and the fine-tuned model right; some of them.
        total_lost: How many were lost.
        total_won: How many were won.
    """

    task: str
    place: int
    total_lost: int
    total_won: int
    lost: list[Flip] = field(default_factory=list[Flip])
    won: list[Flip] = field(default_factory=list[Flip])


def flips_of(results: AuditResults, sample: ItemSample) -> list[Flips]:
    """Collect every ability's flips.

    Args:
        results: The audit, whose counts are of all items.
        sample: The page's sample of items.

    Returns:
        One a ability that has any, in the audit's order; none without a base model.
    """
    found: list[Flips] = []
    for place, ability in enumerate(results.abilities):
        if not (ability.lost or ability.won):
            continue
        flips = Flips(ability.task, place, ability.lost or 0, ability.won or 0)
        wrote = _generated(ability)
        for item in sample.items:
            cells = item["c"].get(PLAIN, {}) if item["a"] == place else {}
            base, tuned = cells.get("base"), cells.get("tuned")
            if base is None or tuned is None or base["ok"] == tuned["ok"]:
                continue
            side = flips.lost if base["ok"] else flips.won
            if len(side) < SHOWN:
                side.append(_flip(item, base, tuned, wrote))
        found.append(flips)
    return found


def _flip(
    item: Mapping[str, Any],
    base: Mapping[str, Any],
    tuned: Mapping[str, Any],
    wrote: Mapping[str, str],
) -> Flip:
    texts: list[str] = item["s"]
    return Flip(
        item=item["i"],
        prompt=texts[tuned["p"]],
        target=texts[tuned["t"]].strip(),
        base=_answer(base, texts, ""),
        tuned=_answer(tuned, texts, wrote.get(item["i"], "")),
    )


def _answer(cell: Mapping[str, Any], texts: list[str], wrote: str) -> str:
    """Return a model's answer: its own words where they were kept, else what is known of it."""
    if "out" in cell:
        return texts[cell["out"]].strip() or "(empty)"
    if "label" in cell:
        return texts[cell["label"]]
    if cell["ok"]:
        return texts[cell["t"]].strip()
    if wrote:
        return f"{wrote.strip()} …"
    return texts[cell["d"]].strip() if cell.get("h") else "another answer"


def _generated(ability: AbilityResult) -> dict[str, str]:
    """Return the beginnings of wrong answers that the audit looked at, by item."""
    examples: Iterable[Any] = ability.hijack.examples if ability.hijack else ()
    return {example.item: example.output for example in examples}
