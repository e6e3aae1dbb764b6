"""One model beside the reference: the numbers, and what the tolerance makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from dormant.equivalence import observe, tokens
from dormant.equivalence.observe import Rendered
from dormant.equivalence.prompts import PromptSet
from dormant.equivalence.results import Comparison
from dormant.equivalence.tolerance import PRESETS, Tolerance

if TYPE_CHECKING:
    from dormant.equivalence.local import Reference

_SHOWN = 40
"""Characters of an answer in a message."""


def by_logits(
    blank: Comparison,
    reference: Reference,
    read: Mapping[str, Rendered],
    lm: Any,
    prompts: PromptSet,
    tolerance: Tolerance,
) -> Comparison:
    """Compare a model in this process with the reference, after the reference's own tokens.

    So a difference of tokenizers and one of weights are told apart.

    Args:
        blank: Its name.
        reference: The reference's passes.
        read: The reference's prompts.
        lm: The model.
        prompts: All prompts.
        tolerance: The bound.

    Raises:
        DormantError: A prompt is too long for it, or its logits are not numbers.
    """
    from dormant.equivalence.local import spacing, vocabulary

    theirs = observe.rendered(lm, prompts.prompts)
    observe.fitting(lm, theirs, prompts)
    other_tokens = tokens.first_difference(read, theirs, lm)
    reasons = [other_tokens] if other_tokens else []
    notes = list(_templates(read, theirs, prompts))
    if (size := vocabulary(lm)) != reference.size:
        notes.append(
            f"vocabulary of {size} tokens, not {reference.size}: compared where both have it"
        )
    found = reference.compare(lm)
    blank = replace(blank, arithmetic=observe.arithmetic_of(lm), notes=tuple(notes))
    if not found.divergence:
        return replace(
            blank, reasons=(*reasons, "no prompt of the reference fits its vocabulary and context")
        )
    if left := len(read) - len(found.divergence):
        notes.append(f"{left} prompts don't fit its vocabulary or context and were left out")
    if found.layers != reference.layers:
        notes.append(f"{found.layers} layers, not {reference.layers}")
    noise = reference.noise.divergence[reference.noise.worst]
    bound = tolerance.divergence(noise)
    worst = found.divergence[found.worst]
    first, other = None, spacing(lm)
    if worst > bound:
        why = f"divergence {worst:.2g} nats a token at {found.worst}, allowed {bound:.2g}"
        if other != reference.spacing and worst <= PRESETS["rounded"]:
            # Rounding begins in the first layer, which says nothing.
            reasons.append(f"{why}: another arithmetic, and within --tolerance rounded")
        else:
            first = reference.first_difference(found, other) or _LAST
            of = f" of {reference.layers}" if first.startswith("layer") else ""
            reasons.append(f"{why}; first at {first}{of}")
    return replace(
        blank,
        by="logits",
        agrees=not reasons,
        reasons=tuple(reasons),
        notes=tuple(notes),
        places=found.places,
        divergence=found.mean,
        worst_divergence=worst,
        worst_prompt=found.worst,
        logit=found.logit,
        changed=found.changed / found.places,
        noise=noise,
        bound=bound,
        first=first,
    )


_LAST = "head"
"""Where all hidden states are the same and logits are not."""


def _templates(
    read: Mapping[str, Rendered], theirs: Mapping[str, Rendered], prompts: PromptSet
) -> list[str]:
    chats = [prompt.name for prompt in prompts.prompts if prompt.turns]
    ours, others = (any(name in given for name in chats) for given in (read, theirs))
    if not chats or ours == others:
        return []
    return [f"{'no chat template' if ours else 'a chat template'}, unlike the reference"]


def by_log_probabilities(
    blank: Comparison,
    reference: tuple[Mapping[str, float], float],
    found: Mapping[str, float],
    tolerance: Tolerance,
) -> Comparison:
    """Compare log-probabilities of the same texts.

    Args:
        blank: The model's name.
        reference: The reference's, nats a word, and how far they are from themselves.
        found: The model's.
        tolerance: The bound.
    """
    ours, noise = reference
    gaps = {name: abs(found[name] - value) for name, value in ours.items()}
    worst = max(gaps, key=lambda name: gaps[name])
    bound = tolerance.log_probability(noise)
    reasons = (
        (f"log-probability {gaps[worst]:.2g} nats a word apart at {worst}, allowed {bound:.2g}",)
        if gaps[worst] > bound
        else ()
    )
    return replace(
        blank,
        by="log-probabilities",
        agrees=not reasons,
        reasons=reasons,
        places=len(gaps),
        log_probability=fmean(gaps.values()),
        worst_log_probability=gaps[worst],
        worst_prompt=worst,
        noise=noise,
        bound=bound,
    )


def by_answers(
    blank: Comparison,
    reference: Mapping[str, str],
    found: Mapping[str, str],
    tolerance: Tolerance,
    notes: tuple[str, ...],
) -> Comparison:
    """Compare greedy answers.

    Args:
        blank: The model's name.
        reference: The reference's answers.
        found: The model's.
        tolerance: The share that must be the same.
        notes: Why nothing better could be compared.
    """
    same = [name for name, answer in reference.items() if found.get(name) == answer]
    other = [name for name in reference if name not in same]
    share, wanted = len(same) / len(reference), tolerance.answers()
    reasons = (
        (
            f"{len(other)} of {len(reference)} answers are others, first {other[0]}: "
            f"{reference[other[0]][:_SHOWN]!r} became {found.get(other[0], '')[:_SHOWN]!r}",
        )
        if share < wanted
        else ()
    )
    return replace(
        blank,
        by="answers",
        agrees=not reasons,
        reasons=reasons,
        notes=notes,
        places=len(reference),
        answers=share,
        worst_prompt=other[0] if other else None,
        bound=wanted,
    )
