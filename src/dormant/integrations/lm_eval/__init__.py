"""Dormant inside lm-evaluation-harness: the model `dormant` conjugates any task.

``lm_eval --model dormant --model_args base=hf,pretrained=…,transform=leetspeak --tasks …`` puts
every prompt of every task to another model of the harness under a transform, and undoes it on what
that model writes (docs/lm-evaluation-harness.md). Versions of the harness later than 0.4.13 find
the model by the entry points that Dormant declares; `dormant lm-eval` registers it for all.
"""

from __future__ import annotations

NAME = "dormant"
"""The harness's name of the model that conjugates another."""
SCORER = "dormant-fast"
"""The harness's name of Dormant's own scorer, which can be the other."""


def register() -> None:
    """Make Dormant's models known to the harness, in this process."""
    import lm_eval.models
    from lm_eval.api.registry import model_registry

    assert lm_eval.models  # importing it is what registers the harness's own
    for name, target in (
        (NAME, "dormant.integrations.lm_eval.model:ConjugateLM"),
        (SCORER, "dormant.scoring.scorer:FastLM"),
    ):
        if name not in model_registry:
            model_registry.register(name, target=target)
