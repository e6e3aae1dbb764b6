"""Who may import whom (README, architecture), and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "dormant"
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "conjugation": set(),
    "files": {"errors"},
    "progress": set(),
    "bars": {"progress"},
    "rundirs": {"errors", "files"},
    "results": {"errors"},
    "extend": {"errors", "conjugation", "transforms"},
    "transforms": {"errors", "conjugation", "extend"},
    "uncertainty": {"errors", "results"},
    "verdicts": {"errors", "results", "uncertainty"},
    "report": {"errors", "results", "uncertainty", "verdicts"},
    "regression": {
        "errors", "conjugation", "files", "progress", "rundirs", "transforms", "results",
        "uncertainty", "extend",
    },
    "language": {
        "errors", "conjugation", "files", "progress", "rundirs", "transforms", "results",
        "uncertainty", "verdicts", "extend",
    },
    "posthoc": {"errors", "results", "verdicts"},
    "interventions": {"errors", "language", "results"},
    "audited": {"errors", "language", "report", "results"},
    "api": {
        "audited", "bars", "conjugation", "errors", "language", "progress", "transforms",
    },
}  # fmt: skip
FREE = {"cli", "adapters", "__main__"}
"""These may import anything, and nothing else imports them."""


def imports(file: Path) -> set[str]:
    """First-level parts of dormant that a file imports, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "dormant":
                names = [f"dormant.{alias.name}" for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("dormant.")}
    return found


def part_of(file: Path) -> str:
    inside = file.relative_to(ROOT)
    return inside.parts[0].removesuffix(".py")


FILES = sorted(f for f in ROOT.rglob("*.py") if f.parent != ROOT or f.name != "__init__.py")


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_point_one_way(file):
    part = part_of(file)
    if part in FREE:
        return
    wrong = imports(file) - {part} - ALLOWED.get(part, set())
    assert not wrong, f"{part} must not import {sorted(wrong)}"


def test_every_part_has_a_rule():
    parts = {part_of(file) for file in FILES} - FREE
    assert parts <= set(ALLOWED), f"say in ALLOWED what {sorted(parts - set(ALLOWED))} may import"


@pytest.mark.parametrize(
    "use", ["dormant.conjugate", "dormant.cli.build()(['--help'], standalone_mode=False)"]
)
def test_importing_dormant_loads_nothing_heavy(use):
    code = (
        "import contextlib, io, sys, dormant, dormant.cli\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    {use}\n"
        "heavy = ('torch', 'transformers', 'lm_eval', 'inspect_ai', 'matplotlib')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
