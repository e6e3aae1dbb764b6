"""What other programs say of the pairs that Dormant is shown on, each as its README says.

python benchmarks/peers.py CACHE                      # makes environments and models, runs all
python benchmarks/peers.py CACHE --only pyrecall --child sentiment --limit 900

Each peer has a virtual environment of its own below CACHE, of the version named here, which pip
fills the first time. The pairs are the embedded model and three children: the shipped sentiment
adapter, an adapter that changes nothing, and the first one merged. Nothing is downloaded when
models are asked (`HF_HUB_OFFLINE`). CACHE/peers.json holds all answers; what is there is not asked
again. Seconds are of the wall and of the processor: of a busy machine only the latter say much.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measured_on import processor, quiet

ALONE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
"""Without a network; and on one thread: on a busy machine two wait for one another, and seconds of
the processor are spent waiting."""
CHILDREN = ("sentiment", "inert", "merged")
TASKS = ("icl/copy", "icl/plural")
ITEMS = 40
EXAMPLES = 12
"""Of each ability for avr-cl, which reads all of them anew after each step of its repair."""
_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """A program that compares a fine-tuned model with its base.

    Attributes:
        name: On the package index.
        version: The one that is run.
        extras: What its README has one install for models of Transformers.
    """

    name: str
    version: str
    extras: str = ""

    def python(self, cache: Path) -> Path:
        """Return the Python of its environment, which is made if it isn't there."""
        folder = cache / "peers" / f"{self.name}-{self.version}"
        python = folder / "bin" / "python"
        if not (folder / "made").is_file():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            torch = next(
                line
                for line in (_HERE.parent / "constraints.txt").read_text("utf-8").splitlines()
                if line.startswith("torch==")
            )
            # First, or pip's choice of the moment pulls gigabytes for a GPU.
            subprocess.run([*pip, torch], check=True)
            subprocess.run([*pip, torch, f"{self.name}{self.extras}=={self.version}"], check=True)
            (folder / "made").touch()
        return python


PEERS = (
    Peer("modeldiffr", "0.9.3", "[hf]"),
    Peer("avr-cl", "0.1.0"),
    Peer("pyrecall", "0.12.1"),
    Peer("finetunecheck", "2.0.2", "[inference]"),
)


def make_models(folder: Path) -> None:
    """Write the base as safetensors, and its children as trainers save them."""
    if (folder / "merged" / "config.json").is_file():
        return
    from peft import PeftModel

    from dormant.models.load import load_hf
    from dormant.models.spec import parse

    quiet()
    base, tuned = folder / "base", Path(parse("smollm2-sentiment").location)
    model, tokenizer = load_hf("smollm2", dtype="float32", device="cpu")
    _save(model, tokenizer, base)
    for name in ("sentiment", "inert"):
        shutil.copytree(tuned, folder / name, dirs_exist_ok=True)
        config = folder / name / "adapter_config.json"
        settings = json.loads(config.read_text("utf-8"))
        config.write_text(json.dumps({**settings, "base_model_name_or_path": str(base)}), "utf-8")
        for file in _FILES:
            if (base / file).is_file():
                shutil.copy(base / file, folder / name)
    _silence(folder / "inert" / "adapter_model.safetensors")
    tuned_model: Any = PeftModel.from_pretrained(model, folder / "sentiment")
    _save(tuned_model.merge_and_unload(), tokenizer, folder / "merged")


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save in float32; Transformers doesn't save a model that it read from a GGUF file."""
    import torch

    settings = model.config.to_dict()
    settings.pop("quantization_config", None)
    with torch.device("meta"):
        plain = type(model)(type(model.config)(**settings))
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # Transformers 5 writes a class that 4, which FineTuneCheck needs, doesn't know.
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["model_input_names"] = ["input_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


def _silence(file: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    for name in tensors:
        if "lora_B" in name:
            tensors[name] = torch.zeros_like(tensors[name])
    save_file(tensors, file, metadata={"format": "pt"})


def make_data(file: Path) -> None:
    """Write items of the audited abilities as avr-cl takes them: question, answer, short answer."""
    if file.is_file():
        return
    from dormant import tasks

    rows = {}
    for task in tasks.get(list(TASKS)):
        cases = [
            task.case(item, language="english", shots=2, seed=0) for item in task.pool()[:EXAMPLES]
        ]
        rows[task.name] = [
            ["".join(s.text for s in c.segments), c.target.text, c.target.text] for c in cases
        ]
    file.write_text(json.dumps(rows), "utf-8")


def asked(
    words: list[str], folder: Path, limit: float, environment: dict[str, str]
) -> dict[str, Any]:
    """Run a program for at most `limit` seconds; say how it ended and how long it took."""
    folder.mkdir(parents=True, exist_ok=True)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        process = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=out, stderr=err, start_new_session=True
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    row = {
        "seconds": round(seconds),
        "processor_seconds": round(used.ru_utime + used.ru_stime - spent.ru_utime - spent.ru_stime),
        "exit": code,
    }
    if code is None:
        row["ended"] = f"stopped after {limit:.0f} s"
    elif code:
        lines = (folder / "stderr").read_text("utf-8").strip().splitlines()
        row["ended"] = f"exit code {code}: {lines[-1][:300] if lines else ''}"
    else:
        row["ended"] = "finished"
    return row


def of_peer(peer: Peer, child: str, cache: Path, limit: float) -> dict[str, Any]:
    """Ask a peer about one child."""
    python, models = peer.python(cache), cache / "models"
    folder = cache / "answers" / peer.name
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        **ALONE,
        "HF_HOME": str(cache / "hub"),
        "HOME": str(folder / "home"),
    }
    if peer.name == "modeldiffr":
        pair = [str(models / "base"), str(models / child)]
        report = folder / child / "report"
        words = [str(python), "-m", "modeldiffr", "audit", *pair, "--out", str(report)]
        words += ["--device", "cpu"]
        read: Callable[[], Any] = lambda: _of_modeldiffr(report / "report.json")  # noqa: E731
    else:
        arguments = [peer.name, models / "base", models / child, cache / "data.json", folder]
        words = [str(python), str(_HERE / "peer_worker.py"), *map(str, arguments)]
        read = lambda: json.loads(  # noqa: E731
            (folder / child / "stdout").read_text("utf-8").strip().splitlines()[-1]
        )
    row = asked(words, folder / child, limit, environment)
    return {**row, "said": read() if row["ended"] == "finished" else None}


def _of_modeldiffr(file: Path) -> dict[str, Any]:
    report = json.loads(file.read_text("utf-8"))
    weights = report.get("weights_diff") or {}
    return {
        "metrics": {
            one["name"]: {
                key: one[key]
                for key in ("base_mean", "derivative_mean", "delta", "ci_low", "ci_high")
            }
            | {"changed": bool(one["significant"] and not one.get("negligible"))}
            for one in report["metrics"]
        },
        "tensors_changed": weights.get("changed_count"),
        "issues": [one["message"] for one in report["comparability"]["issues"]],
        "verdict": report["verdict"],
    }


def of_dormant(child: str, cache: Path, limit: float) -> dict[str, Any]:
    """Ask Dormant the same, in an environment that has it: the one that runs this."""
    models, folder = cache / "models", cache / "answers" / "dormant" / child
    words = [sys.executable, "-m", "dormant", "audit", str(models / "base"), str(models / child)]
    words += ["--task", ",".join(TASKS), "--transform", "french,leetspeak", "-n", str(ITEMS)]
    words += ["--evidence", "prompt", "--quiet", "--json", "--out", str(folder / "run")]
    row = asked(words, folder, limit, {**os.environ, **ALONE})
    said = None
    if row["ended"] == "finished":
        found = json.loads((folder / "stdout").read_text("utf-8"))
        said = {
            one["task"]: {"verdict": one["verdict"], "reason": one.get("reason")}
            for one in found["abilities"]
        }
    return {**row, "said": said}


def told(row: dict[str, Any]) -> str:
    """Say in a line what a program said, or how it ended."""
    said = row["said"]
    if said is None:
        return row["ended"]
    if row["peer"] == "dormant":
        return "; ".join(f"{task}: {one['verdict']}" for task, one in said.items())
    if row["peer"] == "modeldiffr":
        changed = [name for name, one in said["metrics"].items() if one["changed"]]
        same = [name for name, one in said["metrics"].items() if not one["changed"]]
        return (
            f"{said['tensors_changed']} tensors changed; changed: {', '.join(changed) or 'none'}; "
            f"within noise: {', '.join(same) or 'none'}"
        )
    if row["peer"] == "finetunecheck":
        scores = "; ".join(f"{name} {a:.2g} → {b:.2g}" for name, (a, b) in said["scores"].items())
        return f"{said['verdict']}, pattern {said['pattern']}; {scores}"
    if row["peer"] == "pyrecall":
        lost = ", ".join(f"{name} {said['change'][name]:+}" for name in said["forgotten"])
        grades = Counter(grade for grade in said["severity"].values() if grade != "OK")
        size = "".join(f"; effect {grade} in {n}" for grade, n in grades.items())
        return (f"forgotten: {lost}" if lost else "healthy: no skill past its threshold") + size
    drift = ", ".join(f"{name} × {ratio}" for name, ratio in said["drift"].items())
    left = ", ".join(f"{name} × {ratio}" for name, ratio in said["drift_left"].items())
    if not drift:
        return "no drift"
    if not said["tensors_repaired"]:
        return f"drift: {drift}; no LoRA layers, which its repair is for"
    return f"drift: {drift}; after {said['repair_steps']} steps of repair: {left or 'none'}"


def table(rows: list[dict[str, Any]]) -> str:
    """Return all answers as the table of docs/peers.md."""
    lines = ["| child | package | said | seconds | of the processor |", "|---|---|---|---|---|"]
    order = ("dormant", *(peer.name for peer in PEERS))
    for row in sorted(rows, key=lambda r: (CHILDREN.index(r["child"]), order.index(r["peer"]))):
        text = told(row).replace("|", "\\|")
        cells = (row["child"], row["peer"], text, row["seconds"], row["processor_seconds"])
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    names = ("dormant", *(peer.name for peer in PEERS))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cache", type=Path, help="folder for environments, models and answers")
    parser.add_argument("--only", choices=names, action="append", help="ask these alone")
    parser.add_argument("--child", choices=CHILDREN, action="append", help="about these alone")
    parser.add_argument("--limit", type=float, default=1800, help="seconds for one answer")
    given = parser.parse_args()
    cache = given.cache.resolve()
    (cache / "models").mkdir(parents=True, exist_ok=True)
    make_models(cache / "models")
    make_data(cache / "data.json")
    by_name = {peer.name: peer for peer in PEERS}
    for child in given.child or CHILDREN:
        for name in given.only or names:
            file = cache / "answers" / f"{name}-{child}.json"
            if file.is_file():
                continue
            if name == "dormant":
                row = of_dormant(child, cache, given.limit)
            else:
                row = of_peer(by_name[name], child, cache, given.limit)
            row["ended"] = row["ended"].replace(str(cache), "CACHE")
            row |= {"peer": name, "child": child, "processor": processor()}
            row["load"] = [round(load, 1) for load in os.getloadavg()]
            file.write_text(json.dumps(row, indent=1), "utf-8")
            used = f"{row['seconds']} s ({row['processor_seconds']} s of the processor)"
            print(f"{name} on {child}: {row['ended']}, {used}", flush=True)
    rows = [json.loads(file.read_text("utf-8")) for file in (cache / "answers").glob("*.json")]
    (cache / "peers.json").write_text(json.dumps(rows, indent=1), "utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
