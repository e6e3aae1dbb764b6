"""Who may import whom (README, architecture), and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "dormant"
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "conjugation", "progress"),
    ("files", "extend", "console"),
    ("rundirs", "results"),
    ("statistics",),
    ("regression",),
    ("prompts",),
    ("translation",),
    ("transforms",),
    ("tasks",),
    ("scoring",),
    ("models",),
    ("audit", "finetuning"),
    ("report",),
    ("audited",),
    ("integrations",),
    ("api",),
    ("cli",),
    ("__main__",),
)
"""Dependencies first: a part may import what stands in the rows above it, and nothing beside it."""
ONLY: dict[str, set[str]] = {
    "statistics": {"errors", "results"},
    "report": {"errors", "results", "statistics"},
    "regression": {
        "errors", "conjugation", "files", "progress", "rundirs", "results", "statistics",
    },
}  # fmt: skip
"""Parts that know less than their row allows."""
ALLOWED: dict[str, set[str]] = {
    part: ONLY.get(part, {other for above in LAYERS[:row] for other in above})
    for row, parts in enumerate(LAYERS)
    for part in parts
}


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
    wrong = imports(file) - {part} - ALLOWED.get(part, set())
    assert not wrong, f"{part} must not import {sorted(wrong)}"


def test_every_part_has_a_rule():
    parts = {part_of(file) for file in FILES}
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
