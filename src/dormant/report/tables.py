"""Tables for other programs and for papers: CSV and LaTeX."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import IO

from dormant.report import formatting, training
from dormant.report.cells import best, chosen, kinds
from dormant.report.markdown import one_line
from dormant.results import (
    AS_TRAINED,
    AbilityResult,
    AsTrainedResult,
    AuditResults,
    Estimate,
    ItemOutcome,
    TransformResult,
)

_CELLS = ("base_plain", "tuned_plain", "base_transformed", "tuned_transformed")
BOUNDS = ("estimate", "low", "high")
"""What an estimate has a column for each of, after its name."""
_TRANSFORM_ESTIMATES = ("control", "gain", "recovery", "log_odds_gain", "log_odds_recovery")

TRANSFORM_COLUMNS: tuple[str, ...] = (
    "base",
    "tuned",
    "task",
    "verdict",
    "ability_items",
    "items_needed",
    *(f"drop_{bound}" for bound in BOUNDS),
    "drop_p_value",
    "transform",
    "signature",
    "best",
    "n_items",
    "excluded_items",
    "fidelity",
    "control_passed",
    "control_reason",
    *(f"accuracy_{cell}{suffix}" for cell in _CELLS for suffix in ("", "_low", "_high")),
    *(f"{name}_{bound}" for name in _TRANSFORM_ESTIMATES for bound in BOUNDS),
    "p_value",
    "p_adjusted",
    "rung",
    "not_tried",
    "looks",
    "look_level",
    "ability_rung",
)
"""Columns of the CSV with one row per ability × transform. Accuracies and their differences are
fractions, log-odds nats; an empty field is a number that was not measured."""

ITEM_COLUMNS: tuple[str, ...] = tuple(ItemOutcome.model_fields)
"""Columns of the long-form items CSV: one row per scored prompt, as in `ItemOutcome`."""


def write_transforms_csv(results: AuditResults, file: IO[str]) -> None:
    """Write one row per ability × transform, under a header of `TRANSFORM_COLUMNS`.

    An ability without transforms has one row whose transform columns are empty. The wrapping of the
    training data, where it was given, has a row like a transform's, named "as-trained".

    Args:
        results: The audit.
        file: Open for writing with ``newline=""``.
    """
    writer = csv.DictWriter(file, TRANSFORM_COLUMNS)
    writer.writeheader()
    writer.writerows(transform_rows(results))


def transform_rows(results: AuditResults) -> list[dict[str, object]]:
    """Return one row per ability × transform; a column that is missing was not measured."""
    return [
        _transform_row(results, ability, transform)
        for ability in results.abilities
        for transform in _cells(ability) or [None]
    ]


def write_items_csv(items: Iterable[ItemOutcome], file: IO[str]) -> None:
    """Write one row per scored prompt, under a header of `ITEM_COLUMNS`, as they come.

    Text is written exactly as it was scored; further log-probabilities are separated by spaces.

    Args:
        items: The records; streamed.
        file: Open for writing with ``newline=""``.
    """
    writer = csv.DictWriter(file, ITEM_COLUMNS)
    writer.writeheader()
    for item in items:
        row = item.model_dump()
        for several in ("other_logprobs", "content_free_logprobs"):
            row[several] = " ".join(map(str, row[several]))
        writer.writerow(row)


def _cells(ability: AbilityResult) -> list[AsTrainedResult | TransformResult]:
    first = [] if ability.as_trained is None else [ability.as_trained]
    return [*first, *ability.transforms]


def _not_tried(ability: AbilityResult) -> list[str]:
    """What would have been evidence and could not be run, with the reason."""
    return [f"{one.name or one.rung}: {one.reason}" for one in ability.not_tried]


def _transform_row(
    results: AuditResults,
    ability: AbilityResult,
    transform: AsTrainedResult | TransformResult | None,
) -> dict[str, object]:
    row: dict[str, object] = {
        "base": results.base,
        "tuned": results.tuned,
        "task": ability.task,
        "verdict": ability.verdict,
        "ability_items": ability.n_items,
        "ability_rung": ability.rung,
        "items_needed": ability.items_needed,
        "drop_p_value": ability.drop_p_value,
        "not_tried": "; ".join(_not_tried(ability)),
        **_looks(ability),
        **bounds("drop", ability.drop),
    }
    # The plain cells also stand beside each transform, on that transform's own items.
    cells = transform or ability
    for cell in _CELLS:
        row[f"accuracy_{cell}"] = getattr(cells.accuracy, cell)
        interval: Estimate | None = getattr(cells.accuracy_intervals, cell)
        row[f"accuracy_{cell}_low"] = interval.low if interval else None
        row[f"accuracy_{cell}_high"] = interval.high if interval else None
    if transform is None:
        return row
    for name in (
        "signature",
        "n_items",
        "excluded_items",
        "fidelity",
        "control_passed",
        "control_reason",
        "p_value",
        "p_adjusted",
        "rung",
    ):
        row[name] = getattr(transform, name, None)
    for name in _TRANSFORM_ESTIMATES:
        row |= bounds(name, getattr(transform, name, None))
    if isinstance(transform, AsTrainedResult):
        return row | {"transform": AS_TRAINED, "n_items": ability.n_items, "best": False}
    row["transform"] = transform.name
    row["best"] = transform.name in chosen(ability)
    return row


def _looks(ability: AbilityResult) -> dict[str, object]:
    """All looks that there would have been, and the level of intervals at the last one."""
    if ability.looks is None:
        return {}
    return {
        "looks": " ".join(map(str, ability.looks.sizes)),
        "look_level": ability.looks.level,
    }


def bounds(name: str, estimate: Estimate | None) -> dict[str, object]:
    """Return an estimate's columns; none where it was not measured, on no item or at all."""
    if estimate is None or not estimate.measured:
        return {}
    return {f"{name}_{bound}": getattr(estimate, bound) for bound in BOUNDS}


_LATEX_SPECIALS = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "%": r"\%",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "`": r"\textasciigrave{}",
        "'": r"\textquotesingle{}",
        "-": "{-}",  # no ligature into a dash
        # After a row's \\ these would be read as its optional argument or its star.
        "[": "{[}",
        "]": "{]}",
        "*": "{*}",
    }
)


def latex_escape(text: str) -> str:
    """Return LaTeX that prints `text` (UTF-8 input, T1 encoding, textcomp) on one line.

    White space of any kind becomes single spaces, and other control characters vanish.
    """
    return one_line(text).translate(_LATEX_SPECIALS)


def latex_tables(results: AuditResults) -> str:
    r"""Return two floating tables: verdicts, and every transform. They need ``booktabs``.

    Args:
        results: The audit.

    Returns:
        LaTeX to ``\input``; the text encoding is UTF-8, the font encoding T1.
    """
    models = (
        f"{latex_escape(results.base)} $\\to$ {latex_escape(results.tuned)}"
        if results.base is not None
        else latex_escape(results.tuned)
    )
    coverage = latex_escape(formatting.level(results))
    verdicts = [
        (
            latex_escape(ability.task),
            f"{ability.verdict} ({ability.rung})" if ability.rung else ability.verdict,
            str(ability.n_items),
            _tex(formatting.percent(ability.accuracy.base_plain)),
            _tex(formatting.percent(ability.accuracy.tuned_plain)),
            _difference(ability.drop),
            latex_escape(best(ability) or formatting.DASH),
            _difference(ability.gain),
            _difference(ability.recovery),
        )
        for ability in results.abilities
    ]
    transforms = [
        (
            latex_escape(ability.task),
            latex_escape(AS_TRAINED if isinstance(transform, AsTrainedResult) else transform.name),
            "--" if isinstance(transform, AsTrainedResult) else formatting.control(transform),
            _tex(formatting.percent(transform.accuracy.base_transformed)),
            _tex(formatting.percent(transform.accuracy.tuned_transformed)),
            _difference(None if isinstance(transform, AsTrainedResult) else transform.control),
            _difference(transform.gain),
            _difference(transform.recovery),
            _tex(formatting.p_value(transform.p_adjusted)),
        )
        for ability in results.abilities
        for transform in _cells(ability)
    ]
    skill = ""
    if results.skill is not None:
        figures = _tex(training.skill_figures(results.skill)).replace("→", r"$\to$")
        skill = f" {latex_escape(results.skill.task)}: {results.skill.verdict} ({figures})."
    lacking = [
        f"{ability.task}, {line}" for ability in results.abilities for line in _not_tried(ability)
    ]
    missing = f" Not tried: {latex_escape('; '.join(lacking))}." if lacking else ""
    if any(ability.looks for ability in results.abilities):
        missing += " $n$: items after which it was decided, or there were no more."
    return "\n".join(
        (
            r"% Needs \usepackage{booktabs} and \usepackage[T1]{fontenc}.",
            *_table(
                "llrrrrlrr",
                "Ability & Verdict & $n$ & Base & Fine-tuned & Drop & Best $s$ & Gain & Recovery",
                verdicts,
                f"{models}. Accuracy on {latex_escape(formatting.plain_prompts(results))} (rate "
                "of success), and differences in "
                f"percentage points with {coverage} intervals; gain and recovery on the "
                f"items that did not choose $s$.{skill}{missing}",
                "tab:dormant-verdicts",
            ),
            "",
            *_table(
                "lllrrrrrr",
                "Ability & $s$ & Control & Base & Fine-tuned & Cost of $s$ & Gain & Recovery & "
                "$p_{\\mathrm{Holm}}$",
                transforms,
                f"{models}. Accuracy under each {kinds(results)} $s$ (rate of success), and "
                f"differences in percentage points with {coverage} intervals.",
                "tab:dormant-transforms",
            ),
            "",
        )
    )


def _table(
    columns: str, head: str, rows: Iterable[tuple[str, ...]], caption: str, label: str
) -> Iterable[str]:
    yield from (
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
    )
    for row in rows:
        yield rf"{' & '.join(row)} \\"
    yield from (r"\bottomrule", r"\end{tabular}", r"\end{table}")


def _difference(estimate: Estimate | None) -> str:
    return _tex(formatting.difference(estimate))


def _tex(numbers: str) -> str:
    """A number of ours, which holds no text of the user's, in LaTeX."""
    return (
        numbers.replace("%", r"\%")
        .replace(formatting.MINUS, "$-$")
        .replace(formatting.DASH, "--")
        .replace("<", "$<$")
        .replace("[", "{[}")
        .replace("]", "{]}")
    )
