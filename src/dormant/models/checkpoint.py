"""Loading a checkpoint by the harness's model, and refusing one of which a tensor is made up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from dormant.errors import DormantError
from dormant.models.keys import KeyReport, Shape, cause, strip_pattern


@dataclass
class LoadLog:
    """What was found while a model was loaded, for those who read its numbers.

    Attributes:
        warnings: One line for each, each once.
        facts: What was decided, by subject: "weights", "tokenizer", "chat template", "adapter".
    """

    warnings: list[str] = field(default_factory=list[str])
    facts: dict[str, str] = field(default_factory=dict[str, str])

    def warn(self, line: str) -> None:
        """Note a warning once."""
        if line not in self.warnings:
            self.warnings.append(line)


def checked(kind: Any, name: str, arguments: dict[str, Any]) -> Any:
    """Return the class that loads a checkpoint and refuses what had to be made up.

    Weights are tied as the loader found right; the harness, which ties them once more afterwards
    whatever the file said, is kept from it until `untie_hands`.

    Args:
        kind: The harness's Hugging Face model, or a subclass.
        name: What the user typed, for errors.
        arguments: A model's; ``strip_prefix`` and ``ignore_keys`` are taken out.

    Returns:
        A subclass of `kind` by the same name, which raises `DormantError` for such a checkpoint.
    """
    prefix = str(arguments.pop("strip_prefix", "") or "")
    ignored = str(arguments.pop("ignore_keys", "") or "")

    def create(self: Any, *given: Any, **options: Any) -> None:
        if not (options.get("autogptq") or options.get("gptqmodel")):
            options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
            if prefix:
                options["key_mapping"] = {strip_pattern(prefix): ""}
        kind._create_model(self, *given, **options)
        if isinstance(self._model, tuple):
            self._model, info = cast("tuple[Any, Mapping[str, Any]]", self._model)
            report = _report(info, len(self._model.state_dict())).without(ignored)
            if not report.clean:
                self._model = None
                raise DormantError(f"model {name!r}: {report.counts()}: {cause(report)}")
        tie_hands(self._model)

    return type(kind.__name__, (kind,), {"_create_model": create})


def tie_hands(model: Any) -> None:
    """Let a model's `tie_weights` do nothing until `untie_hands`."""
    model.tie_weights = _nothing


def untie_hands(model: Any) -> None:
    """Give a model back its own `tie_weights`."""
    if vars(model).get("tie_weights") is _nothing:
        del model.tie_weights


def _nothing(*given: object, **options: object) -> None:
    """Tie no weights."""


def _report(info: Mapping[str, Any], expected: int) -> KeyReport:
    mismatched = cast("Collection[tuple[str, Shape, Shape]]", info.get("mismatched_keys", ()))
    return KeyReport(
        missing=tuple(sorted(info.get("missing_keys", ()))),
        unexpected=tuple(sorted(info.get("unexpected_keys", ()))),
        mismatched=tuple(
            sorted((key, tuple(found), tuple(wanted)) for key, found, wanted in mismatched)
        ),
        expected=expected,
    )
