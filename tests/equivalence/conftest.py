from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def quick_collections():
    """Leave what other tests hold out of the collections that follow each model: a second each."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
