"""Closeness of a finished run's prompts: measured once, kept beside its records, and judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dormant import devices
from dormant.audit.finished import plans_of, settings_of
from dormant.audit.lazy_cases import some
from dormant.audit.pair import pair_of
from dormant.audit.plan import Plan
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.audit.settings import AuditSettings
from dormant.closeness.judging import Prompt, counts_tokens, judged
from dormant.closeness.measuring import likelihoods
from dormant.closeness.store import Store
from dormant.errors import DormantError
from dormant.models.live import LiveModel
from dormant.models.pair import ModelPair, Which
from dormant.models.weights import ADAPTERS
from dormant.progress import Progress, Silent
from dormant.results import AS_TRAINED, AuditResults
from dormant.results.closeness import ClosenessResult, PromptLikelihood
from dormant.rundirs import locked


@dataclass(frozen=True)
class _Measure:
    """A model by whose likelihoods closeness is measured.

    Attributes:
        name: Of its files: "base", "tuned", or "density" with its fingerprint.
        pair: Where it is from.
        which: Its place there.
    """

    name: str
    pair: ModelPair
    which: Which


@dataclass(frozen=True)
class _Cell:
    """The prompts of an ability under one transform that both models were asked.

    Attributes:
        plan: The ability.
        transform: The transform's name, or `results.PLAIN`.
        right: Whether base and fine-tuned model were right, by item.
    """

    plan: Plan
    transform: str
    right: Mapping[str, tuple[bool, bool]]

    @property
    def task(self) -> str:
        """The ability's name."""
        return self.plan.task.name


def measure(
    out: Path,
    *,
    density: str | None = None,
    progress: Progress | None = None,
    live: Mapping[Which, LiveModel] | None = None,
) -> AuditResults:
    """Measure how close a finished run's prompts are to what its model was fine-tuned on.

    All prompts of the prompt rung count, plain and transformed. Those in the wrapping of training
    data don't: they are made to be close. What was measured before is not measured again.

    Args:
        out: The run directory.
        density: A second measure: a model, or an adapter of the run's base, that was trained on
            the whole text of the fine-tuning data, prompts included.
        progress: Told how far it is.
        live: Models that are in memory already; the run's settings hold their names.

    Returns:
        The run's results with closeness, which are also in ``out/results.json``.

    Raises:
        DormantError: The run hasn't finished or has no base model, a model is another one by now,
            gives no log-probabilities or can't be loaded, or the disk is full.
    """
    run = RunDirectory.read(out)
    settings, results = settings_of(run), run.results()
    refuse_unmeasurable(settings)
    lock = locked(out)
    try:
        with devices.use(settings.device):
            return _measure(run, settings, results, density, progress or Silent(), live or {})
    finally:
        lock.release()


def refuse_unmeasurable(
    settings: AuditSettings,
    density: str | None = None,
    live: Mapping[Which, LiveModel] | None = None,
) -> None:
    """Refuse what `measure` could not do, before an audit takes its time.

    Args:
        settings: What is to be audited.
        density: As for `measure`.
        live: As for `measure`.

    Raises:
        DormantError: There is no base model, the density is where nothing is, or it is the base.
    """
    if settings.base is None:
        raise DormantError("--closeness is measured against a base model: give one")
    if density is not None:
        _beside(settings, density, live or {})


def _measure(
    run: RunDirectory,
    settings: AuditSettings,
    results: AuditResults,
    density: str | None,
    progress: Progress,
    live: Mapping[Which, LiveModel],
) -> AuditResults:
    progress.stage("preparing prompts")
    cells = _cells(run, settings, results)
    pair = pair_of(settings, live)
    models = [_Measure("base", pair, "base"), _Measure("tuned", pair, "tuned")]
    for one in models:
        _refuse_another(run, one)
    measured = [("tuned", results.tuned, "tuned")]
    if density is not None:
        other = _beside(settings, density, live)
        models.append(_Measure(f"density-{other.fingerprint('tuned')}", other, "tuned"))
        measured.append(("density", density, models[-1].name))
    known = _filled(models, cells, Store(run), settings, progress)
    progress.stage("estimating")
    closeness = [
        _result(measure, model, cells, known["base"], known[name])
        for measure, model, name in measured
    ]
    results = results.model_copy(update={"closeness": closeness})
    run.write_results(results)
    return results


def _filled(
    models: Sequence[_Measure],
    cells: Sequence[_Cell],
    store: Store,
    settings: AuditSettings,
    progress: Progress,
) -> dict[str, list[dict[str, PromptLikelihood]]]:
    """Return what each model makes of each cell's prompts, asking what isn't on disk."""
    known = {
        one.name: [store.known(one.name, cell.task, cell.transform) for cell in cells]
        for one in models
    }
    missing = {
        name: [
            [item for item in cell.right if item not in there]
            for cell, there in zip(cells, every, strict=True)
        ]
        for name, every in known.items()
    }
    total = len(models) * sum(len(cell.right) for cell in cells)
    progress.start(total, total - sum(len(items) for rows in missing.values() for items in rows))
    for one in models:
        if not any(missing[one.name]):
            continue
        progress.stage(f"loading {one.pair.models()[one.which].text}")
        with one.pair.open(one.which) as lm:
            for cell, items, there in zip(cells, missing[one.name], known[one.name], strict=True):
                progress.stage(f"closeness · {one.name} · {cell.task} · {cell.transform}")
                cases = cell.plan.cells[cell.transform].cases
                for start in range(0, len(items), settings.checkpoint_every):
                    batch = items[start : start + settings.checkpoint_every]
                    style = settings.style(one.which)
                    found = likelihoods(lm, some(cases, batch), style)
                    store.add(one.name, cell.task, cell.transform, found)
                    there |= {each.item: each for each in found}
                    progress.advance(len(batch))
    return known


def _cells(run: RunDirectory, settings: AuditSettings, results: AuditResults) -> list[_Cell]:
    found = {ability.task: ability for ability in results.abilities}
    cells: list[_Cell] = []
    for plan in plans_of(run, settings, found):
        for name in plan.cells:
            if name in plan.rungs or name == AS_TRAINED:
                continue
            base, tuned = (
                {one.item: one.correct for one in run.scores(CellKey(which, plan.task.name, name))}
                for which in ("base", "tuned")
            )
            right = {item: (base[item], tuned[item]) for item in base if item in tuned}
            cells.append(_Cell(plan, name, right))
    return cells


def _beside(settings: AuditSettings, density: str, live: Mapping[Which, LiveModel]) -> ModelPair:
    """Return the base and the model of the data's text, which is loaded as the tuned one is.

    Raises:
        DormantError: Nothing is there, it is the base, or would get the tuned model's adapter.
    """
    if adapters := {*ADAPTERS} & settings.tuned_model_args.keys():
        raise DormantError(
            f"--density {density}: it is loaded by the fine-tuned model's arguments, and "
            f"{min(adapters)} among them would put that model's adapter on it: name the adapter as "
            "the fine-tuned model"
        )
    alone: dict[Which, LiveModel] = {"base": live["base"]} if "base" in live else {}
    try:
        beside = pair_of(settings.model_copy(update={"tuned": density}), alone)
        same = beside.fingerprint("tuned") == beside.fingerprint("base")
    except DormantError as error:
        raise DormantError(f"--density {density}: {error}") from None
    if same:
        raise DormantError(
            f"--density {density}: that is the base model itself, by which all prompts are equally "
            "close: name one tuned on the whole text of the fine-tuning data"
        )
    return beside


def _refuse_another(run: RunDirectory, one: _Measure) -> None:
    then = run.manifest["settings"].get("fingerprints", {}).get(one.which)
    now = one.pair.fingerprint(one.which)
    if then != now:
        raise DormantError(
            f"{run.path}: the {one.name} model is another one by now (fingerprint {now}, was "
            f"{then}): closeness would be of other models than the records"
        )


def _result(
    measure: str,
    model: str,
    cells: Sequence[_Cell],
    before: Sequence[Mapping[str, PromptLikelihood]],
    after: Sequence[Mapping[str, PromptLikelihood]],
) -> ClosenessResult:
    prompts: dict[str, list[Prompt]] = {}
    for cell, base, other in zip(cells, before, after, strict=True):
        prompts.setdefault(cell.task, []).extend(
            Prompt(item, cell.transform, *right, base[item], other[item])
            for item, right in cell.right.items()
        )
    # One unit for all, or abilities could not be compared.
    per_token = all(counts_tokens(own) for own in prompts.values())
    return ClosenessResult(
        measure=measure,
        model=model,
        unit="nats per token" if per_token else "nats per byte",
        abilities=[judged(task, own, per_token=per_token) for task, own in prompts.items() if own],
    )
