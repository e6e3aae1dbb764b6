"""Who may import whom (README, architecture), and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "dormant"
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "names", "conjugation", "progress"),
    ("data_package", "files", "extend", "console", "devices", "libraries", "clusters"),
    ("rundirs", "results"),
    ("statistics",),
    ("regression",),
    ("prompts",),
    ("translation",),
    ("transforms",),
    ("tasks",),
    ("scoring",),
    ("models",),
    ("audit", "equivalence", "finetuning"),
    ("evidence", "closeness"),
    ("recovery",),
    ("report",),
    ("audited", "watch"),
    ("integrations",),
    ("api", "doctor"),
    ("cli",),
    ("__main__",),
)
"""Dependencies first: a part may import what stands in the rows above it, and nothing beside it."""
ONLY: dict[str, set[str]] = {
    "statistics": {"errors", "results"},
    "report": {"errors", "files", "results", "statistics"},
    "regression": {
        "clusters", "errors", "conjugation", "devices", "files", "progress", "rundirs", "results",
        "statistics",
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


def modules_imported(file: Path, names: set[str]) -> set[str]:
    """Modules of dormant that a file imports, at any depth of its code."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            # What isn't a module is a name that the package itself defines.
            named |= {name if name in names else node.module for name in inner}
    return named & names


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Return the modules of one circle of imports, in order; none if there is no circle."""
    finished: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in finished:
            return []
        for other in sorted(edges[name]):
            if closed := visit(other, [*path, name]):
                return closed
        finished.add(name)
        return []

    return next((closed for name in edges if (closed := visit(name, []))), [])


def test_a_circle_is_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"a"}}) == ["a", "a"]


def test_no_module_imports_itself_by_way_of_others():
    files = {module_name(file): file for file in ROOT.rglob("*.py")}
    names = set(files)
    edges = {name: modules_imported(file, names) for name, file in files.items()}
    assert circle(edges) == []


@pytest.mark.parametrize(
    "use",
    [
        "dormant.conjugate",
        "dormant.cli.build()(['--help'], standalone_mode=False)",
        "dormant.cli.build()(['check', '--help'], standalone_mode=False)",
    ],
)
def test_importing_dormant_loads_nothing_heavy(use):
    code = (
        "import contextlib, io, sys, dormant, dormant.cli\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    {use}\n"
        "heavy = ('torch', 'transformers', 'lm_eval', 'inspect_ai', 'matplotlib', 'scipy')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LONGEST = 350
"""Lines of a module (CONTRIBUTING)."""


def test_no_module_is_long():
    lines = {file: file.read_text(encoding="utf-8").count("\n") for file in ROOT.rglob("*.py")}
    long = {str(file.relative_to(ROOT)): n for file, n in lines.items() if n > LONGEST}
    assert not long, f"cut by purpose: {long}"


def test_no_two_files_of_tests_have_one_name():
    """Modules are told apart by name alone: of two, one is not collected."""
    names = [file.name for file in Path(__file__).parent.rglob("*.py")]
    assert {name for name in names if names.count(name) > 1} <= {"conftest.py", "__init__.py"}
