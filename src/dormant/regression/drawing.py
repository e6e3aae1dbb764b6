"""How the laboratory's figures look, and how one is kept: the PNG shows what the CSV says.

Colours are Okabe & Ito's, which colour-blind readers can tell apart; line styles differ too.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dormant.files import guarded, write_atomically
from dormant.regression.tables import Row, write_table


class LineStyle(NamedTuple):
    """How a predictor is drawn."""

    label: str
    colour: str
    line: str = "-"
    marker: str = ""


LINE_STYLES: Mapping[str, LineStyle] = {
    "pretrained": LineStyle("pretrained", "#0072B2", "-", "o"),
    "finetuned": LineStyle("fine-tuned", "#D55E00", "-", "s"),
    "conjugated": LineStyle("fine-tuned + s", "#009E73", "-", "D"),
    "ridge": LineStyle("ridge (optimum on D_cont)", "#000000", "--"),
    "discrete": LineStyle("discrete (optimum on D_disc)", "#7F7F7F", ":"),
    "optimum": LineStyle("optimum of pretraining, under s", "#CC79A7", "-."),
}

_STYLE: Mapping[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.dpi": 130,
}


def write_figure(stem: Path, rows: Sequence[Row], draw: Callable[[], Figure]) -> Path:
    """Write a table as CSV and its drawing as PNG; return the image's path."""
    write_table(stem.with_suffix(".csv"), rows)
    with mpl.rc_context(cast("Any", dict(_STYLE))):
        figure = draw()
        image = io.BytesIO()
        figure.savefig(image, format="png", metadata={"Software": None})
    path = stem.with_suffix(".png")
    guarded(path, lambda: write_atomically(path, image.getvalue()))
    return path


def panels(count: int, *, width: float = 4.2, height: float = 3.3) -> tuple[Figure, list[Axes]]:
    """Return a figure of some panels in a row."""
    figure = Figure(figsize=(width * count, height), layout="constrained")
    return figure, list(np.atleast_1d(figure.subplots(1, count)))


def line(
    axes: Axes, style: LineStyle, xs: Sequence[float], rows: Sequence[Row], **options: Any
) -> None:
    """Draw estimates with their intervals as a line and a band."""
    middle, low, high = columns(rows)
    axes.plot(
        xs,
        middle,
        style.line,
        color=style.colour,
        label=style.label,
        marker=style.marker,
        **options,
    )
    axes.fill_between(xs, low, high, color=style.colour, alpha=0.15, linewidth=0)


def columns(rows: Sequence[Row]) -> tuple[NDArray[np.float64], ...]:
    """Return the estimates and the lower and upper ends of their intervals."""
    return tuple(np.array([float(row[key]) for row in rows]) for key in ("estimate", "low", "high"))


def fit_to_estimates(axes: Axes, rows: Sequence[Row]) -> None:
    """Show all estimates from zero up; a band that is wider than the data may run out of sight."""
    axes.set_ylim(0, 1.25 * max(float(row["estimate"]) for row in rows))


def legend_below(axes: Axes) -> None:
    """Put the legend under the axes."""
    axes.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
