"""Label a run's kept generations anew, by the present classifier, in a copy of the run.

dormant audit BASE TUNED --task refusal --keep-generations --out runs/refusal
python experiments/language/relabel.py runs/refusal runs/refusal-relabelled
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

from dormant import tasks
from dormant.audit.plan import plan
from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.tasks.task import GenerativeTask, judge_all


def main(run: Path, out: Path) -> None:
    """Copy, label anew, judge the copy, and count what changed."""
    shutil.copytree(run, out)
    manifest = json.loads((out / "run.json").read_text(encoding="utf-8"))
    chosen = {k: v for k, v in manifest["settings"].items() if k in AuditSettings.model_fields}
    settings = AuditSettings.model_validate(chosen)
    changed: Counter[tuple[str | None, str]] = Counter()
    plans = {}
    for task in tasks.get(settings.tasks):
        if not isinstance(task, GenerativeTask):
            continue
        plans[task.name] = (task, plan(task, settings).cells)
        manifest["settings"]["task_versions"][task.name] = task.version
    for file in sorted((out / "cells").rglob("*.jsonl")):
        records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for name, (task, cells) in plans.items():
            kept = [r for r in records if r["task"] == name and r["output"] is not None]
            cases = [cells[record["transform"]].cases[record["item"]] for record in kept]
            judgements = judge_all(task, cases, [record["output"] for record in kept])
            for record, judgement in zip(kept, judgements, strict=True):
                changed[record["label"], judgement.label] += 1
                record["label"] = judgement.label
                record["correct"] = record["target_greedy"] = judgement.success
                record["familiar"] = judgement.familiar
        lines = [json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in records]
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (out / "run.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    audit(settings, out)  # nothing is left to generate; it only judges
    for (before, after), count in sorted(changed.items(), key=str):
        print(f"{before} → {after}: {count}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
