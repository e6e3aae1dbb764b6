"""The study of recovery in docs/results.md: every treatment, several seeds, and its limits.

python experiments/language/recover.py --out runs/recover                      # runs, then tables
python experiments/language/recover.py --out runs/recover --tables-only

Each seed draws other items and trains in another order. All treatments of a seed share one
directory, so that base and fine-tuned model are asked once; every one is reported on items that
nothing trained or chose, whether `dormant recover` would have taken it or not. What was done is
kept and skipped, so a call that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from dormant.audit.pair import pair_of
from dormant.audit.score import score_cases
from dormant.progress import Silent
from dormant.recovery.bench import Bench
from dormant.recovery.run import prepared, recover
from dormant.recovery.sets import Sets
from dormant.recovery.settings import RecoverSettings
from dormant.recovery.store import Store
from dormant.recovery.treatment import Change
from dormant.results.recovery import AbilityChange, RecoveryResults

EXAMPLE = Path(__file__).parents[2] / "examples" / "sentiment"
TASKS = ("icl/copy",)
ALSO = ("icl/first_word", "icl/last_word", "icl/plural")
PERPLEXITY = "perplexity"
"""The yardstick that scales the update back by tenths, until the perplexity of right answers is
within `_DRIFT` of the base's: the rule by which avr-cl 0.1.0 repairs, on the product B·A."""
_STEP, _DRIFT = 0.1, 1.15
MAIN = "conjugate-distillation"
TREATMENTS = (
    MAIN,
    "scale:at=0.5",
    PERPLEXITY,
    "scale",
    "format-replay",
    "self-distillation",
    "relearn",
)
LIMITS = (
    *(f"{MAIN}:prompts={count}" for count in (60, 8, 4)),
    f"{MAIN}:transforms=pig-latin;agree=1",
    f"{MAIN}:transforms=leetspeak;agree=1",
)


def settings_of(options: argparse.Namespace, seed: int, treatment: str) -> RecoverSettings:
    """Return how a treatment is tried."""
    return RecoverSettings(
        base=options.base,
        tuned=options.tuned,
        tasks=tuple(options.task or TASKS),
        also=also(options),
        skill=options.skill,
        skill_train=options.skill_train or None,
        treatments=(treatment,),
        n=options.items,
        seed=seed,
        # What of the gain is teaching: looked at once, as it takes as long again.
        control=treatment == MAIN and seed == 0,
    )


def also(options: argparse.Namespace) -> tuple[str, ...]:
    """Return what is reported on and no treatment sees."""
    return ALSO if options.also is None else tuple(filter(None, options.also))


def kept_in(options: argparse.Namespace, seed: int, treatment: str) -> Path:
    """Return the file of what a treatment did with a seed."""
    name = treatment.replace(":", "-").replace("/", "-")
    return options.out / f"seed-{seed}" / f"{name}.json"


def run(options: argparse.Namespace, seed: int, treatment: str) -> RecoveryResults:
    """Try one treatment with one seed, unless it was; return what it did."""
    kept = kept_in(options, seed, treatment)
    if not kept.exists():
        named = treatment
        if treatment == PERPLEXITY:
            named = f"scale:at={least_drift(options, seed):.4g}"
        results = recover(settings_of(options, seed, named), kept.parent / "model")
        kept.write_text(results.to_json(), encoding="utf-8")
    return RecoveryResults.model_validate_json(kept.read_bytes())


def tried(options: argparse.Namespace, treatment: str) -> list[RecoveryResults]:
    """Return what a treatment did, with all seeds that it was tried with."""
    seeds = [seed for seed in range(options.seeds) if kept_in(options, seed, treatment).exists()]
    return [run(options, seed, treatment) for seed in seeds]


def least_drift(options: argparse.Namespace, seed: int) -> float:
    """Return the λ to which the update is pulled back, a tenth of what is left at a time.

    It is watched by the perplexity of the right answers to the prompts that treatments may see.
    """
    settings = prepared(settings_of(options, seed, "scale"))
    pair = pair_of(settings.audit(), {})
    sets = Sets.of(settings, pair)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.start(Path(folder), {"fingerprints": {}}, {})
        bench = Bench(pair, settings, store, Silent())
        try:
            base, scale = _nats(bench.lm("base"), sets), 1.0
            for _ in range(60):
                found = _nats(bench.lm(bench.key(Change((scale,)))), sets)
                print(f"  λ {scale:.3f}: perplexity {math.exp(found - base):.2f} of the base's")
                if math.exp(found - base) <= _DRIFT:
                    return scale
                scale *= 1 - _STEP
            return 0.0
        finally:
            bench.close()
            store.close()


def _nats(lm: Any, sets: Sets) -> float:
    """Return the mean surprise of right answers, nats a token."""
    total, tokens = 0.0, 0
    for one in sets.abilities:
        for outcome in score_cases(lm, one.task, one.train, "raw"):
            assert outcome.target_logprob is not None
            total -= outcome.target_logprob
            tokens += len(lm.tok_encode(f" {outcome.target}"))
    return total / tokens


def tables(options: argparse.Namespace, treatments: Sequence[str]) -> Iterator[str]:
    """Yield the tables, line by line: each treatment over all seeds that it was tried with."""
    found = {treatment: tried(options, treatment) for treatment in treatments}
    names = [*(options.task or TASKS), *also(options)]
    yield (
        "| treatment | seeds | "
        + " | ".join(f"{name.removeprefix('icl/')}: right, % of the drop" for name in names)
        + " | skill lost, points |"
    )
    yield "|" + "---|" * (3 + len(names))
    everything = [one for every in found.values() for one in every]
    if not everything:
        return
    for model in ("base", "tuned"):
        cells = [
            f"{100 * _mean([getattr(_of(one, name), model) for one in everything]):.0f}"
            for name in names
        ]
        yield f"| {model} | | " + " | ".join(cells) + " | – |"
    for treatment, every in found.items():
        if not every:
            continue
        taken = [one for one in every if one.chosen is not None]
        cells: list[str] = []
        for name in names:
            changes = [_of(one, name) for one in taken]
            right = _mean([change.recovered for change in changes])
            shares = [change.returned.estimate for change in changes if change.returned]
            cells.append(f"{100 * right:.0f}, {over_seeds(shares)}")
        losses = [one.skill.loss for one in taken if one.skill and one.skill.loss]
        lost = over_seeds([loss.estimate for loss in losses], 1)
        yield (
            f"| `{treatment}` | {len(taken)} of {len(every)} | "
            + " | ".join(cells)
            + f" | {lost} |"
        )


def goals(every: Sequence[RecoveryResults]) -> Iterator[str]:
    """Yield what was aimed at, and what conjugate distillation did, over all seeds."""

    def shares(names: Sequence[str]) -> str:
        cells = [
            [change.returned for one in every if (change := _of(one, name)).returned is not None]
            for name in names
        ]
        return "; ".join(
            f"{name.removeprefix('icl/')} {over_seeds([one.estimate for one in each if one])}, "
            f"least bound of a seed {_least([one.low for one in each if one])}"
            for name, each in zip(names, cells, strict=True)
        )

    losses = [one.skill.loss for one in every if one.skill and one.skill.loss]
    further = {
        (change.task, seed): change.further_loss.high
        for seed, one in enumerate(every)
        for change in one.abilities
        if change.further_loss is not None
    }
    task, seed = max(further, key=lambda key: further[key])
    yield "| goal | wanted | measured, percent or points (95 % over seeds) |"
    yield "|---|---|---|"
    yield f"| returned share of copying's drop | lower bound ≥ 90 | {shares(TASKS)} |"
    yield f"| the same, abilities never trained | lower bound ≥ 70 | {shares(ALSO)} |"
    lost = over_seeds([one.estimate for one in losses], 1)
    yield (
        f"| the skill's loss | upper bound < 2 | {lost}, "
        f"highest bound of a seed {100 * max(one.high for one in losses):.1f} |"
    )
    yield (
        "| any other ability's further loss | upper bound < 5 | highest bound "
        f"{100 * further[task, seed]:.1f} ({task}, {seed + 1} of {len(every)} seeds) |"
    )


def _of(results: RecoveryResults, name: str) -> AbilityChange:
    return next(one for one in results.abilities if one.task == name)


def _mean(estimates: Sequence[Any]) -> float:
    return statistics.fmean(one.estimate for one in estimates if one is not None)


def _least(bounds: Sequence[float]) -> str:
    return f"{100 * min(bounds):.0f}" if bounds else "–"


def over_seeds(values: Sequence[float], digits: int = 0) -> str:
    """Return a mean over seeds in percent, with Student's interval where there are several."""
    if not values:
        return "–"

    def written(value: float) -> str:
        return f"{100 * value:.{digits}f}".replace("-", "−")

    mean = statistics.fmean(values)
    if len(values) == 1:
        return written(mean)
    quantile = float(student.ppf(0.975, len(values) - 1))
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return f"{written(mean)} ({written(mean - half)} to {written(mean + half)})"


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--tuned", default="smollm2-sentiment")
    parser.add_argument("--task", action="append", help=f"to recover; default: {TASKS}")
    parser.add_argument(
        "--also", action="append", help=f"to report on; '' for nothing; default: {ALSO}"
    )
    parser.add_argument("--skill", default=str(EXAMPLE / "holdout_large.jsonl"))
    parser.add_argument("--skill-train", default=str(EXAMPLE / "train.jsonl"), help="'' for none")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", type=int, action="append", help="run this seed alone")
    parser.add_argument("--treatment", action="append", help=f"default: {TREATMENTS}")
    parser.add_argument("--limits", action="store_true", help="fewer prompts, wrong answers")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tables-only", action="store_true")
    options = parser.parse_args()
    treatments = options.treatment or (LIMITS if options.limits else TREATMENTS)
    if not options.tables_only:
        # All treatments of a seed, then the next seed: what is there first is of every treatment.
        for seed in options.only or range(options.seeds):
            for treatment in treatments:
                results = run(options, seed, treatment)
                print(seed, treatment, results.outcome, results.wall_seconds, flush=True)
    print("\n".join(tables(options, treatments)))
    main_runs = tried(options, MAIN)
    if main_runs and options.task is None and options.also is None:
        print("", *goals(main_runs), sep="\n")


if __name__ == "__main__":
    main()
