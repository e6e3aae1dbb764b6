"""From logs to four cells over the same items, and to verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dormant.errors import DormantError
from dormant.integrations.logs.identity import (
    base_of,
    identical,
    models_of,
    refuse_same_weights,
)
from dormant.integrations.logs.measures import reasons
from dormant.integrations.logs.scored_log import CellOrigin, Log, Sample
from dormant.results import PLAIN, AbilityResult, AuditResults, ItemOutcome, Which
from dormant.statistics import (
    MARGIN,
    Success,
    Successes,
    TransformCells,
    judge_ability,
    plain_cells,
    transform_cells,
)


@dataclass(frozen=True)
class Cell:
    """One ability under one transform, as one model did it.

    Attributes:
        log: Where it was read.
        samples: By item.
        lost: The reason, for every item without an outcome.
        origin: What is known of the ability.
    """

    log: Log
    samples: dict[str, Sample]
    lost: dict[str, str]
    origin: CellOrigin


@dataclass(frozen=True)
class Side:
    """All that the logs say of one model.

    Attributes:
        name: The model.
        sources: Where they were read.
        cells: By transform, then by ability.
        notes: What a reader should know.
    """

    name: str
    sources: str
    cells: dict[str, dict[str, Cell]]
    notes: list[str]

    @classmethod
    def of(cls, logs: Sequence[Log]) -> Side:
        """Collect the logs of one model; where two hold one cell, the newer is taken."""
        cells: dict[str, dict[str, Cell]] = {}
        notes = [note for log in logs for note in log.notes]
        for log in sorted(logs, key=lambda log: log.time):
            into = cells.setdefault(log.transform, {})
            for name in log.abilities:
                if name in into:
                    notes.append(
                        f"{into[name].log.source} and {log.source} both hold {name} of {log.name} "
                        f"({log.transform}): the newer was read"
                    )
                into[name] = Cell(log, log.abilities[name], log.lost.get(name, {}), log.cell(name))
        sources = ", ".join(str(log.source) for log in logs)
        return cls(logs[0].name, sources, cells, notes)

    @property
    def plain(self) -> dict[str, Cell]:
        """The plain cells, by ability."""
        return self.cells.get(PLAIN, {})


@dataclass(frozen=True)
class Pair:
    """A base model and the model fine-tuned from it; `None` where there is no base."""

    base: Side | None
    tuned: Side

    @property
    def sides(self) -> tuple[tuple[Which, Side], ...]:
        """Those that are there."""
        return (
            (("base", self.base), ("tuned", self.tuned)) if self.base else (("tuned", self.tuned),)
        )


def pair(logs: Sequence[Log], base: str | None = None, allow_identical: bool = False) -> Pair:
    """Tell the base model's logs from the tuned one's.

    The base is the model named `base`, with its arguments or, where one model alone is called so,
    without; or the one that the other is an adapter on; or that of the first log. Two plain logs
    are base and tuned in this order, whatever they are called. Logs of one model alone make two
    cells.

    Raises:
        DormantError: There are no logs, logs of more than two models, or none of `base`. Or both
            models are the same weights, which `allow_identical` lets pass.
    """
    if not logs:
        raise DormantError("no logs were given")
    names = models_of(logs)
    below = base_of(logs) if base is None else called(base, names)
    if not allow_identical:
        refuse_same_weights(logs)
    if len(logs) == 2 and below is None and {log.transform for log in logs} == {PLAIN}:
        first, second = (Side.of([log]) for log in logs)
        if first.name == second.name:
            if logs[0].named and logs[1].named and not allow_identical:
                raise identical(logs[0], logs[1])
            first.notes.append(
                f"both logs say that they are of {first.name}: {first.sources} is taken for the "
                f"base model's, {second.sources} for the fine-tuned one's"
            )
        return Pair(first, second)
    if len(names) > 2:
        raise DormantError(
            f"the logs are of {len(names)} models ({'; '.join(names)}): give those of a base model "
            "and of one fine-tuned from it, or dormant compare"
        )
    first = below or names[0]
    sides = {name: Side.of([log for log in logs if log.name == name]) for name in names}
    if len(names) == 1 and base is not None:
        raise DormantError(
            f"all logs name the same weights, {first}, which --base calls the base's: was the "
            "adapter left out? evaluate the fine-tuned model, or leave --base out for gains alone"
        )
    if len(names) == 1:
        return Pair(None, sides[first])
    (other,) = (name for name in names if name != first)
    return Pair(sides[first], sides[other])


def called(base: str, names: Sequence[str]) -> str:
    """Return the full name of the model that a user calls `base`."""
    places = [name.split(",")[0] for name in names]
    called = [
        name
        for name, place in zip(names, places, strict=True)
        if base in (name, place, place.partition(":")[2])
    ]
    if base in names:
        return base
    if len(called) != 1:
        found = "none" if not called else "more than one"
        raise DormantError(f"{found} of the logs is of {base!r}: they are of {', '.join(names)}")
    return called[0]


def compare(
    logs: Sequence[Log],
    base: str | None = None,
    margin: float = MARGIN,
    allow_identical: bool = False,
) -> AuditResults:
    """Judge every ability that the logs share, over the same items in all cells.

    Args:
        logs: Evaluations of a base model and a fine-tuned one, or of one model alone; plain, and
            under transforms if there are any. Without transforms an ability is retained, or it is
            inconclusive with its drop.
        base: The base model's name in the logs; by default the first log's.
        margin: Drop, as a fraction, that counts as one.
        allow_identical: Go on where both models are the same weights, as far as logs say.

    Raises:
        DormantError: The logs share no ability, or hold other items for one; see also `pair`.
    """
    models = pair(logs, base, allow_identical)
    warnings = [note for _, side in models.sides for note in side.notes]
    shared = _shared(models, warnings)
    abilities = [_judge(models, name, margin, warnings) for name in shared]
    return AuditResults(
        base=models.base.name if models.base else None,
        tuned=models.tuned.name,
        settings={"from": [str(log.source) for log in logs], "margin": margin},
        versions={name: text for log in reversed(logs) for name, text in log.versions.items()},
        abilities=abilities,
        warnings=list(dict.fromkeys(warnings)),
    )


def outcomes(logs: Sequence[Log], base: str | None = None) -> Iterator[ItemOutcome]:
    """Yield the samples of the shared abilities as records, for the report's item view."""
    models = pair(logs, base, allow_identical=True)
    shared = _shared(models, [])
    for which, side in models.sides:
        for name in shared:
            for transform, cells in side.cells.items():
                for item, sample in cells[name].samples.items() if name in cells else ():
                    yield ItemOutcome(
                        model=which,
                        task=name,
                        transform=transform,
                        item=item,
                        prompt=sample.prompt,
                        target=sample.target,
                        target_logprob=None,
                        target_greedy=sample.correct,
                        correct=sample.correct,
                        label=None if sample.value in (0, 1) else f"{sample.value:.2g}",
                        output=sample.output,
                    )


def _shared(models: Pair, warnings: list[str]) -> list[str]:
    """Return the abilities of which there are plain cells on all sides."""
    sides = [side for _, side in models.sides]
    for side in sides:
        if PLAIN not in side.cells:
            raise DormantError(
                f"{side.sources}: no plain log of {side.name}: evaluate it without a transform, too"
            )
    shared = [name for name in sides[0].plain if all(name in side.plain for side in sides)]
    if not shared:
        held = " and ".join(f"{side.sources} ({', '.join(side.plain) or 'none'})" for side in sides)
        told = "; ".join(list(dict.fromkeys(note for side in sides for note in side.notes))[:3])
        raise DormantError(
            f"there is no task and metric of which all have plain samples: {held}"
            + (f"; {told}" if told else "")
        )
    for side in sides:
        alone = [name for name in side.plain if name not in shared]
        if alone:
            warnings.append(f"{', '.join(alone)}: in {side.sources} only, left out")
    return shared


def _judge(models: Pair, name: str, margin: float, warnings: list[str]) -> AbilityResult:
    """Judge one ability over the items that have an outcome in all of a comparison's cells."""
    plain = [side.plain[name] for _, side in models.sides]
    items = _common(name, plain, warnings)
    transforms: list[TransformCells] = []
    for transform in _transforms(models, name, warnings):
        cells = [side.cells[transform][name] for _, side in models.sides]
        common = set(_common(name, [plain[0], *cells], warnings))
        excluded = {item: reason for cell in cells for item, reason in cell.lost.items()}
        transforms.append(
            transform_cells(
                transform,
                [item for item in items if item in common],
                *_successes(models, cells),
                signature=cells[-1].origin.signature,
                excluded=excluded.values(),
                fidelity=cells[-1].origin.fidelity,
            )
        )
    tuned = plain[-1]
    origin = tuned.log.origin
    return judge_ability(
        name,
        plain_cells(items, *_successes(models, plain)),
        transforms,
        title=tuned.origin.title,
        margin=margin,
        chance=tuned.origin.chance,
        seed=origin.seed if origin else 0,
    )


def _successes(models: Pair, cells: Sequence[Cell]) -> tuple[Successes, Successes | None]:
    """Return the outcomes of the tuned model and of the base, which logs give without log-odds."""
    base, tuned = (
        {item: Success(sample.value) for item, sample in cell.samples.items()}
        for cell in (cells[0], cells[-1])
    )
    return tuned, base if models.base else None


def _transforms(models: Pair, name: str, warnings: list[str]) -> list[str]:
    """Return the transforms under which every model did an ability, the very same ones."""
    sides = [side for _, side in models.sides]
    every = [
        transform for side in sides for transform in side.cells if name in side.cells[transform]
    ]
    common: list[str] = []
    for transform in dict.fromkeys(name for name in every if name != PLAIN):
        without = [side.name for side in sides if name not in side.cells.get(transform, {})]
        if without:
            warnings.append(f"{name} under {transform}: no log of {without[0]}, left out")
            continue
        used = [side.cells[transform][name].origin.signature for side in sides]
        if len({*used}) > 1:
            # Another engine, or another version of it: two transforms under one name.
            warnings.append(f"{name} under {transform}: {' and '.join(used)}, left out")
        else:
            common.append(transform)
    return common


def _common(name: str, cells: Sequence[Cell], warnings: list[str]) -> list[str]:
    """Return the items that have an outcome in all cells, in the first one's order.

    An item that a log says it has lost is left out of all of them, and told of.

    Raises:
        DormantError: A cell lacks an item without a reason, or holds another one of that name.
    """
    first = cells[0]
    lost = {item for cell in cells for item in cell.lost}
    items = [item for item in first.samples if item not in lost]
    for cell in cells[1:]:
        odd = sorted((first.samples.keys() ^ cell.samples.keys()) - lost)
        if odd:
            raise DormantError(
                f"{name}: item {odd[0]} is in only one of {first.log.source} and "
                f"{cell.log.source} ({len(odd)} such): evaluate both on the same items"
            )
        other = [
            item for item in items if first.samples[item].content != cell.samples[item].content
        ]
        if other:
            raise DormantError(
                f"{name}: item {other[0]} is not the same in {first.log.source} and "
                f"{cell.log.source} ({len(other)} such): evaluate both on the same data"
            )
        asked = sum(first.samples[item].asked != cell.samples[item].asked for item in items)
        if asked:
            warnings.append(
                f"{name}: the prompts of {asked} of {len(items)} items differ between the logs, "
                "so a difference may come from the template or the demonstrations"
            )
        twin = next(other for other in cells if other.log.transform == cell.log.transform)
        otherwise = [i for i in items if twin.samples[i].generated != cell.samples[i].generated]
        if otherwise:
            warnings.append(
                f"{name}: {len(otherwise)} of {len(items)} texts were generated by other settings "
                "in one log than in the other, so a difference may come from those"
            )
    if not items:
        raise DormantError(f"{name}: no item has an outcome in {first.log.source} and its like")
    for cell in cells:
        if cell.lost:
            warnings.append(
                f"{name}: {len(cell.lost)} items of {cell.log.source} are left out of all cells "
                f"({reasons(cell.lost)})"
            )
    return items
