"""From cases to outcomes: what a model makes of each prompt, and whether that is a success."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dormant.audit.settings import Style
from dormant.errors import DormantError
from dormant.models import generate as generation
from dormant.prompts.case import Case
from dormant.results import PLAIN, ItemOutcome
from dormant.scoring.harness import scorer_of
from dormant.scoring.protocol import Answer
from dormant.tasks.task import GenerativeTask, Task, judge_all

if TYPE_CHECKING:
    from lm_eval.api.model import LM


def score_cases(lm: LM, task: Task, cases: Sequence[Case], style: Style) -> list[ItemOutcome]:
    """Put cases to a model.

    Args:
        lm: The model.
        task: Decides what success is.
        cases: N cases.
        style: Raw prompts, or the model's chat template, where the case doesn't say.

    Returns:
        N outcomes, whose model and transform are for the caller to fill in.

    Raises:
        DormantError: A log-probability is not a number.
    """
    prompts = [rendered(lm, case, case.prompt, style) for case in cases]
    if isinstance(task, GenerativeTask):
        return _generate_cases(lm, task, cases, prompts)
    answers = [continuations(case, style) for case in cases]
    rows = scorer_of(lm).score(prompts, answers, ranked=ranks_answers(task))
    calibrations = _calibrations(lm, cases, answers, style)
    return [
        _outcome(task, case, prompt, row, calibration)
        for case, prompt, row, calibration in zip(cases, prompts, rows, calibrations, strict=True)
    ]


def ranks_answers(task: Task) -> bool:
    """Say whether success is that one answer is likelier than the others."""
    return task.measure in ("most-likely", "most-likely-whole")


def _calibrations(
    lm: LM, cases: Sequence[Case], answers: Sequence[Sequence[str]], style: Style
) -> list[tuple[float, ...]]:
    """Score the answers to each distinct content-free prompt once; empty for cases without one."""
    keys = [
        (rendered(lm, case, text, style) if (text := case.content_free_prompt) else "", tuple(row))
        for case, row in zip(cases, answers, strict=True)
    ]
    distinct = list(dict.fromkeys(key for key in keys if key[0]))
    if not distinct:
        return [() for _ in cases]
    scorer = scorer_of(lm)
    rows = scorer.score([text for text, _ in distinct], [row for _, row in distinct], ranked=True)
    known = {
        key: tuple(answer.logprob for answer in row)
        for key, row in zip(distinct, rows, strict=True)
    }
    return [known.get(key, ()) for key in keys]


def _outcome(
    task: Task,
    case: Case,
    prompt: str,
    row: Sequence[Answer],
    calibration: tuple[float, ...] = (),
) -> ItemOutcome:
    target, wrong = row[0], row[1:]
    distractor = wrong[0] if case.distractor is not None else None
    others = wrong[1:] if distractor is not None else wrong
    if ranks_answers(task):
        whole = task.measure == "most-likely-whole"
        scores = [
            (answer.logprob - content_free) / (1 if whole else max(1, len(text)))
            for answer, content_free, text in zip(
                row, calibration or [0.0] * len(row), case.answers, strict=True
            )
        ]
        correct = scores[0] > max(scores[1:], default=-math.inf)
    else:
        correct = target.greedy
    return ItemOutcome(
        model="base",
        task=task.name,
        transform=PLAIN,
        item=case.item,
        prompt=prompt,
        target=case.scored_target,
        distractor=case.distractor.text if case.distractor is not None else None,
        target_logprob=target.logprob,
        distractor_logprob=distractor.logprob if distractor else None,
        target_greedy=target.greedy,
        distractor_greedy=distractor.greedy if distractor else None,
        other_logprobs=tuple(answer.logprob for answer in others),
        content_free_logprobs=calibration,
        correct=correct,
        log_odds=target.logprob - _log_sum_exp([a.logprob for a in wrong]) if wrong else None,
    )


def log_odds_per_byte(outcome: ItemOutcome, answers: Sequence[str]) -> float | None:
    """Return an outcome's log-odds with each answer's log-probability divided by its UTF-8 bytes.

    Args:
        outcome: One with log-probabilities.
        answers: Its answers, in the order of `Case.answers`.

    Returns:
        Nats per byte; `None` where nothing was scored.
    """
    logprobs = [outcome.target_logprob, outcome.distractor_logprob, *outcome.other_logprobs]
    rates = [
        logprob / max(1, len(text.encode()))
        for logprob, text in zip(
            (value for value in logprobs if value is not None), answers, strict=True
        )
    ]
    return rates[0] - _log_sum_exp(rates[1:]) if len(rates) > 1 else None


def nats_a_character(outcome: ItemOutcome) -> float:
    """Return the log-probability of an outcome's right answer a character: lengths differ."""
    return (outcome.target_logprob or 0.0) / max(1, len(outcome.target))


def _generate_cases(
    lm: LM, task: GenerativeTask, cases: Sequence[Case], prompts: Sequence[str]
) -> list[ItemOutcome]:
    # Under a transform an answer's last words are others: they are looked for after s⁻¹.
    changed = any(case.undo for case in cases)
    until = [stop for stop in task.until if not (changed and stop.strip())]
    outputs = generation.generate(lm, prompts, max_new_tokens=task.max_new_tokens, until=until)
    outcomes: list[ItemOutcome] = []
    judgements = judge_all(task, cases, outputs)
    for case, prompt, output, judged in zip(cases, prompts, outputs, judgements, strict=True):
        outcomes.append(
            ItemOutcome(
                model="base",
                task=task.name,
                transform=PLAIN,
                item=case.item,
                prompt=prompt,
                target=case.scored_target,
                target_logprob=None,
                target_greedy=judged.success,
                correct=judged.success,
                label=judged.label,
                output=output,
                output_language=judged.language,
                familiar=judged.familiar,
            )
        )
    return outcomes


def refuse_long(lm: LM, task: Task, cases: Sequence[Case], style: Style) -> None:
    """Raise for a prompt that the harness would cut without a word.

    For a whole run at once, before its first score: it should not take hours to be told.

    Raises:
        DormantError: A prompt with its answer is longer than the model's context; names the item.
    """
    encode: Callable[[str], Sequence[int]] | None = getattr(lm, "tok_encode", None)
    limit: int | None = getattr(lm, "max_length", None)
    if encode is None or limit is None or isinstance(task, GenerativeTask):
        return
    for case in cases:
        text = rendered(lm, case, case.prompt, style) + max(continuations(case, style), key=len)
        # A token is at least one byte, so most prompts need no counting.
        if len(text.encode()) > limit and (length := len(encode(text))) > limit:
            raise DormantError(
                f"{task.name}, item {case.item}: {length} tokens, but the model's context holds "
                f"{limit}: use fewer --shots or shorter items"
            )


def _log_sum_exp(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def rendered(lm: LM, case: Case, prompt: str, style: Style) -> str:
    """Return a case's prompt as the model reads it: in the case's own style, or else in `style`.

    Raises:
        DormantError: There is no chat template, or it has no place for a case's system prompt.
    """
    chosen = case.style or style
    if chosen == "chat" and case.turns and prompt == case.prompt:
        return _chat(lm, case)
    return generation.render(lm, prompt, chosen)


def _chat(lm: LM, case: Case) -> str:
    text = generation.render_chat(lm, case.messages)
    if generation.leaves_out_system(lm, case.messages, text):
        raise DormantError(
            f"item {case.item}: the model's chat template leaves out the system prompt: use raw "
            "prompts, or leave out the tasks that have one"
        )
    return text


def continuations(case: Case, style: Style) -> list[str]:
    """Return a case's answers as they follow its prompt: the target, the distractor, the others."""
    return [f"{case.lead(style)}{answer}" for answer in case.answers]
