"""Treatments by name: the shipped ones, and those of other packages."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from dormant import extend
from dormant.errors import DormantError, unknown
from dormant.recovery.treatment import Candidates, Given, Treatment
from dormant.recovery.treatments.average import average
from dormant.recovery.treatments.conjugate_distillation import conjugate_distillation
from dormant.recovery.treatments.format_replay import format_replay
from dormant.recovery.treatments.relearn import relearn
from dormant.recovery.treatments.retune import retune
from dormant.recovery.treatments.scale import scale
from dormant.recovery.treatments.self_distillation import self_distillation


@dataclass(frozen=True)
class Configured:
    """A treatment with its configuration.

    Attributes:
        name: Its name.
        run: The function.
        configuration: All of its keyword arguments.
    """

    name: str
    run: Treatment
    configuration: Mapping[str, Any]

    def __call__(self, given: Given) -> Candidates:
        """Propose changes."""
        return self.run(given, **self.configuration)


_SHIPPED: tuple[Any, ...] = (
    scale,
    average,
    conjugate_distillation,
    format_replay,
    self_distillation,
    relearn,
    retune,
)


def shipped() -> Mapping[str, Treatment]:
    """Return the treatments that come with Dormant, by name."""
    return {one.__name__.replace("_", "-"): one for one in _SHIPPED}


def names() -> list[str]:
    """Return the names of all treatments, those of other packages included."""
    return [*shipped(), *extend.installed("dormant.treatments")]


def get(text: str) -> Configured:
    """Return a treatment as a user writes it: ``NAME`` or ``NAME:KEY=VALUE;KEY=VALUE``.

    Raises:
        DormantError: There is none of that name, or a value is not allowed.
    """
    name, _, rest = text.partition(":")
    ours, added = shipped(), extend.installed("dormant.treatments")
    if name in ours:
        run = ours[name]
    elif name in added:
        run = extend.load(added[name])
    else:
        raise unknown("treatment", name, {*ours, *added})
    given: dict[str, str] = {}
    for part in filter(str.strip, rest.split(";")):
        key, _, value = part.partition("=")
        given[key] = value
    return Configured(name, run, _configuration(name, run, given))


def _configuration(name: str, run: Treatment, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Read values by the types of a treatment's keyword arguments; defaults fill the rest."""
    hints = get_type_hints(run, include_extras=True)
    known = {
        each.name: each.default
        for each in inspect.signature(run).parameters.values()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    }
    values = dict(known)
    for word, text in given.items():
        key = word.strip().replace("-", "_")
        if key not in known:
            raise unknown(f"setting of treatment {name}", word, known)
        several = getattr(hints[key], "__origin__", None) is tuple
        parts = [part.strip() for part in text.split("|")]
        try:
            values[key] = TypeAdapter(hints[key]).validate_python(parts if several else text)
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            raise DormantError(f"treatment {name}: {word}={text!r}: {message}") from None
    return values
