"""One peer's answer about one pair, computed in the peer's own environment.

python peer_worker.py PEER BASE CHILD DATA FOLDER   # prints one line of JSON last

Each function does what the peer's README shows, by the public names that it shows; Dormant isn't
installed here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def finetunecheck(base: str, child: str, data: Path, folder: Path) -> dict[str, Any]:
    """Its quick evaluation, which needs no judge."""
    from finetunecheck.config import QuickConfig
    from finetunecheck.eval.runner import EvalRunner

    del data, folder
    config = QuickConfig(base_model=base, finetuned_model=child, device="cpu")
    found = EvalRunner(config).run()
    scores = {
        name: [getattr(one, "mean_score", None) for one in (before, found.ft_scores[name])]
        for name, before in found.base_scores.items()
    }
    pattern = found.forgetting.pattern.value if found.forgetting else None
    return {"verdict": found.verdict.value, "pattern": pattern, "scores": scores}


def pyrecall(base: str, child: str, data: Path, folder: Path) -> dict[str, Any]:
    """A snapshot of each, compared; the child was trained elsewhere, so each is loaded."""
    from pyrecall import Model
    from pyrecall.detector import ForgettingDetector
    from pyrecall.snapshot import SkillSnapshot

    del data
    kept = folder / "base"

    def snapshot(model: str, name: str) -> Any:
        loaded = Model(model, device="cpu", snapshot_dir=folder / "snapshots")
        return loaded.snapshot(name, dry_run=True, benchmark_mode="fast")

    if kept.is_dir():  # the base is scored once
        before = SkillSnapshot.load(kept)
    else:
        before = snapshot(base, "before")
        before.save(kept)
    report = ForgettingDetector(threshold=0.10).compare(before, snapshot(child, "after"))
    drops = {one.category: round(one.delta, 3) for one in report.comparisons}
    return {
        "healthy": report.is_healthy,
        "forgotten": report.degraded_skills,
        "change": drops,
        "severity": report.severity,
    }


def avr(base: str, child: str, data: Path, folder: Path) -> dict[str, Any]:
    """Verify: perplexity on earlier tasks' examples; repair: LoRA weights back towards before."""
    import avr as peer
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    del folder
    tasks = {name: {"train": rows} for name, rows in json.loads(data.read_text("utf-8")).items()}
    names = list(tasks)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)

    def perplexities() -> dict[str, float]:
        return peer.eval_ppls(model, tokenizer, tasks, names, len(names), device="cpu")

    best = perplexities()
    if (Path(child) / "adapter_config.json").is_file():
        model = PeftModel.from_pretrained(model, child)
        # Where training began: B of a LoRA layer is zero.
        before = {
            name: torch.zeros_like(value) if "lora_B" in name else value
            for name, value in peer.get_lora_state(model).items()
        }
    else:
        model = AutoModelForCausalLM.from_pretrained(child, dtype=torch.float32)
        before = {}
    now = perplexities()
    drift = first = peer.check_drift(now, best, names, threshold=1.15)
    steps = touched = 0
    while drift and steps < 10:
        with torch.no_grad():
            touched = peer.repair(model, before, alpha=0.1, device="cpu")
        if not touched:
            break
        steps += 1
        drift = peer.check_drift(perplexities(), best, names, threshold=1.15)
    return {
        "perplexity": {name: [round(best[name], 2), round(now[name], 2)] for name in names},
        "drift": {name: round(one["ratio"], 2) for name, one in first.items()},
        "repair_steps": steps,
        "tensors_repaired": touched,
        "drift_left": {name: round(one["ratio"], 2) for name, one in drift.items()},
    }


def main() -> None:
    name, base, child, data, folder = sys.argv[1:]
    workers = {"finetunecheck": finetunecheck, "pyrecall": pyrecall, "avr-cl": avr}
    print(json.dumps(workers[name](base, child, Path(data), Path(folder))))


if __name__ == "__main__":
    main()
