"""The model's own g: what a fit says of predictors whose g is known."""

import numpy as np
import pytest
import torch

from dormant.errors import DormantError
from dormant.regression.inference import exact, explained, fitted, parts
from dormant.regression.streams import stream


@pytest.fixture
def prompts(mixed):
    return mixed.sample(300, 6, stream(0, "prompts"))


def test_the_optimums_fit_is_the_exact_g(mixed, prompts):
    found = parts(mixed, mixed, prompts)
    assert fitted([found]).estimate == pytest.approx(exact([found]).estimate, abs=1e-5)
    # The same inside bins of the exact g, where the weighted mean must lie in the bin.
    for low in (0.0, 0.25, 0.5, 0.75):
        inside = (found.exact >= low) & (found.exact < low + 0.25)
        own, best = fitted([found], [inside]), exact([found], [inside])
        assert own.estimate == pytest.approx(best.estimate, abs=1e-5)
        assert low <= best.estimate <= low + 0.25


def test_each_component_has_the_g_that_it_must(mixed, prompts):
    disc, cont = mixed.components
    assert fitted([parts(mixed, disc, prompts)]).estimate == pytest.approx(1, abs=1e-5)
    assert fitted([parts(mixed, cont, prompts)]).estimate == pytest.approx(0, abs=1e-5)
    assert explained(parts(mixed, disc, prompts)) == pytest.approx(1, abs=1e-5)


def test_noise_lies_off_the_line(mixed, prompts):
    noise = torch.randn(prompts.ys.shape, generator=stream(1, "noise")) * 10
    assert explained(parts(mixed, lambda p: mixed(p) + noise, prompts)) < 0.1


def test_several_seeds_are_averaged(mixed):
    seeds = [parts(mixed, mixed, mixed.sample(100, 6, stream(s, "prompts"))) for s in range(3)]
    own = fitted(seeds)
    assert own.method == "student-t over 3 seeds"
    assert own.estimate == pytest.approx(np.mean([fitted([one]).estimate for one in seeds]))


def test_g_needs_a_mixture(mixed, prompts):
    with pytest.raises(DormantError, match="two components"):
        parts(mixed.components[0], mixed, prompts)
