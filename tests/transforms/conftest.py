from __future__ import annotations

import shutil

import pytest

from dormant import transforms
from dormant.transforms.translation import apertium


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test reads or fills the user's cache of translations."""
    monkeypatch.setenv("DORMANT_CACHE", str(tmp_path / "cache"))
    transforms._one.cache_clear()


@pytest.fixture(scope="session")
def installed_apertium():
    if shutil.which("apertium") is None:
        pytest.skip("needs Debian's apertium")
    engine = apertium.Apertium()
    yield engine
    engine.close()


class FakeTranslator:
    """Translates by a function; notes what it is asked."""

    name = "fake"

    def __init__(self, change, release="1"):
        self.change, self.release, self.asked = change, release, []

    def pairs(self):
        return [("en", "es"), ("es", "en")]

    def version(self, source, target):
        return self.release

    def translate(self, texts, source, target):
        self.asked.append(list(texts))
        return [self.change(text) for text in texts]


@pytest.fixture
def fake_translator():
    return FakeTranslator
