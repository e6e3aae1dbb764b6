"""How a Ray cluster is joined; real ones are in tests/audit/test_ray_cluster.py."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from dormant.clusters import joined


@pytest.fixture
def mode(monkeypatch, tmp_path):
    """Join a cluster, and say by which mode of authentication."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        # Set first, so that what joining sets is undone as well.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))

    def join(**env: str) -> str | None:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        with joined():
            return os.environ.get("RAY_AUTH_MODE")

    return join


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({}, None),
        ({"RAY_AUTH_TOKEN": "x"}, None),
        ({"RAY_ADDRESS": "10.0.0.1:6379"}, None),
        ({"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_TOKEN": "x"}, "token"),
        ({"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_TOKEN_PATH": __file__}, "token"),
        ({"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_TOKEN_PATH": "nowhere"}, None),
        (
            {"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_TOKEN": "x", "RAY_AUTH_MODE": "disabled"},
            "disabled",
        ),
    ],
)
def test_a_cluster_is_joined_with_the_token_that_is_there(mode, env, wanted):
    assert mode(**env) == wanted


def test_the_token_of_ray_s_own_folder(mode, tmp_path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("x")
    assert mode(RAY_ADDRESS="10.0.0.1:6379") == "token"
