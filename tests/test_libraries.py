"""Other people's libraries while we use them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from dormant.libraries import import_ahead


def test_importing_ahead_pauses_the_collector_and_no_longer(tmp_path, monkeypatch):
    (tmp_path / "large_library.py").write_text("import gc\nwas = gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    import_ahead("large_library")
    assert sys.modules.pop("large_library").was is False
    assert gc.isenabled()
    with pytest.raises(ModuleNotFoundError):
        import_ahead("no_such_library")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        import_ahead("json")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_an_audit_is_begun_without_what_only_its_verdicts_need():
    code = "import sys, dormant.audit.run; print({'scipy.stats', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


AUDIT = """
import sys
import fakes
from pathlib import Path
from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
chosen = {"tasks": ("icl/plural",), "transforms": ("leetspeak",), "n": 8}
audit(AuditSettings(base="fake:skill=0.9", tuned="fake:skill=0.1", **chosen), Path(sys.argv[1]))
print({"torch", "transformers", "datasets", "pandas"} & {*sys.modules})
"""


def test_an_audit_of_servers_imports_no_pytorch(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", AUDIT, str(tmp_path / "run")],
        capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "set()\n"
