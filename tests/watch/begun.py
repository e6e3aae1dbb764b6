"""Run directories as an audit leaves them on its way, made of a finished one."""

from __future__ import annotations

import shutil
from pathlib import Path

from dormant.audit.settings import AuditSettings

BASE, LOST = "fake:skill=0.9", "fake:skill=0.1"
SETTINGS = AuditSettings(
    base=BASE, tuned=LOST, tasks=("icl/plural",), transforms=("french",), n=40, checkpoint_every=16,
    evidence="prompt",
)  # fmt: skip


class Begun:
    """A run of which some records are there.

    Args:
        whole: A finished run.
        path: Where to make it; its settings and its plan are there at once.
    """

    def __init__(self, whole: Path, path: Path) -> None:
        self.whole, self.path = whole, path
        path.mkdir(parents=True)
        for name in ("run.json", "plan.json", ".lock"):
            shutil.copy(whole / name, path / name)

    def cell(self, model: str, transform: str) -> Path:
        """The file of a cell."""
        (file,) = self.whole.glob(f"cells/*/{transform}.{model}.jsonl")
        return self.path / file.relative_to(self.whole)

    def lines(self, model: str, transform: str) -> list[str]:
        """All lines that a cell will have."""
        file = self.cell(model, transform).relative_to(self.path)
        return (self.whole / file).read_text(encoding="utf-8").splitlines(keepends=True)

    def fill(self, model: str, transform: str, upto: int) -> None:
        """Have a cell's first records."""
        file = self.cell(model, transform)
        file.parent.mkdir(parents=True, exist_ok=True)
        done = file.read_text(encoding="utf-8").count("\n") if file.exists() else 0
        with file.open("a", encoding="utf-8") as stream:
            stream.writelines(self.lines(model, transform)[done:upto])

    def finish(self) -> None:
        """Have all records, and then the results."""
        for model in ("base", "tuned"):
            for transform in ("plain", "french"):
                self.fill(model, transform, 40)
        shutil.copyfile(self.whole / "results.json", self.path / "results.json")
