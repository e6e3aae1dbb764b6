"""Draw the verdicts of a set as bars: one panel a level of evidence, one bar a truth.

python -m experiments.language.zoo.figure development docs/figures/calibration.png
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from . import calibrate, tables

COLOURS = {
    "retained": "#4c9f70",
    "asked otherwise": "#5b8bd0",
    "suppressed": "#e0a030",
    "lost": "#d9864a",
    "forgotten": "#b5443c",
    "inconclusive": "#c9c9c9",
    "refused": "#777777",
}
ITEMS = 400


def main(kind: str, out: Path) -> None:
    """Read the verdicts of a set, and draw them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = calibrate.read(calibrate.file_of("verdicts", kind))
    levels = list(dict.fromkeys(row["evidence"] for row in rows))
    truths = [truth for truth in tables.RIGHT if any(row["truth"] == truth for row in rows)]
    figure, axes = pyplot.subplots(
        1, len(levels), figsize=(3.2 * len(levels) + 1.6, 0.4 * len(truths) + 1.3), sharey=True
    )
    for axis, level in zip([axes] if len(levels) == 1 else axes, levels, strict=True):
        chosen = tables.of_audit(rows, level, ITEMS)
        for place, truth in enumerate(truths):
            said = Counter(row["verdict"] for row in chosen if row["truth"] == truth)
            left = 0.0
            for verdict, colour in COLOURS.items():
                width = 100 * said[verdict] / max(1, said.total())
                axis.barh(place, width, left=left, color=colour)
                left += width
        axis.set_title(f"--evidence {level}", fontsize=9)
        axis.set_yticks(range(len(truths)), truths)
        axis.set_xlabel("% of models")
        axis.set_xlim(0, 100)
    figure.axes[0].invert_yaxis()
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(handles, COLOURS, ncols=len(COLOURS), loc="lower center", fontsize=7)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
