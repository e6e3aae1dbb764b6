"""Conjugation by several transforms at once: pick one at each position, or average (ours).

The paper conjugates by one transform, chosen beforehand. Here a set of them competes at every
position of every prompt. Nothing looks ahead: what is done at position k depends on the k pairs
before it and its input alone, as a prediction must.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from dormant.conjugation import Compose, Identity, Predictor, Transform, conjugate
from dormant.errors import DormantError
from dormant.regression.rotate import Rotate
from dormant.regression.scale import Scale
from dormant.regression.shapes import Inputs, Labels, Predictions, PrefixScores, Prompts
from dormant.regression.streams import stream

LabPredictor: TypeAlias = "Predictor[Prompts, Predictions]"
LabTransform: TypeAlias = "Transform[Prompts, Predictions]"
LogEvidence: TypeAlias = Callable[[Inputs, Labels], PrefixScores]
"""A prior's `log_evidence`."""


def adaptive(
    predict: LabPredictor, transforms: Sequence[LabTransform], log_evidence: LogEvidence
) -> LabPredictor:
    """Conjugate, at each position, by the transform least likely under the fine-tuning prior.

    Args:
        predict: The fine-tuned predictor.
        transforms: The set that competes.
        log_evidence: Of the fine-tuning prior, on transformed prompts, for every prefix.

    Returns:
        A predictor: position k takes the transform s with the least log p(s(y)_<k | s(x)); the
        first of them where several are equal (at k = 0 all are).

    Raises:
        DormantError: There is no transform.
    """
    _some(transforms)

    def predicted(prompts: Prompts) -> Predictions:
        candidates = _candidates(predict, transforms, prompts)
        changed = [transform.apply(prompts) for transform in transforms]
        scores = torch.stack([log_evidence(*some)[:, :-1] for some in changed])
        chosen = scores.argmin(0)
        return candidates.gather(0, chosen[None].to(candidates.device))[0]

    return predicted


def averaged(predict: LabPredictor, transforms: Sequence[LabTransform]) -> LabPredictor:
    """Average the conjugates by several transforms.

    Squared error is convex, so the average is at least as good as its parts are on average.

    Args:
        predict: The fine-tuned predictor.
        transforms: The set averaged over.

    Raises:
        DormantError: There is no transform.
    """
    _some(transforms)

    def predicted(prompts: Prompts) -> Predictions:
        return _candidates(predict, transforms, prompts).mean(0)

    return predicted


def rotations(
    dim: int, count: int, *, seed: int, like: Tensor | None = None
) -> tuple[LabTransform, ...]:
    """Return random rotations and reflections, uniform over the orthogonal group.

    Args:
        dim: D.
        count: How many.
        seed: Of the draw; the same seed gives the same matrices.
        like: A tensor whose type and device the matrices take.

    Returns:
        `count` transforms named ``rotation:0``, ``rotation:1``, …
    """
    generator = stream(seed, "rotations", dim)
    square = torch.randn(count, dim, dim, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(square)
    # Signs of R's diagonal make the draw uniform (Mezzadri 2007).
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]
    q = q.to(like) if like is not None else q.float()
    return tuple(Rotate(one, f"rotation:{number}") for number, one in enumerate(q))


def transform_set(kind: str, dim: int, gammas: Sequence[float], seed: int) -> list[LabTransform]:
    """Return a named set of transforms to choose from or average over.

    Args:
        kind: ``scales`` (every γ), ``rotations`` (eight, and no scaling), ``signs`` (labels as
            they are and mirrored) or ``all`` (eight rotations, each with each γ).
        dim: D.
        gammas: Values of γ above 1.
        seed: Of the rotations.

    Raises:
        DormantError: There is no such set.
    """
    scales: list[LabTransform] = [Scale(gamma) for gamma in gammas]
    if kind == "scales":
        return scales
    if kind == "signs":
        return [Identity(), Scale(-1.0)]
    turned = list(rotations(dim, 8, seed=seed))
    if kind == "rotations":
        return turned
    if kind == "all":
        return [Compose(turn, scale) for turn in turned for scale in scales]
    raise DormantError(f"unknown set of transforms {kind!r}: scales, rotations, signs or all")


def _candidates(
    predict: LabPredictor, transforms: Sequence[LabTransform], prompts: Prompts
) -> Tensor:
    """Return the conjugate predictions (transforms, B, K)."""
    return torch.stack([conjugate(predict, transform)(prompts) for transform in transforms])


def _some(transforms: Sequence[Any]) -> None:
    if not transforms:
        raise DormantError("a set of transforms to choose from holds none: give at least one")
