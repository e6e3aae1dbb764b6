"""What an audit found best for each ability, as a server may apply it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dormant import transforms
from dormant.audit.run_dir import RunDirectory
from dormant.errors import DormantError, one_line
from dormant.integrations.serve.switch import IDENTITY, Choice
from dormant.prompts.text_transform import TextTransform
from dormant.results import AbilityResult, AuditResults, TransformResult

_NATIVE = ":native"
"""How the signature of an audit's own text in a language ends."""


def read(run: Path) -> AuditResults:
    """Read the results of a finished run.

    Raises:
        DormantError: There is none, or it is damaged.
    """
    return RunDirectory.read(run).results()


def choose(results: AuditResults, source: str = "english") -> dict[str, Choice]:
    """Choose a transform for every ability of an audit.

    One that was suppressed gets the transform that the audit names best, or else, where that can't
    be applied here (text of native speakers, a probe, an engine that isn't installed), the
    surest of those under which it surely came back. A translation in the place of native text, or
    by another engine, is another transform, which nobody has judged: it is taken where there is
    nothing else. All other abilities are answered plainly.

    Args:
        results: What the audit found.
        source: The language of the requests.
    """
    return {ability.task: _choice(ability, source) for ability in results.abilities}


def _choice(ability: AbilityResult, source: str) -> Choice:
    plain = Choice(
        transform=transforms.get(IDENTITY), ability=ability.task, verdict=ability.verdict
    )
    if ability.verdict != "suppressed":
        return plain
    failed: list[str] = []
    otherwise: list[tuple[TextTransform, str]] = []
    for name, signature in _by_surety(ability):
        try:
            transform = transforms.get(name, source)
        except DormantError as error:
            failed.append(f"{name} can't be applied here ({_shortly(error)})")
            continue
        if transform.signature == signature:
            notes = [*failed, *(said for _, said in otherwise)]
            return replace(plain, transform=transform, note="; ".join(notes) or None)
        was = "text of native speakers" if _NATIVE in signature else signature
        here = f"{name} would be {transform.signature} here, and the audit's was {was}"
        otherwise.append((transform, here))
    if otherwise:
        notes = [*failed, otherwise[0][1].replace(" would be ", " is ")]
        return replace(plain, transform=otherwise[0][0], note="; ".join(notes))
    why = "; ".join(failed) or "the audit found no transform of prompts under which it comes back"
    return replace(plain, note=f"answered plainly: {why}")


def _by_surety(ability: AbilityResult) -> Iterator[tuple[str, str]]:
    """Name the transforms under which an ability surely came back, with their signatures."""
    tried = {
        one.name: one for one in ability.transforms if one.rung == "prompt" and one.control_passed
    }
    best = ability.best_transform
    sure = [one for one in tried.values() if one.name == best or _lower_bound(one) > 0]
    for one in sorted(sure, key=lambda one: (one.name != best, -_lower_bound(one))):
        yield one.name, one.signature


def _lower_bound(one: TransformResult) -> float:
    bounds = [one.gain.low] if one.recovery is None else [one.gain.low, one.recovery.low]
    return min(bounds)


def _shortly(error: DormantError) -> str:
    """Return an error without its advice."""
    return one_line(str(error).partition(": ")[0], 100)
