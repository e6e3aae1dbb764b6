"""The architecture as README and docs/architecture.md tell it is the code's."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from test_import_rules import FILES, LAYERS, imports, part_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README[README.index("## Architecture") :]
PICTURE = SECTION[SECTION.index("```mermaid") :].split("```")[1]
WALK = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
IMPORTED = {
    part: set[str]().union(*(imports(file) for file in FILES if part_of(file) == part)) - {part}
    for part in {part_of(file) for file in FILES}
}
ARROWS = re.findall(r"^ *(\w+) --> (\w+)$", PICTURE, re.MULTILINE)


def test_the_table_names_every_part():
    table = re.findall(r"^\| (`[^|]+) \|", SECTION, re.MULTILINE)
    named = {
        name.rstrip("/").removesuffix(".py")
        for row in table
        for name in re.findall(r"`([^`]+)`", row)
    }
    assert named == set(IMPORTED) - {"__main__"}


def test_the_picture_has_arrows():
    assert len(ARROWS) > 15


@pytest.mark.parametrize(("used", "user"), ARROWS)
def test_an_arrow_of_the_picture_is_an_import(used, user):
    assert used in IMPORTED[user]


def test_what_the_picture_leaves_out_is_the_ground_floor():
    """Only what everybody may use, and imports that a path of arrows says already, are left out."""
    ground = {part for parts in LAYERS[:3] for part in parts} - {"conjugation"}
    below: dict[str, set[str]] = {
        part: {used for used, user in ARROWS if user == part} for part in IMPORTED
    }

    def reached(part: str) -> set[str]:
        return below[part] | {deeper for nearer in below[part] for deeper in reached(nearer)}

    missing = {
        (used, user)
        for user, all_used in IMPORTED.items()
        for used in all_used - ground - reached(user)
        if user not in ground | {"__main__"}
    }
    assert not missing


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(dormant\.[\w.]+)`", WALK))))
def test_the_walk_names_what_there_is(name):
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[cut:]:
            thing = getattr(thing, attribute)
        return
    pytest.fail(f"{name} is nowhere")
