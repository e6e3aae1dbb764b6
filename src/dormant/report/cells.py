"""What the cells beside the plain one are called: transforms, edits of weights, trainings."""

from __future__ import annotations

from collections.abc import Mapping

from dormant.results import RUNGS, AbilityResult, AuditResults, Rung, TransformResult

_KINDS: Mapping[Rung, str] = {
    "prompt": "transform",
    "noise": "edit",
    "relearn": "training",
    "teach": "training",
}


def kinds(results: AuditResults) -> str:
    """Say what all cells of an audit are, in the singular: "transform, edit or training"."""
    there = {one.rung for ability in results.abilities for one in ability.transforms}
    words = list(dict.fromkeys(_KINDS[rung] for rung in RUNGS if rung in there))
    return _or(words or ["transform"])


def chosen(ability: AbilityResult) -> list[str]:
    """Name what was chosen where the ability was decided, or else where it is surest.

    Two where the halves of the items chose differently, the surer one first; none where nothing
    passed its control.
    """
    if ability.best_transform is None:
        return []
    for rung in ability.rungs:
        if rung.chosen and rung.chosen[0] == ability.best_transform:
            return list(rung.chosen)
    return [ability.best_transform]


def best(ability: AbilityResult) -> str:
    """Name the same in one phrase: "french or dutch"; empty where nothing was chosen."""
    return _or(chosen(ability))


def chosen_rung(ability: AbilityResult) -> Rung:
    """Return the rung of what was chosen; "prompt" where nothing was."""
    by_name: dict[str, Rung] = {one.name: one.rung for one in ability.transforms}
    return by_name.get(ability.best_transform or "", "prompt")


def where(cell: TransformResult) -> str:
    """Say how a model is asked in a cell: "under french", "after other-answers"."""
    return f"{'after' if _KINDS[cell.rung] == 'training' else 'under'} {cell.name}"


def _or(words: list[str]) -> str:
    *first, last = words or [""]
    return f"{', '.join(first)} or {last}" if first else last
