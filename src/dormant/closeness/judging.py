"""From likelihoods and outcomes to what closeness says of each ability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dormant.results.closeness import AbilityCloseness, CellCloseness, PromptLikelihood
from dormant.statistics.closeness import bins, rank_correlation
from dormant.statistics.intervals import paired_difference


@dataclass(frozen=True)
class Prompt:
    """One prompt that both models were asked, and whose likelihood is known.

    Attributes:
        item: Its source item.
        transform: What it was put under.
        base: Whether the base model was right.
        tuned: Whether the fine-tuned one was.
        before: How likely it is to the base.
        after: How likely it is to the model that closeness is measured by.
    """

    item: str
    transform: str
    base: bool
    tuned: bool
    before: PromptLikelihood
    after: PromptLikelihood

    def closeness(self, *, per_token: bool) -> float:
        """Return by how much likelier it became, nats a token or a byte."""
        after, before = (
            one.logprob / ((one.tokens or 1) if per_token else one.size)
            for one in (self.after, self.before)
        )
        return after - before


def counts_tokens(prompts: Sequence[Prompt]) -> bool:
    """Say whether both models read all prompts as equally many tokens, and show how many."""
    return all(
        one.before.tokens is not None and one.before.tokens == one.after.tokens for one in prompts
    )


def judged(task: str, prompts: Sequence[Prompt], *, per_token: bool) -> AbilityCloseness:
    """Return what closeness says of an ability.

    Args:
        task: Its name.
        prompts: Its prompts, plain and transformed; at least one.
        per_token: Whether closeness is per token, or per byte.
    """
    close = [one.closeness(per_token=per_token) for one in prompts]
    items = [one.item for one in prompts]
    base, tuned = [one.base for one in prompts], [one.tuned for one in prompts]
    change = [int(one.tuned) - int(one.base) for one in prompts]
    names = [one.transform for one in prompts]
    places: Mapping[str, list[int]] = {
        name: [place for place, other in enumerate(names) if other == name]
        for name in dict.fromkeys(names)
    }
    return AbilityCloseness(
        task=task,
        cells=[
            CellCloseness(
                transform=name,
                prompts=len(own),
                mean=sum(close[place] for place in own) / len(own),
                change=paired_difference(
                    [tuned[place] for place in own],
                    [base[place] for place in own],
                    groups=[items[place] for place in own],
                ),
            )
            for name, own in places.items()
        ],
        bins=bins(close, base, tuned, items),
        across=rank_correlation(close, change, items),
        within=rank_correlation(close, change, items, names),
    )
