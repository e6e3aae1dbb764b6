"""The example package, built, installed and used; and packages that are broken."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from dormant import extend, transforms
from dormant.errors import DormantError

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"

USE = """
import sys
sys.path.insert(0, sys.argv[1])
from dormant import transforms
from dormant.prompts.text_transform import outcomes
assert "dotted" in transforms.names()
print(transforms.get("dotted").apply("a b"), transforms.get("dotted:_+rot13").invert("n_o"))
spanish = transforms.get("spanish@glossary")
print(spanish.signature, *outcomes(spanish.apply_batch, ["thank you", "please"]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The example as pip installs it, in a directory of its own."""
    hatchling = pytest.importorskip("hatchling.build", reason="needs hatchling to build a wheel")
    target = tmp_path_factory.mktemp("wheel")
    code = "import os, sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(target)], cwd=EXAMPLE, check=True)
    assert hatchling
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(target.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


def test_a_package_adds_a_transform_and_a_translator(site):
    done = subprocess.run(
        [sys.executable, "-c", USE, str(site)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "a•b a b",
        "spanish@glossary-1 gracias glossary: not in the glossary, in 'please'",
    ]


def test_a_package_that_cannot_be_imported_is_named(monkeypatch):
    broken = EntryPoint("broken", "no_such_module:thing", "dormant.transforms")
    monkeypatch.setattr(extend, "entry_points", lambda group: [broken])
    transforms._one.cache_clear()
    assert "broken" in transforms.names()
    with pytest.raises(
        DormantError, match=r"broken of package .* No module named 'no_such_module'"
    ):
        transforms.get("broken")
