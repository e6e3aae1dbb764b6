"""Scripts that no quick test runs import what is there: examples, experiments and benchmarks."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("examples", "experiments", "benchmarks")


def imported(file: Path) -> list[tuple[str, str]]:
    """Return what a script imports from Dormant, as (module, name)."""
    return [
        (node.module, one.name)
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.level == 0
        and (node.module or "").split(".")[0] == "dormant"
        for one in node.names
    ]


def there(module: str, name: str) -> bool:
    """Say whether a name is in a module, or is a module in it."""
    found = importlib.import_module(module)
    if hasattr(found, name):
        return True
    return hasattr(found, "__path__") and importlib.util.find_spec(f"{module}.{name}") is not None


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_scripts_import_is_there(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    wanted = [(file, *one) for file in files for one in imported(file)]
    assert wanted
    missing = [
        f"{file.relative_to(ROOT)}: from {module} import {name}"
        for file, module, name in wanted
        if not there(module, name)
    ]
    assert not missing


def test_a_name_that_is_not_there_is_found_out():
    assert there("dormant.tasks.demonstrations", "draw_demonstrations")
    assert there("dormant.tasks", "demonstrations")
    assert not there("dormant.tasks.task", "draw_demonstrations")
