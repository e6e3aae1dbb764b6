from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import fakes  # noqa: F401  (registers the backend `fake`)


@dataclass
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def dormant(monkeypatch, capsys, tmp_path):
    """Run the command line in this process, from an empty directory."""
    from dormant import cli

    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["dormant", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run
