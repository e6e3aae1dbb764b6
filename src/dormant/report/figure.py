"""The figure of an audit: accuracy in every cell, with intervals; as the HTML report draws it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dormant.report import formatting
from dormant.report.cells import chosen
from dormant.results import AbilityResult, AuditResults, CellEstimates, Cells, Estimate, Verdict

# Those of the HTML report on white paper (page.css).
_BASE, _TUNED, _QUIET, _RULE = "#77736a", "#2856a3", "#635f57", "#e3dfd6"
_VERDICTS: dict[Verdict, str] = {
    "retained": "#1c6b50",
    "asked otherwise": "#6b3fa0",
    "suppressed": "#8a5800",
    "lost": "#94430f",
    "forgotten": "#a62f1d",
    "inconclusive": "#5a5f6b",
}
_ROW = 0.42  # inches
_APART = 0.17  # rows: base above, fine-tuned below
_STYLE: dict[Any, Any] = {"font.size": 9.5, "axes.titlesize": 10.5}


class Picture(Figure):
    """A figure that notebooks show without being told to, whether pyplot is in use or not."""

    def _repr_png_(self) -> bytes:
        with io.BytesIO() as file:
            self.savefig(file, format="png")
            return file.getvalue()


def draw(results: AuditResults, abilities: Sequence[AbilityResult]) -> Picture:
    """Draw abilities below one another: a row for plain prompts, and one for each other cell.

    Hollow circles are the base model, filled ones the fine-tuned; lines are the intervals.

    Args:
        results: The audit, for the models' names.
        abilities: Those to draw.

    Returns:
        A figure that belongs to no window: a notebook shows it, ``savefig`` writes it.
    """
    rows = [1 + len(ability.transforms) + (ability.as_trained is not None) for ability in abilities]
    with mpl.rc_context(_STYLE):
        heights = [_ROW * count + 0.55 for count in rows]
        figure = Picture(figsize=(6.6, sum(heights) + 0.75), dpi=110, layout="constrained")
        axes = figure.subplots(
            len(abilities), 1, squeeze=False, sharex=True, height_ratios=heights
        )[:, 0]
        for ability, area in zip(abilities, axes, strict=True):
            _ability(area, ability)
        axes[-1].set_xlabel(f"accuracy, with {formatting.level(results)} intervals")
        marks = [
            Line2D([], [], color=_TUNED, marker="o", label=results.tuned),
        ]
        if results.base is not None:
            marks.insert(
                0, Line2D([], [], color=_BASE, marker="o", markerfacecolor="w", label=results.base)
            )
        figure.legend(
            handles=marks, loc="outside upper left", ncols=2, frameon=False, borderaxespad=0
        )
    return figure


def _ability(area: Axes, ability: AbilityResult) -> None:
    verdict = f"{ability.task}: {ability.verdict}"
    area.set_title(verdict, loc="left", color=_VERDICTS[ability.verdict], fontweight="bold")
    labels = ["plain"]
    transformed = ("base_transformed", "tuned_transformed")
    _row(area, 0, ability.accuracy, ability.accuracy_intervals, ("base_plain", "tuned_plain"), 1)
    if (cell := ability.as_trained) is not None:
        labels.append("as trained")
        _row(area, 1, cell.accuracy, cell.accuracy_intervals, transformed, 1)
    for place, transform in enumerate(ability.transforms, start=len(labels)):
        failed = formatting.control(transform) == "failed"
        best = " (best)" if transform.name in chosen(ability) else ""
        labels.append(f"{transform.name}{' (control failed)' if failed else best}")
        _row(
            area,
            place,
            transform.accuracy,
            transform.accuracy_intervals,
            transformed,
            0.35 if failed else 1,
        )
    area.set_yticks(range(len(labels)), labels)
    area.set_ylim(len(labels) - 0.5, -0.5)
    area.set_xlim(-0.02, 1.02)
    area.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    area.tick_params(length=0, colors=_QUIET)
    area.grid(axis="x", color=_RULE)
    area.set_axisbelow(True)
    for side in area.spines.values():
        side.set_visible(False)


def _row(
    area: Axes,
    place: int,
    accuracy: Cells,
    intervals: CellEstimates,
    cells: tuple[str, str],
    alpha: float,
) -> None:
    looks = ((-_APART, _BASE, "white"), (_APART, _TUNED, _TUNED))
    for cell, (shift, colour, inside) in zip(cells, looks, strict=True):
        value: float | None = getattr(accuracy, cell)
        interval: Estimate | None = getattr(intervals, cell)
        if value is None:
            continue
        if interval is not None:
            area.hlines(
                place + shift, interval.low, interval.high, color=colour, lw=1.8, alpha=alpha
            )
        area.plot(
            value, place + shift, "o", color=colour, markerfacecolor=inside, ms=6.5, alpha=alpha
        )
