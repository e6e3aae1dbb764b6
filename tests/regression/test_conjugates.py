"""The laws of conjugation, on exact predictors (paper §2.4)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dormant import Compose, Identity, conjugate
from dormant.errors import DormantError
from dormant.regression.baselines import NearestNeighbours, Ridge
from dormant.regression.conjugates import adaptive, averaged, rotations, transform_set
from dormant.regression.functions import Linear
from dormant.regression.priors import Discrete, Gaussian
from dormant.regression.rotate import Rotate
from dormant.regression.scale import Scale
from dormant.regression.streams import stream

LINEAR = Linear(dim=3)
CONT = Gaussian(LINEAR, sigma=0.5, tau=1.3)
# Solutions are float64 whatever the prompts' type; prompts here are float64 too, so that only
# rounding at 1e-16 and the solver's conditioning (below 1e3) remain.
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def drawn(seed, prior=CONT, batch=4, positions=7):
    xs, ys = prior.sample(batch, positions, stream(seed, "prompts"))
    return type(prior.sample(1, 1, stream(0, "type")))(xs.double(), ys.double())


def disc():
    tasks = torch.randn(3, 3, generator=stream(0, "tasks"), dtype=torch.float64)
    return Discrete(LINEAR, sigma=0.5, tasks=tasks)


seeds = st.integers(0, 10_000)
gammas = st.floats(0.1, 8).flatmap(lambda size: st.sampled_from([size, -size]))


@given(seeds)
def test_identity_changes_nothing(seed):
    prompts = drawn(seed)
    assert torch.equal(conjugate(CONT, Identity())(prompts), CONT(prompts))


@given(seeds, gammas)
def test_conjugating_twice_is_conjugating_by_the_composition_in_the_right_order(seed, gamma):
    prompts, predict = drawn(seed), disc()
    s, t = Scale(gamma), rotations(3, 1, seed=seed, like=prompts.xs)[0]
    twice = conjugate(conjugate(predict, s), t)(prompts)
    torch.testing.assert_close(twice, conjugate(predict, Compose(t, s))(prompts), **TIGHT)


def test_order_of_two_rotations_matters():
    prompts, predict = drawn(0), disc()
    s, t = rotations(3, 2, seed=1, like=prompts.xs)
    twice = conjugate(conjugate(predict, s), t)(prompts)
    torch.testing.assert_close(twice, conjugate(predict, Compose(t, s))(prompts), **TIGHT)
    assert not torch.allclose(twice, conjugate(predict, Compose(s, t))(prompts), atol=1e-3)


@given(seeds)
def test_ridge_commutes_with_rotation(seed):
    prompts = drawn(seed)
    turn = rotations(3, 1, seed=seed, like=prompts.xs)[0]
    torch.testing.assert_close(conjugate(CONT, turn)(prompts), CONT(prompts), **TIGHT)


@given(seeds, gammas)
def test_scaling_then_ridge_with_the_right_penalty_is_exact(seed, gamma):
    prompts = drawn(seed)
    # (γσ)² / (γτ)²: the penalty of whoever knows γ.
    penalty = (gamma * CONT.sigma) ** 2 / (gamma * CONT.tau) ** 2
    scaled = conjugate(Ridge(family=LINEAR, penalty=penalty), Scale(gamma))
    torch.testing.assert_close(scaled(prompts), CONT(prompts), **TIGHT)


@given(seeds)
def test_a_scaled_discrete_prior_solves_what_the_plain_one_does(seed):
    prompts, plain = drawn(seed, disc()), disc()
    grown = Discrete(LINEAR, sigma=2 * plain.sigma, tasks=2 * plain.tasks)
    torch.testing.assert_close(conjugate(grown, Scale(2.0))(prompts), plain(prompts), **TIGHT)


@given(seeds, st.sampled_from([-4.0, -1.0, 0.5, 2.0, 8.0]))
def test_scaling_by_a_power_of_two_undoes_itself_to_the_bit(seed, gamma):
    ys = drawn(seed).ys
    s = Scale(gamma)
    assert torch.equal(s.invert(s.apply(drawn(seed)).ys), ys)


@given(seeds)
def test_transforms_lower_the_evidence_of_the_discrete_prior_on_average(seed):
    prompts, prior = drawn(seed, disc(), batch=64), disc()
    plain = prior.log_evidence(*prompts)[:, -1].mean()
    for transform in (Scale(3.0), *rotations(3, 2, seed=seed, like=prompts.xs)):
        assert prior.log_evidence(*transform.apply(prompts))[:, -1].mean() < plain


def test_rotations_are_orthogonal_repeatable_and_of_both_kinds():
    found = torch.stack([turn.matrix for turn in rotations(4, 40, seed=3)])
    torch.testing.assert_close(found @ found.mT, torch.eye(4).expand(40, 4, 4), atol=1e-6, rtol=0)
    assert torch.equal(found, torch.stack([turn.matrix for turn in rotations(4, 40, seed=3)]))
    assert 5 < int((torch.linalg.det(found) > 0).sum()) < 35
    # The mean over the orthogonal group is 0; entries have deviation 1/√D, so their means 0.08.
    assert float(found.mean(0).abs().max()) < 0.4


def test_adaptive_takes_the_least_likely_at_each_position_and_looks_no_further():
    prior = disc()
    prompts = drawn(5, prior, batch=8)
    transforms = [Identity(), Scale(-1.0), *rotations(3, 2, seed=2, like=prompts.xs)]
    chosen = adaptive(prior, transforms, prior.log_evidence)(prompts)
    every = torch.stack([conjugate(prior, one)(prompts) for one in transforms])
    scores = torch.stack([prior.log_evidence(*one.apply(prompts)) for one in transforms])
    for b in range(8):
        for k in range(prompts.ys.shape[1]):
            best = min(range(len(transforms)), key=lambda one: float(scores[one, b, k]))
            assert chosen[b, k] == every[best, b, k]
    changed = prompts.ys.clone()
    changed[:, 4:] += 10
    later = adaptive(prior, transforms, prior.log_evidence)(prompts._replace(ys=changed))
    assert torch.equal(later[:, :5], chosen[:, :5])


def test_adaptive_over_one_transform_is_that_conjugate():
    prompts, prior = drawn(6), disc()
    one = adaptive(prior, [Scale(2.0)], prior.log_evidence)(prompts)
    assert torch.equal(one, conjugate(prior, Scale(2.0))(prompts))
    assert torch.equal(averaged(prior, [Scale(2.0)])(prompts), one)


@given(seeds)
def test_averaging_is_no_worse_than_its_parts_on_average(seed):
    prompts = drawn(seed)
    transforms = rotations(3, 3, seed=seed, like=prompts.xs)
    predict = NearestNeighbours(neighbours=1)
    parts = [conjugate(predict, one)(prompts) for one in transforms]
    loss = (averaged(predict, transforms)(prompts) - prompts.ys).square()
    mean = torch.stack([(part - prompts.ys).square() for part in parts]).mean(0)
    assert bool((loss <= mean + 1e-9).all())


@pytest.mark.parametrize("kind", ["scales", "signs", "rotations", "all"])
def test_sets_of_transforms_have_names_of_their_own(kind):
    found = [one.name for one in transform_set(kind, 3, (1.5, 2.0), seed=0)]
    assert len(set(found)) == len(found)
    expected = {"scales": 2, "signs": 2, "rotations": 8, "all": 16}
    assert len(found) == expected[kind]


def test_bad_transforms_are_told():
    for gamma in (0.0, float("nan"), float("inf")):
        with pytest.raises(DormantError, match="gamma"):
            Scale(gamma)
    with pytest.raises(DormantError, match="rotations, signs or all"):
        transform_set("shears", 3, (2.0,), seed=0)
    with pytest.raises(DormantError, match="at least one"):
        averaged(CONT, [])


def test_names():
    assert Scale(1.5).name == "scale:1.5"
    assert Compose(Rotate(torch.eye(2), "turn"), Scale(2)).name == "turn+scale:2"
