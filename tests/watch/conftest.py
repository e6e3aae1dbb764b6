from __future__ import annotations

import pytest
from begun import SETTINGS

import fakes  # noqa: F401  (registers the backend `fake`)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A finished run; nobody changes it."""
    from dormant.audit.run import audit

    out = tmp_path_factory.mktemp("whole") / "run"
    audit(SETTINGS, out)
    return out
