"""Squared errors of every predictor on the same prompts, position by position.

Names of predictors: ``pretrained``, ``finetuned`` (the transformer), ``ridge``, ``discrete`` (the
optima of D_cont and D_disc), ``optimum`` (that of the pretraining prior, the best that pretraining
could teach). ``finetuned@2`` is the conjugate by labels × 2, and so for ``pretrained`` and
``optimum``.

**The floor under s.** Labels × γ make w ~ N(0, γ²τ²) and noise γσ, so the right ridge penalty
(γσ)²/(γτ)² is the old one, and whoever knows γ loses nothing: that floor is ``ridge`` itself. A
learner doesn't know γ; it reckons with noise σ and with the sizes of tasks that it was pretrained
on. ``optimum@γ``, the pretraining prior's exact predictor conjugated, is the floor for *it*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from dormant.conjugation import conjugate
from dormant.regression.conjugates import LabPredictor
from dormant.regression.priors import Prior
from dormant.regression.scale import Scale
from dormant.regression.settings import LabSettings
from dormant.regression.shapes import Predictions, Prompts
from dormant.regression.streams import stream
from dormant.regression.task_priors import TaskPriors
from dormant.regression.transformer import Transformer

Errors: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Squared errors (B, K) by ``prior/predictor``; prior is cont, disc or choosing. Also
``prior/log_evidence`` (B, K+1): log p under D_disc of each prefix, nats."""

_CHUNK = 512  # prompts predicted at once


def batched(predict: LabPredictor, device: torch.device | str = "cpu") -> LabPredictor:
    """Return a predictor that works through prompts in chunks, without gradients.

    Args:
        predict: A predictor on `device`.
        device: Where it predicts; prompts come from and answers go to the CPU.
    """

    def predicted(prompts: Prompts) -> Predictions:
        with torch.no_grad():
            parts = [
                predict(Prompts(xs.to(device), ys.to(device))).cpu()
                for xs, ys in zip(*(part.split(_CHUNK) for part in prompts), strict=True)
            ]
        return torch.cat(parts)

    return predicted


def squared_errors(predict: LabPredictor, prompts: Prompts) -> NDArray[np.float32]:
    """Return (ŷ − y)² at every position (B, K), against the noisy labels as the paper does."""
    return (predict(prompts) - prompts.ys).square().float().numpy()


def conjugated_name(predictor: str, gamma: float) -> str:
    """Return the name of a conjugate by scaling: ``finetuned@1.5``."""
    return f"{predictor}@{gamma:g}"


def prompts_of(prior: Prior, purpose: str, settings: LabSettings, seed: int) -> Prompts:
    """Draw the prompts of a purpose ("cont", "disc", "choosing", "curve cont", …), on the CPU."""
    kind, evaluation = purpose.split()[0], settings.evaluation
    sizes = {"choosing": evaluation.choosing_prompts, "curve": evaluation.curve_prompts}
    count = sizes.get(kind, evaluation.prompts)
    return prior.sample(count, settings.model.positions, stream(seed, "evaluation", purpose))


def measure(
    pretrained: Transformer,
    finetuned: Transformer,
    priors: TaskPriors,
    settings: LabSettings,
    seed: int,
) -> dict[str, NDArray[Any]]:
    """Measure one seed's models and the exact predictors on the same prompts.

    Args:
        pretrained: The transformer after pretraining.
        finetuned: The transformer after fine-tuning.
        priors: The seed's priors.
        settings: The run's.
        seed: The seed; prompts depend on it alone.

    Returns:
        Squared errors and evidence, as `Errors`.
    """
    device = next(finetuned.parameters()).device
    plain: dict[str, LabPredictor] = {
        "pretrained": batched(pretrained, device),
        "finetuned": batched(finetuned, device),
        "ridge": batched(priors.cont),
        "discrete": batched(priors.disc),
        "optimum": batched(priors.pretraining),
    }
    errors: dict[str, NDArray[Any]] = {}
    measured_on: dict[str, Prior] = {"cont": priors.cont, "disc": priors.disc}
    for name, prior in measured_on.items():
        prompts = prompts_of(prior, name, settings, seed)
        for predictor, predict in plain.items():
            errors[f"{name}/{predictor}"] = squared_errors(predict, prompts)
        for predictor in ("pretrained", "finetuned", "optimum"):
            for gamma in settings.evaluation.gammas:
                conjugated = conjugate(plain[predictor], Scale(gamma))
                key = f"{name}/{conjugated_name(predictor, gamma)}"
                errors[key] = squared_errors(conjugated, prompts)
        errors[f"{name}/log_evidence"] = priors.disc.log_evidence(*prompts).float().numpy()
    # γ is chosen on prompts of their own, so that its loss is no better than it looks.
    others = prompts_of(priors.cont, "choosing", settings, seed)
    for gamma in settings.evaluation.gammas:
        conjugated = conjugate(plain["finetuned"], Scale(gamma))
        key = f"choosing/{conjugated_name('finetuned', gamma)}"
        errors[key] = squared_errors(conjugated, others)
    return errors


def follower(
    model: Transformer, priors: TaskPriors, settings: LabSettings, seed: int
) -> Callable[[], dict[str, float]]:
    """Return what measures a model's losses now, for following it through fine-tuning.

    Returns:
        A function that gives mean losses ``cont`` and ``disc`` over prompts and positions, and
        their standard errors over prompts, ``cont_error`` and ``disc_error``.
    """
    device = next(model.parameters()).device
    predict = batched(model, device)
    sets = {
        "cont": prompts_of(priors.cont, "curve cont", settings, seed),
        "disc": prompts_of(priors.disc, "curve disc", settings, seed),
    }

    def losses() -> dict[str, float]:
        now: dict[str, float] = {}
        for name, prompts in sets.items():
            of_prompts = squared_errors(predict, prompts).mean(1)
            now[name] = float(of_prompts.mean())
            now[f"{name}_error"] = float(of_prompts.std(ddof=1) / len(of_prompts) ** 0.5)
        return now

    return losses
