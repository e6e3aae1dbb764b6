"""What is saved: the weights of the candidate that was taken, and a model card that tells all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dormant.files import guarded, write_atomically
from dormant.models.fingerprint import loaded_files
from dormant.models.pair import ModelPair
from dormant.models.spec import ModelSpec
from dormant.recovery.treatment import Change
from dormant.results import Estimate
from dormant.results.recovery import AbilityChange, RecoveryResults, SkillChange

CARD = "README.md"


def save(
    weights: Path, change: Change, results: RecoveryResults, pair: ModelPair, out: Path
) -> None:
    """Copy a candidate's weights to where the user wants them, with a model card.

    Args:
        weights: The candidate's directory.
        change: What was done.
        results: What it did.
        pair: The models that it was made of.
        out: Where; the recovery's own directory in it stays.

    Raises:
        DormantError: There is no room, or it can't be written.
    """

    def write() -> None:
        # An earlier choice's files are no part of this one.
        for file in loaded_files(out, "").values():
            if file.parent == out:
                file.unlink()
        for file in sorted(weights.iterdir()):
            if file.is_file() and file.name != "done":
                shutil.copyfile(file, out / file.name)
        write_atomically(out / CARD, card(change, results, pair, out))

    guarded(out, write)


def card(change: Change, results: RecoveryResults, pair: ModelPair, out: Path) -> str:
    """Write the model card.

    Args:
        change: What was done.
        results: What it did.
        pair: The models that it was made of.
        out: Where it is saved.
    """
    adapter = (out / "adapter_config.json").is_file()
    return "\n".join([*_header(adapter, results), *_body(change, results, pair, out), ""])


def _header(adapter: bool, results: RecoveryResults) -> Iterator[str]:
    yield "---"
    yield f"library_name: {'peft' if adapter else 'transformers'}"
    base = results.base if adapter and results.base else results.tuned
    yield f"base_model: {json.dumps(base)}"
    yield "tags: [dormant, recovered]"
    yield "---"
    yield ""


def _body(change: Change, results: RecoveryResults, pair: ModelPair, out: Path) -> Iterator[str]:
    named = [one for one in results.abilities if one.named]
    tasks = ", ".join(one.task for one in named)
    yield f"# {results.tuned}, with {tasks} given back"
    yield ""
    yield (
        f"Made by `dormant recover` {results.versions.get('dormant', '')} from the files below. "
        f"{_done(change, results)}"
    )
    yield ""
    yield "## What it did"
    yield ""
    yield (
        "On items that nothing trained and nothing chose; in per cent, with 95 % intervals."
        if results.skill is None or results.skill.measure == "accuracy"
        else "On items that nothing trained and nothing chose, with 95 % intervals: abilities in "
        "per cent, the skill in nats a character."
    )
    yield ""
    yield "| | items | base | fine-tuned | recovered | of the loss came back | verdict |"
    yield "|---|---|---|---|---|---|---|"
    for one in results.abilities:
        yield _ability(one)
    if results.skill is not None:
        yield _skill(results.skill)
    yield ""
    yield f"Why this one: {results.reason}"
    yield ""
    yield "## Of which files"
    yield ""
    yield "| | name | fingerprint |"
    yield "|---|---|---|"
    for which, text in (("base", results.base), ("fine-tuned", results.tuned)):
        if text is not None:
            known = results.models.get("base" if which == "base" else "tuned")
            yield f"| {which} | `{text}` | `{known}` |"
    settings = results.settings
    yield f"| skill, held out | `{settings.get('skill')}` | |"
    if settings.get("skill_train"):
        yield f"| skill, replayed | `{settings['skill_train']}` | |"
    yield ""
    yield "## How to undo it"
    yield ""
    yield f"Load `{results.tuned}` as before: nothing in it was changed."
    if change.training is None and len(set(change.factors)) == 1:
        yield ""
        yield from _same_elsewhere(change.factors[0], pair, results, out)
    yield ""
    if results.base is not None:
        yield "## Check it"
        yield ""
        yield "```"
        yield results.check(out)
        yield "```"


def _done(change: Change, results: RecoveryResults) -> str:
    """Say what was done, in a sentence or two."""
    taken = next(one for one in results.candidates if one.key == results.chosen)
    factors = [f"{factor:g}" for factor in change.factors]
    parts: list[str] = []
    if change.factors != (1.0,):
        where = (
            f"by λ = {factors[0]}"
            if len(factors) == 1
            else f"by λ = {', '.join(factors)} in as many equal parts of its layers, first to last"
        )
        parts.append(f"Treatment {taken.treatment}: the update of fine-tuning was scaled {where}.")
    if change.training is not None:
        how = change.training.settings
        settings = "; ".join(f"{name} {value}" for name, value in change.settings.items())
        parts.append(
            f"Treatment {taken.treatment}: {how.steps} LoRA steps (rank {how.rank}, rate "
            f"{how.learning_rate:g}, seed {how.seed}) on {len(change.training.examples)} examples, "
            f"{len(change.training.replay)} of the skill replayed ({settings})."
        )
    return " ".join(parts)


def _same_elsewhere(
    factor: float, pair: ModelPair, results: RecoveryResults, out: Path
) -> Iterator[str]:
    """Tell how other programs do the same, for one λ."""
    base, tuned = results.base, results.tuned
    yield f"## The same elsewhere: λ = {factor:g}"
    yield ""
    is_adapter = isinstance(pair.tuned, ModelSpec) and pair.tuned.kind == "adapter"
    if is_adapter:
        yield "```python"
        yield "# PEFT: at load time, over the adapter as it was"
        yield f"model = PeftModel.from_pretrained(base, {tuned!r})"
        yield "for module in model.modules():"
        yield "    if hasattr(module, 'lora_A'):"
        yield f"        module.scale_layer({factor:g})"
        yield "```"
        yield ""
        yield "```"
        yield "# vLLM: serve the adapter saved here"
        yield f"vllm serve {base} --enable-lora{_rank(out)} --lora-modules recovered={out}"
        yield "# llama.cpp: the adapter as it was, as GGUF"
        yield f"llama-server -m BASE.gguf --lora-scaled ADAPTER.gguf:{factor:g}"
        yield "```"
        return
    yield "```yaml"
    yield "# mergekit: linear, the rest of the weight on the base"
    yield "merge_method: linear"
    yield "models:"
    yield f"  - model: {tuned}\n    parameters: {{weight: {factor:g}}}"
    yield f"  - model: {base}\n    parameters: {{weight: {1 - factor:g}}}"
    yield "```"
    yield ""
    yield "vLLM and llama.cpp load what is saved here as they loaded the fine-tuned model."


def _rank(out: Path) -> str:
    """Return vLLM's flag for an adapter of more than the 16 ranks that it makes room for."""
    config = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))
    rank = max([config["r"], *config.get("rank_pattern", {}).values()])
    return f" --max-lora-rank {1 << (rank - 1).bit_length()}" if rank > 16 else ""


def _ability(one: AbilityChange) -> str:
    name = one.task if one.named else f"{one.task} (not trained)"
    cells = [_percent(one.base), _percent(one.tuned), _percent(one.recovered)]
    verdict = one.verdict or "–"
    if one.exceeds == "yes":
        verdict += ", further loss"
    return (
        f"| {name} | {one.n_items} | {' | '.join(cells)} | {_percent(one.returned)} | {verdict} |"
    )


def _skill(one: SkillChange) -> str:
    show = _percent if one.measure == "accuracy" else _nats
    cells = [show(one.base), show(one.tuned), show(one.recovered)]
    said: Mapping[Any, str] = {
        "no": "kept",
        "yes": "lost beyond the margin",
        "undecided": "too few items to say that it is kept",
        None: "–",
    }
    loss = "" if one.loss is None else f"loss {show(one.loss)}: "
    return (
        f"| the skill ({one.task}) | {one.n_items} | {' | '.join(cells)} | – | "
        f"{loss}{said[one.exceeds]} |"
    )


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{100 * estimate.estimate:.0f} ({100 * estimate.low:.0f} to {100 * estimate.high:.0f})"


def _nats(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{estimate.estimate:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
