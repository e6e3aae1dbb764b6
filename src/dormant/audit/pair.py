"""The two models of an audit, as its settings name them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from dormant.audit.settings import AuditSettings
from dormant.models.live import LiveModel
from dormant.models.pair import ModelPair, Which
from dormant.models.quantisation import as_trained
from dormant.models.spec import ModelSpec, parse


def pair_of(settings: AuditSettings, live: Mapping[Which, LiveModel]) -> ModelPair:
    """Return the two models of an audit, none of them loaded.

    A base is quantised as it was when its adapter was trained, where the adapter's directory says
    so and the settings say nothing else.

    Args:
        settings: The audit's.
        live: Models that are in memory already; the settings hold their names.

    Raises:
        DormantError: There is no such model, or a live one can't be had as the settings say.
    """
    base = live.get("base") or (None if settings.base is None else parse(settings.base))
    tuned = live.get("tuned") or parse(settings.tuned)
    options = [settings.load_options("base"), settings.load_options("tuned")]
    if isinstance(tuned, ModelSpec) and tuned.kind == "adapter":
        options = [
            dataclasses.replace(one, model_args=as_trained(tuned, one.model_args)[0])
            for one in options
        ]
    return ModelPair(base, tuned, *options)


def not_as_trained(pair: ModelPair) -> list[str]:
    """Say where the base can't be quantised as it was when the adapter was trained."""
    tuned = pair.tuned
    if not isinstance(tuned, ModelSpec) or tuned.kind != "adapter":
        return []
    line = as_trained(tuned, pair.tuned_options.model_args)[1]
    return [] if line is None else [line]
