"""``dm.audit``, ``dm.plan``, and what reads finished runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast, overload

from dormant.api.options import AuditOptions, Model, ModelName
from dormant.errors import DormantError
from dormant.names import flat_names

if TYPE_CHECKING:
    from dormant.audit.forecast import Forecast
    from dormant.audit.settings import AuditSettings
    from dormant.audited import Audit, AuditSeries
    from dormant.models.live import LiveModel
    from dormant.models.pair import Which


@overload
def audit(
    base: Model,
    tuned: Model | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    progress: bool = True,
    closeness: bool = False,
    density: ModelName | None = None,
    **options: Unpack[AuditOptions],
) -> Audit: ...
@overload
def audit(
    base: Model,
    tuned: list[Model],
    *,
    out: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **options: Unpack[AuditOptions],
) -> AuditSeries: ...
def audit(
    base: Model,
    tuned: Model | list[Model] | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    progress: bool = True,
    closeness: bool = False,
    density: ModelName | None = None,
    **options: Unpack[AuditOptions],
) -> Audit | AuditSeries:
    """Audit a base model and the model fine-tuned from it, as ``dormant audit`` does.

    The run is a directory: stopped for any reason, the same call goes on where it was; finished,
    the same call reads it. A model in memory is known again by a hash of its weights; the run of
    an `LM` that has none to show is not resumed.

    Args:
        base: The base model, by name or in memory. Alone, it is audited on two cells: gains only,
            never "lost".
        tuned: The fine-tuned model. Given a PEFT model and the very model that its adapter was
            put into, the adapter is switched off for the latter. A list, of models or of
            directories of ``checkpoint-STEP``, is audited one after the other, the base once, each
            in a run directory of its own below `out`.
        out: The run directory; default: ``runs/BASE--TUNED``.
        progress: Show how full the cells are, in a terminal, or a bar in a notebook that has
            ipywidgets.
        closeness: Measure by how much fine-tuning made each prompt likelier, and whether what is
            closer lost more; one fine-tuned model only.
        density: The same by another model as well: one tuned on the fine-tuning data's whole text.
        options: Abilities (``tasks``), ``transforms``, items an ability (``n``), and all else of
            `AuditOptions`; the defaults are those of the command line.

    Returns:
        The results, with verdicts, tables and a figure; for a list, those of all, and a timeline.

    Raises:
        DormantError: Bad input, a model that can't be loaded, a run with other settings in `out`,
            a disk that is full. Of a list: no model that can be audited; one that can't is named
            in the timeline, and the others go on.

    Example:
        >>> found = dm.audit("smollm2", "smollm2-sentiment-mild", tasks="icl/copy",
        ...                  transforms="french", n=40, out="runs/copy")
        >>> found.verdicts
        {'icl/copy': 'suppressed'}
    """
    from dormant.audit.run import audit as run
    from dormant.audit.settings import default_directory
    from dormant.audited import Audit
    from dormant.console import watched
    from dormant.evidence import rungs_of
    from dormant.watch.watching import watching

    if isinstance(tuned, list) and not _is_pair(tuned):
        if closeness or density is not None:
            raise DormantError("closeness is for one fine-tuned model: give one of them")
        return _series(base, tuned, out, progress, options)
    one = cast("Model | None", tuned)
    _refuse_checkpoints(one)
    settings, live = _settings(base, one, options)
    folder = default_directory(settings) if out is None else Path(out)
    name = None if density is None else os.fspath(density)
    closeness = closeness or name is not None
    if closeness:
        from dormant.closeness.run import refuse_unmeasurable

        refuse_unmeasurable(settings, name, live)
    with watching(quiet=not (progress and watched())) as watch:
        rungs = rungs_of(settings)
        results = run(settings, folder, watch.progress, live, rungs, tell=watch.tell)
        if closeness:
            from dormant.closeness.run import measure

            results = measure(folder, density=name, progress=watch.progress, live=live)
    return Audit(results, folder)


def _series(
    base: Model,
    tuned: list[Model],
    out: str | os.PathLike[str] | None,
    progress: bool,
    options: AuditOptions,
) -> AuditSeries:
    from dormant.audit.children import children_of, default_parent
    from dormant.audit.many import audit_children
    from dormant.audited import AuditSeries
    from dormant.console import watched
    from dormant.evidence import rungs_of
    from dormant.models.live import LiveModel
    from dormant.watch.watching import watching

    if not tuned:
        raise DormantError("no fine-tuned model is in the list: give one, or leave it out")
    models: list[str | LiveModel] = [
        os.fspath(model) if isinstance(model, str | os.PathLike) else LiveModel.of(model)
        for model in tuned
    ]
    children = children_of(models)
    settings, live = _settings(base, children[0].text, options)
    names = [model if isinstance(model, str) else model.text for model in models]
    folder = default_parent(settings, names) if out is None else Path(out)
    with watching(quiet=not (progress and watched())) as watch:
        timeline = audit_children(
            settings,
            children,
            folder,
            watch.progress,
            live.get("base"),
            rungs_of,
            tell=watch.tell,
        )
    return AuditSeries(timeline, folder)


def _is_pair(given: list[Any]) -> bool:
    """Whether a list is one model in memory with its tokenizer, not several models."""
    if not given or isinstance(given[0], str | os.PathLike | tuple):
        return False
    from dormant.models.live import is_model

    return is_model(given[0])


def _refuse_checkpoints(tuned: Model | None) -> None:
    if not isinstance(tuned, str | os.PathLike):
        return
    from dormant.audit.children import checkpoints_in

    name = os.fspath(tuned)
    if found := checkpoints_in(name):
        raise DormantError(
            f"{name!r} holds {len(found)} checkpoints: give a list, [{name!r}], "
            "for a timeline of all, or name one of them"
        )


def plan(base: Model, tuned: Model | None = None, **options: Unpack[AuditOptions]) -> Forecast:
    """Say what an audit will take, as ``dormant audit --plan`` does; nothing is written.

    Both models are loaded, one after the other, and asked a few prompts of each ability.

    Args:
        base: See `audit`.
        tuned: See `audit`.
        options: See `AuditOptions`.

    Returns:
        Prompts, seconds and bytes; ``print`` shows them in a few lines. What the rungs above
        prompting take is said apart, as if every ability climbed: most don't.

    Raises:
        DormantError: Bad input, a model that can't be loaded, or one that doesn't fit into memory,
            with the option under which it would.
    """
    from dormant.audit.forecast import forecast
    from dormant.evidence import rungs_of

    settings, live = _settings(base, tuned, options)
    return forecast(settings, live=live, rungs=rungs_of(settings))


def load_results(run: str | os.PathLike[str]) -> Audit:
    """Read a finished run, whoever made it: `audit`, ``dormant audit`` or ``dormant demo``.

    Args:
        run: The run directory.

    Raises:
        DormantError: There is no finished run, or it is damaged.
    """
    from dormant.audit.run_dir import RunDirectory
    from dormant.audited import Audit

    folder = Path(run)
    return Audit(RunDirectory.read(folder).results(), folder)


def load_timeline(folder: str | os.PathLike[str]) -> AuditSeries:
    """Read the audits of several fine-tuned models, whoever made them: `audit` or the command.

    Args:
        folder: The directory that has a run directory for each.

    Raises:
        DormantError: There is no timeline, or it is damaged.
    """
    from dormant.audit.many import read_timeline
    from dormant.audited import AuditSeries

    return AuditSeries(read_timeline(Path(folder)), Path(folder))


def load(run: str | os.PathLike[str]) -> Audit:
    """Do what `load_results` does, under its old name, for one version more."""
    warnings.warn("dormant.load is now dormant.load_results", DeprecationWarning, stacklevel=2)
    return load_results(run)


def _settings(
    base: Model, tuned: Model | None, options: AuditOptions
) -> tuple[AuditSettings, dict[Which, LiveModel]]:
    """Return an audit's settings, and those of its models that are in memory."""
    from dormant.audit.settings import AuditSettings

    live: dict[Which, LiveModel] = {}
    given: dict[str, Any] = {
        "base": None if tuned is None else _name(base, "base", live),
        "tuned": _name(base if tuned is None else tuned, "tuned", live),
        **options,
    }
    for kind in ("tasks", "transforms"):
        if given.get(kind) is None:
            given.pop(kind, None)
        else:
            given[kind] = _names(given[kind])
    return AuditSettings.of(given), live


def _name(model: object, which: Which, live: dict[Which, LiveModel]) -> str:
    """Return a model's name for the records; one that is in memory goes into `live`."""
    if isinstance(model, str | os.PathLike):
        return os.fspath(cast("ModelName", model))
    from dormant.models.live import LiveModel

    live[which] = LiveModel.of(model)
    return live[which].text


def _names(given: object) -> tuple[str, ...]:
    """Return names: an element of a list is one, a text is a list as on the command line."""
    if isinstance(given, str):
        return flat_names([given])
    values = cast("Sequence[object]", given if isinstance(given, list | tuple) else [given])
    for value in values:
        if not isinstance(value, str):
            raise DormantError(
                "tasks and transforms are given by name, so that a run can be resumed, and this "
                f"is a {type(value).__name__}: register it (dormant.extend) and give its name"
            )
    return tuple(dict.fromkeys(str(value).strip() for value in values))
