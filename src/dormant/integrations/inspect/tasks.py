"""Dormant's abilities as tasks of Inspect: the same items and prompts as in ``dormant audit``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import accuracy, grouped, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver

from dormant.errors import DormantError
from dormant.integrations.inspect.errors import convert_errors
from dormant.integrations.inspect.messages import refuse_contaminating
from dormant.integrations.inspect.scorers import UNDONE, begins_with_target, judged, labels
from dormant.integrations.inspect.selection import (
    Ability,
    Prompt,
    PromptSelection,
    abilities,
    log_origin,
)
from dormant.integrations.logs.scored_log import METADATA, ItemOrigin
from dormant.results import PLAIN
from dormant.tasks.task import GenerativeTask
from dormant.transforms.fidelity import MIN_CHRF

_SLACK = 8
"""Tokens that may say nothing, beyond one a byte of the target."""


@task
def icl_vs_if(
    transform: str = PLAIN,
    n: int | None = None,
    seed: int = 0,
    shots: int | None = None,
    only: str | list[str] | None = None,
    min_chrf: float = MIN_CHRF,
) -> Task:
    """Follow the demonstrations although the query asks for something else (paper §3.1).

    Args:
        transform: A transform: "leetspeak", "french" (the task's own text), "spanish@apertium".
        n: Items an ability; by default 100, or all where there are fewer.
        seed: Decides items and demonstrations.
        shots: Demonstrations a prompt; by default the task's own number.
        only: Abilities of the group, e.g. "repeat-blank"; by default all.
        min_chrf: Least round-trip chrF, 0 … 100, of a translated item; others are left out.
    """
    return _task(_within("icl_vs_if", only), transform, n, seed, shots, min_chrf)


@task
def icl(
    transform: str = PLAIN,
    n: int | None = None,
    seed: int = 0,
    shots: int | None = None,
    only: str | list[str] | None = None,
    min_chrf: float = MIN_CHRF,
) -> Task:
    """Few-shot abilities with one right answer; arguments as for `icl_vs_if`."""
    return _task(_within("icl", only), transform, n, seed, shots, min_chrf)


@task
def nli(
    transform: str = PLAIN,
    n: int | None = None,
    seed: int = 0,
    shots: int | None = None,
    min_chrf: float = MIN_CHRF,
) -> Task:
    """Does a premise entail a hypothesis (paper §3.2)? Arguments as for `icl_vs_if`.

    Of Dormant's two abilities this is ``nli/greedy``; the other compares probabilities.
    """
    return _task(["nli/greedy"], transform, n, seed, shots, min_chrf)


@task
def refusal(
    transform: str = PLAIN,
    n: int | None = None,
    seed: int = 0,
    only: str | list[str] | None = None,
    min_chrf: float = MIN_CHRF,
) -> Task:
    """Is declined what should be, and answered what is harmless (paper §3.3)?

    Arguments as for `icl_vs_if`.
    """
    return _task(_within("refusal", only), transform, n, seed, None, min_chrf)


@task
def ability(
    name: str | list[str],
    transform: str = PLAIN,
    n: int | None = None,
    seed: int = 0,
    shots: int | None = None,
    min_chrf: float = MIN_CHRF,
) -> Task:
    """Any ability or group that ``dormant audit --task`` takes: shipped, installed or your own.

    Args:
        name: E.g. "recall", "path/to/task.toml", "refusal:path=FILE", an installed package's.
        transform: The others are as for `icl_vs_if`.
        n: Items an ability.
        seed: Decides items and demonstrations.
        shots: Demonstrations a prompt.
        min_chrf: Least round-trip chrF of a translated item.
    """
    return _task(_listed(name), transform, n, seed, shots, min_chrf)


@solver
def complete(chosen: dict[str, Any]) -> Solver:
    """Let the model continue the prompt, and keep s⁻¹ of what it wrote for the reader.

    Refuses providers that would put words of their own around a base model's prompt.

    Args:
        chosen: The prompts of the evaluation (`PromptSelection.as_given`).
    """
    with convert_errors():
        refuse_contaminating()
        known = {one.task.name: one.prompts for one in abilities(PromptSelection.of(chosen))}

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        refuse_contaminating(get_model())
        state = await generate(state)
        origin = ItemOrigin.model_validate(state.metadata[METADATA])
        case = known[origin.ability][origin.item].case
        undone = case.undone(state.output.completion)
        if case.undo is not None and undone is not None:
            state.metadata = {**state.metadata, UNDONE: undone}
        return state

    return solve


def _task(
    names: list[str],
    transform: str,
    n: int | None,
    seed: int,
    shots: int | None,
    min_chrf: float,
) -> Task:
    with convert_errors():
        chosen = PromptSelection(tuple(names), transform, n, seed, shots, min_chrf)
        found = abilities(chosen)
        generative = _generative(found)
        config = _judged_config(found) if generative else _greedy_config(found)
    given = chosen.as_given()
    scorer = judged(given) if generative else begins_with_target()
    each = [grouped(accuracy(), "ability", all=False)] if len(found) > 1 else []
    return Task(
        dataset=MemoryDataset(
            [_sample(prompt) for one in found for prompt in one.prompts.values()],
            name="+".join(one.task.name for one in found),
        ),
        solver=complete(given),
        scorer=scorer,
        metrics=[accuracy(), stderr(), *([labels()] if generative else []), *each],
        config=config,
        metadata={METADATA: log_origin(chosen).model_dump(mode="json")},
        version="; ".join(f"{one.task.name} {one.task.version}" for one in found),
    )


def _sample(prompt: Prompt) -> Sample:
    origin = prompt.origin
    return Sample(
        id=f"{origin.ability}/{origin.item}",
        input=prompt.case.prompt,
        target=prompt.case.scored_target,
        metadata={"ability": origin.ability, METADATA: origin.model_dump(mode="json")},
    )


def _generative(found: Sequence[Ability]) -> bool:
    kinds = {isinstance(one.task, GenerativeTask) for one in found}
    if len(kinds) > 1:
        names = ", ".join(one.task.name for one in found)
        raise DormantError(
            f"{names}: some judge a whole answer, some its beginning: evaluate them apart"
        )
    return kinds.pop()


def _greedy_config(found: Sequence[Ability]) -> GenerateConfig:
    """Return settings under which an answer that begins with the target says all of it."""
    targets = [prompt.case.scored_target for one in found for prompt in one.prompts.values()]
    longest = max(len(target.encode()) for target in targets)
    one_line = not any("\n" in target for target in targets)
    return GenerateConfig(
        temperature=0, max_tokens=longest + _SLACK, stop_seqs=["\n"] if one_line else None
    )


def _judged_config(found: Sequence[Ability]) -> GenerateConfig:
    """Return the settings of tasks that judge; all of one evaluation must have the same."""
    settings = {
        (one.task.max_new_tokens, one.task.until)
        for one in found
        if isinstance(one.task, GenerativeTask)
    }
    if len(settings) > 1:
        names = ", ".join(one.task.name for one in found)
        raise DormantError(f"{names}: their answers end differently: evaluate them apart")
    ((max_new_tokens, until),) = settings
    return GenerateConfig(temperature=0, max_tokens=max_new_tokens, stop_seqs=list(until) or None)


def _within(group: str, only: str | list[str] | None) -> list[str]:
    return [group] if only is None else [f"{group}/{name}" for name in _listed(only)]


def _listed(names: str | list[str]) -> list[str]:
    """Inspect's command line makes a list of what has commas, and a text of what has none."""
    return [names] if isinstance(names, str) else list(names)
