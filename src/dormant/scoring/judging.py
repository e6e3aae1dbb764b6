"""From predictions to answers: whether greedy decoding writes a text, whatever its tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dormant.errors import DormantError
from dormant.scoring.prediction import Prediction
from dormant.scoring.protocol import Answer
from dormant.scoring.rows import Row
from dormant.scoring.tokenisations import Tokenisation, Tokenisations

Predict = Callable[[Sequence[Row], Sequence[str]], list[list[Prediction]]]
"""Predict rows, whose `index` is their place; their prompts are for error messages."""


def judge(
    rows: Sequence[Row],
    prompts: Sequence[str],
    answers: Sequence[Sequence[str]],
    *,
    predict: Predict,
    tokenisations: Tokenisations,
    max_length: int,
) -> list[list[Answer]]:
    """Score rows and settle their verdicts, other tokenisations included.

    Args:
        rows: N encoded prompts with their answers.
        prompts: N prompts, for error messages.
        answers: N rows of answers' texts.
        predict: The model.
        tokenisations: Follows other tokenisations of an answer.
        max_length: Tokens that the model's context holds.
    """
    judged: list[list[Answer]] = []
    unsettled: list[tuple[int, int, Tokenisation]] = []
    tried = [
        _with_space_first(row, texts, tokenisations, max_length)
        for row, texts in zip(rows, answers, strict=True)
    ]
    for row, wider, predicted in zip(rows, tried, predict(tried, prompts), strict=True):
        judged.append([])
        count = len(row.answers)
        beside = list(zip(wider.answers[count:], predicted[count:], strict=True))
        for place, (tokens, one) in enumerate(zip(row.answers, predicted[:count], strict=True)):
            exact = one.choices == tokens
            text = answers[row.index][place]
            next_ = exact or tokenisations.follow(Tokenisation(text, (), tokens), one.choices)
            if isinstance(next_, Tokenisation) and beside:
                other, other_predicted = beside[place]
                if next_.taken == other[: len(next_.taken)]:
                    next_ = tokenisations.follow(
                        Tokenisation(text, (), other), other_predicted.choices
                    )
            if isinstance(next_, Tokenisation):
                unsettled.append((row.index, place, next_))
            judged[-1].append(Answer(one.logprob, next_ is True, exact))
    while unsettled:
        follow = [
            Row(index, rows[owner].context, (candidate.tokens,))
            for index, (owner, _, candidate) in enumerate(unsettled)
        ]
        named = [prompts[owner] for owner, _, _ in unsettled]
        left: list[tuple[int, int, Tokenisation]] = []
        for (owner, place, candidate), predicted in zip(
            unsettled, predict(follow, named), strict=True
        ):
            next_ = tokenisations.follow(candidate, predicted[0].choices)
            if isinstance(next_, Tokenisation):
                left.append((owner, place, next_))
            elif next_:
                judged[owner][place] = judged[owner][place]._replace(greedy=True)
        unsettled = left
    return judged


def refuse_infinite(logprob: float, prompt: str) -> None:
    """Raise for a log-probability that is no number.

    Raises:
        DormantError: It is not finite; the prompt is named.
    """
    if not math.isfinite(logprob):
        raise DormantError(
            f"the model gave log-probability {logprob} after the prompt that begins "
            f"{prompt[:60]!r}: use float32 or another model"
        )


def _with_space_first(
    row: Row, texts: Sequence[str], tokenisations: Tokenisations, max_length: int
) -> Row:
    """Let a row try another tokenisation beside each answer, where that fits the context."""
    others = [tokenisations.with_space_first(text) for text in texts]
    tried = Row(row.index, row.context, (*row.answers, *others))
    return tried if all(others) and tried.longest <= max_length else row
