"""Exact solutions against brute force, Monte Carlo and known limits (paper §2.2)."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy import stats as scipy_stats

from dormant.errors import DormantError
from dormant.regression.functions import Cosine, Linear, Quadratic, family
from dormant.regression.one_step import one_step
from dormant.regression.priors import Discrete, Gaussian, Mixture, ScaleMixture, Sparse, Units
from dormant.regression.shapes import Prompts
from dormant.regression.streams import stream

# Float64 with condition numbers up to 1e6: nine digits are left, and the tests ask for eight.
TIGHT = {"rtol": 1e-8, "atol": 1e-8}


def tasks_of(count, size, seed=0):
    return torch.randn(count, size, generator=stream(seed, "tasks"), dtype=torch.float64)


def priors(sigma=0.7):
    """Every prior, over linear and other functions; a new prior goes here."""
    linear, quadratic, cosine = Linear(dim=3), Quadratic(dim=3), Cosine(dim=3, size=5)
    disc = Discrete(linear, sigma=sigma, tasks=tasks_of(4, 3))
    cont = Gaussian(linear, sigma=sigma, tau=1.3)
    mixed = Mixture([disc, cont], [0.4, 0.6])
    return {
        "gaussian": cont,
        "gaussian-quadratic": Gaussian(quadratic, sigma=sigma),
        "gaussian-cosine": Gaussian(cosine, sigma=sigma),
        "scale-mixture": ScaleMixture(linear, sigma=sigma, low=0.5, high=3.0),
        "units": Units(linear, sigma=sigma, tau=1.3, low=0.8, high=3.0),
        "sparse": Sparse(linear, sigma=sigma, tau=1.5, nonzero=1),
        "discrete": disc,
        "discrete-one": Discrete(linear, sigma=sigma, tasks=tasks_of(1, 3)),
        "discrete-cosine": Discrete(cosine, sigma=sigma, tasks=tasks_of(3, 5)),
        "mixture": mixed,
        "mixture-nested": Mixture([mixed, Gaussian(quadratic, sigma=sigma)], [0.5, 0.5]),
    }


def brute_gaussian(sigma, tau, features, ys):
    """Mean of the next label and log evidence of one prefix, by the textbook's formulas."""
    seen, query = features[:-1], features[-1]
    size = features.shape[1]
    ridge = np.linalg.solve(
        seen.T @ seen + (sigma / tau) ** 2 * np.eye(size), seen.T @ ys[: len(seen)]
    )
    covariance = sigma**2 * np.eye(len(seen)) + tau**2 * seen @ seen.T
    evidence = (
        scipy_stats.multivariate_normal.logpdf(ys[: len(seen)], np.zeros(len(seen)), covariance)
        if len(seen)
        else 0.0
    )
    return query @ ridge, evidence


def brute(prior, xs, ys, k):
    """The same for any prior: E[y_k | pairs < k, x_k] and log p(y_<k), one prefix at a time."""
    if isinstance(prior, Mixture):
        parts = [brute(part, xs, ys, k) for part in prior.components]
        return combine(parts, np.log(prior.weights))
    features = prior.family.features(xs).numpy()[: k + 1]
    labels = ys.numpy()
    if isinstance(prior, Gaussian):
        return brute_gaussian(prior.sigma, prior.tau, features, labels)
    if isinstance(prior, Sparse):
        supports = list(itertools.combinations(range(prior.family.size), prior.nonzero))
        parts = [brute_gaussian(prior.sigma, prior.tau, features[:, s], labels) for s in supports]
        return combine(parts, np.full(len(parts), -math.log(len(parts))))
    if isinstance(prior, ScaleMixture | Units):
        width = prior.high - prior.low

        def given(free):
            if isinstance(prior, Units):
                return brute_gaussian(free * prior.sigma, free * prior.tau, features, labels)
            return brute_gaussian(prior.sigma, free, features, labels)

        top = max(given(free)[1] for free in np.linspace(prior.low, prior.high, 50))

        def integral(weigh):
            def integrand(free):
                mean, evidence = given(free)
                return weigh(mean) * math.exp(evidence - top) / width

            return integrate.quad(integrand, prior.low, prior.high, epsabs=1e-12, limit=200)[0]

        total = integral(lambda mean: 1.0)
        return integral(lambda mean: mean) / total, math.log(total) + top
    assert isinstance(prior, Discrete)
    outputs = features @ prior.tasks.numpy().T
    parts = []
    for i in range(len(prior.tasks)):
        logs = scipy_stats.norm.logpdf(labels[:k], outputs[:k, i], prior.sigma)
        parts.append((outputs[k, i], logs.sum()))
    return combine(parts, np.full(len(parts), -math.log(len(parts))))


def combine(parts, log_weights):
    joint = np.array([evidence for _, evidence in parts]) + log_weights
    evidence = np.logaddexp.reduce(joint)
    return float(np.exp(joint - evidence) @ np.array([mean for mean, _ in parts])), evidence


@pytest.mark.parametrize("name", priors())
@pytest.mark.parametrize("source", ["own", "other"])
def test_every_prefix_matches_brute_force(name, source):
    prior = priors()[name]
    drawn = prior if source == "own" else Gaussian(Linear(dim=3), sigma=2.0, tau=3.0)
    xs, ys = (part.double() for part in drawn.sample(3, 7, stream(1, name)))
    solved = prior.solve(xs, ys)
    for b, k in itertools.product(range(3), range(7)):
        mean, evidence = brute(prior, xs[b], ys[b], k)
        assert float(solved.mean[b, k]) == pytest.approx(mean, rel=1e-7, abs=1e-7)
        assert float(solved.log_evidence[b, k]) == pytest.approx(evidence, rel=1e-7, abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(
    dim=st.integers(1, 6),
    positions=st.integers(1, 9),
    log_sigma=st.floats(-1.5, 1.0),
    tau=st.floats(0.2, 4.0),
    seed=st.integers(0, 10_000),
)
def test_gaussian_is_ridge_for_any_size(dim, positions, log_sigma, tau, seed):
    prior = Gaussian(Linear(dim=dim), sigma=10**log_sigma, tau=tau)
    xs, ys = (part.double() for part in prior.sample(2, positions, stream(seed, "any")))
    solved = prior.solve(xs, ys)
    for b, k in itertools.product(range(2), range(positions)):
        mean, evidence = brute_gaussian(prior.sigma, tau, xs[b, : k + 1].numpy(), ys[b].numpy())
        assert float(solved.mean[b, k]) == pytest.approx(mean, rel=1e-6, abs=1e-6)
        assert float(solved.log_evidence[b, k]) == pytest.approx(evidence, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", priors())
def test_chain_rule_ties_mean_variance_and_evidence(name):
    # For a single Gaussian, log p(y_k | past) is that of N(mean, variance). For all priors the
    # evidence must not depend on labels that come later.
    prior = priors()[name]
    xs, ys = (part.double() for part in prior.sample(4, 6, stream(2, name)))
    solved = prior.solve(xs, ys)
    changed = ys.clone()
    changed[:, 3:] += 5.0
    other = prior.solve(xs, changed)
    torch.testing.assert_close(solved.mean[:, :4], other.mean[:, :4], **TIGHT)
    torch.testing.assert_close(solved.log_evidence[:, :4], other.log_evidence[:, :4], **TIGHT)
    # Weights of components sum to 1 to float64's rounding.
    assert float(solved.log_evidence[:, 0].abs().max()) < 1e-14
    if isinstance(prior, Gaussian):
        density = torch.distributions.Normal(solved.mean, solved.variance.sqrt()).log_prob(ys)
        torch.testing.assert_close(solved.log_evidence.diff(dim=1), density, **TIGHT)


@pytest.mark.parametrize("name", priors())
def test_monte_carlo_mean_and_variance_are_calibrated(name):
    # Under its own prior a posterior mean's error has the posterior's variance, at every prefix.
    prior = priors()[name]
    count = 20_000
    xs, ys = prior.sample(count, 6, stream(3, name))
    solved = prior.solve(xs, ys)
    score = (ys - solved.mean).square() / solved.variance
    deviation = score.std(0) / math.sqrt(count)
    # Five standard errors on each of 6 prefixes × 10 priors: a false alarm in 30 000 runs.
    assert bool(((score.mean(0) - 1).abs() < 5 * deviation).all())
    signed = (ys - solved.mean) / solved.variance.sqrt()
    assert bool((signed.mean(0).abs() < 5 * signed.std(0) / math.sqrt(count)).all())


@pytest.mark.parametrize("name", priors())
def test_no_other_prior_beats_the_exact_one(name):
    everyone = priors()
    prompts = everyone[name].sample(4_000, 6, stream(4, name))
    own = (everyone[name](prompts) - prompts.ys).square().mean(1)
    for other_name, other in everyone.items():
        excess = (other(prompts) - prompts.ys).square().mean(1) - own
        assert float(excess.mean()) >= -4 * float(excess.std()) / math.sqrt(4_000), other_name


@settings(max_examples=30, deadline=None)
@given(alpha=st.floats(0.0, 1.0), seed=st.integers(0, 10_000))
def test_mixture_is_the_papers_formula(alpha, seed):
    linear = Linear(dim=3)
    disc = Discrete(linear, sigma=0.8, tasks=tasks_of(5, 3, seed))
    cont = Gaussian(linear, sigma=0.8)
    prior = Mixture([disc, cont], [alpha, 1 - alpha])
    xs, ys = (part.double() for part in cont.sample(3, 8, stream(seed, "mix")))
    p_disc, p_cont = disc.log_evidence(xs, ys).exp(), cont.log_evidence(xs, ys).exp()
    g = alpha * p_disc / (alpha * p_disc + (1 - alpha) * p_cont)
    posterior = prior.task_posterior(xs, ys)
    torch.testing.assert_close(posterior[..., 0], g, **TIGHT)
    torch.testing.assert_close(posterior.sum(-1), torch.ones_like(g), **TIGHT)
    expected = g[:, :-1] * disc.predict(xs, ys) + (1 - g[:, :-1]) * cont.predict(xs, ys)
    torch.testing.assert_close(prior.predict(xs, ys), expected, **TIGHT)
    torch.testing.assert_close(
        posterior[:, 0, 0], torch.full((3,), alpha, dtype=torch.float64), **TIGHT
    )


def test_nesting_a_mixture_changes_nothing():
    parts = priors()
    a, b, c = parts["discrete"], parts["gaussian"], parts["gaussian-quadratic"]
    flat = Mixture([a, b, c], [0.2, 0.3, 0.5])
    nested = Mixture([Mixture([a, b], [0.4, 0.6]), c], [0.5, 0.5])
    xs, ys = flat.sample(5, 6, stream(5, "nest"))
    for one, other in zip(flat.solve(xs, ys), nested.solve(xs, ys), strict=True):
        torch.testing.assert_close(one, other, **TIGHT)


def test_before_any_pair_predictions_are_the_prior_means():
    xs, ys = priors()["gaussian"].sample(4, 1, stream(6, "first"))
    assert bool((priors()["gaussian"].predict(xs, ys) == 0).all())
    disc = priors()["discrete"]
    expected = xs.double() @ disc.tasks.mean(0)
    torch.testing.assert_close(disc.predict(xs, ys).double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sigma", [1e-2, 1e-4, 1e-6])
def test_tiny_noise_recovers_the_task_and_stays_below(sigma):
    # k ≥ D: the label to within the noise. k < D: the projection on the inputs seen.
    prior = Gaussian(Linear(dim=5), sigma=sigma)
    generator = stream(7, "tiny")
    tasks = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    xs = torch.randn(6, 40, 5, generator=generator, dtype=torch.float64)
    ys = (xs @ tasks[..., None])[..., 0]
    predicted = prior.predict(xs, ys)
    for b, k in itertools.product(range(6), range(1, 5)):
        seen = xs[b, :k]
        projected = xs[b, k] @ torch.linalg.pinv(seen) @ ys[b, :k]
        # The ridge's own shrinkage is of the order (σ / smallest singular value)².
        slack = 10 * float((sigma / torch.linalg.svdvals(seen)[-1]) ** 2) + 1e-8
        assert float(predicted[b, k]) == pytest.approx(float(projected), abs=slack)
    assert float((predicted - ys)[:, 10:].abs().max()) < 10 * sigma**2 + 1e-9
    assert bool(torch.isfinite(prior.log_evidence(xs, ys)).all())


def test_two_ways_of_solving_agree(monkeypatch):
    features = torch.randn(4, 30, 6, generator=stream(8, "ways"), dtype=torch.float64)
    ys = torch.randn(4, 30, generator=stream(9, "ways"), dtype=torch.float64)
    first = one_step(features, ys, tau=1.5, sigma=0.4)
    monkeypatch.setattr("dormant.regression.one_step._CONDITION_LIMIT", 0.0)
    second = one_step(features, ys, tau=1.5, sigma=0.4)
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, **TIGHT)


def test_repeated_inputs_do_not_break_small_noise():
    xs = torch.ones(1, 20, 4, dtype=torch.float64)
    ys = torch.full((1, 20), 2.0, dtype=torch.float64)
    predicted = Gaussian(Linear(dim=4), sigma=1e-5).predict(xs, ys)
    assert float((predicted[:, 1:] - 2.0).abs().max()) < 1e-6


def test_five_hundred_pairs():
    prior = Mixture(
        [
            Discrete(Linear(dim=8), sigma=0.5, tasks=tasks_of(16, 8)),
            Gaussian(Linear(dim=8), sigma=0.5),
        ],
        [0.5, 0.5],
    )
    prompts = prior.sample(8, 500, stream(10, "long"))
    solved = prior.solve(*prompts)
    assert all(bool(torch.isfinite(part).all()) for part in solved)
    xs, ys = (part.double() for part in prompts)
    for k in (0, 7, 8, 250, 499):
        mean, evidence = brute(prior, xs[0], ys[0], k)
        assert float(solved.mean[0, k]) == pytest.approx(mean, rel=1e-8, abs=1e-8)
        assert float(solved.log_evidence[0, k]) == pytest.approx(evidence, rel=1e-8)
    g = prior.task_posterior(*prompts)[:, -1, 0]
    assert bool(((g < 1e-6) | (g > 1 - 1e-6)).all())


def test_units_are_integrated_finely_enough_for_long_prompts():
    linear = Linear(dim=4)
    usual, fine = (Units(linear, sigma=1.0, low=1.0, high=3.0, nodes=nodes) for nodes in (64, 500))
    prompts = usual.sample(20, 500, stream(14, "units"))
    for one, other in zip(usual.solve(*prompts), fine.solve(*prompts), strict=True):
        torch.testing.assert_close(one, other, **TIGHT)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("sigma", [1e-6, 1e-3, 30.0])
def test_no_prior_breaks_at_extremes(sigma, scale):
    # Labels of its own and labels a thousand times too small or large, noise from nil to all.
    for name, prior in priors(sigma).items():
        xs, ys = prior.sample(3, 12, stream(15, name))
        solved = prior.solve(xs, scale * ys)
        for part in solved:
            assert bool(torch.isfinite(part).all()), name
        assert float(solved.variance.min()) > 0, name


def test_chunks_do_not_change_anything(monkeypatch):
    prior = priors()["scale-mixture"]
    prompts = prior.sample(7, 6, stream(11, "chunks"))
    whole = prior.solve(*prompts)
    monkeypatch.setattr("dormant.regression.one_step.CHUNK_NUMBERS", 1)
    for one, other in zip(whole, prior.solve(*prompts), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("build", [Quadratic(dim=4), Cosine(dim=4, size=12), Linear(dim=4)])
def test_families_have_labels_of_one_variance(build):
    xs = torch.randn(200_000, 4, generator=stream(12, "variance"), dtype=torch.float64)
    norms = build.features(xs).square().sum(-1)
    slack = 5 * float(norms.std()) / math.sqrt(len(xs))
    if isinstance(build, Cosine):
        # Its phases are drawn once; with 12 of them E‖φ‖² still differs from its mean over phases.
        slack += 4 * 4 / math.sqrt(2 * 12)
    assert float(norms.mean()) == pytest.approx(4.0, abs=slack)


def test_sparse_draws_have_as_many_weights_as_said():
    prior = Sparse(Linear(dim=5), sigma=1e-3, tau=1.0, nonzero=2)
    xs, ys = prior.sample(50, 30, stream(13, "sparse"))
    found = torch.linalg.lstsq(xs, ys[..., None]).solution[..., 0].abs() > 0.02
    assert float((found.sum(-1) <= 2).double().mean()) == 1.0
    assert float((found.sum(-1) == 2).double().mean()) > 0.9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: Gaussian(f, sigma=0.0), "sigma=0.0"),
        (lambda f: Gaussian(f, sigma=float("nan")), "sigma=nan"),
        (lambda f: Gaussian(f, sigma=1.0, tau=-1.0), "tau=-1.0"),
        (lambda f: ScaleMixture(f, sigma=1.0, low=2.0, high=1.0), "0 < low < high"),
        (lambda f: Units(f, sigma=1.0, low=0.0, high=1.0), "0 < low < high"),
        (lambda f: Discrete(f, sigma=1.0, tasks=torch.zeros(4, 9)), r"\(n, 3\)"),
        (lambda f: Discrete(f, sigma=1.0, tasks=torch.full((2, 3), math.nan)), "not finite"),
        (lambda f: Sparse(f, sigma=1.0, tau=1.0, nonzero=4), "1 … 3"),
        (lambda f: Mixture([Gaussian(f, sigma=1.0)], [0.9]), "sum to 0.9"),
        (lambda f: Mixture([Gaussian(f, sigma=1.0)] * 2, [1.5, -0.5]), "at least 0"),
        (lambda f: Mixture([Gaussian(f, sigma=1.0)], [0.5, 0.5]), "one weight each"),
        (
            lambda f: Mixture(
                [Gaussian(f, sigma=1.0), Gaussian(Linear(dim=2), sigma=1.0)], [0.5, 0.5]
            ),
            "different dimensions",
        ),
        (lambda f: Sparse(Linear(dim=40), sigma=1.0, tau=1.0, nonzero=10), "supports"),
    ],
)
def test_bad_priors_are_refused(make, message):
    with pytest.raises(DormantError, match=message):
        make(Linear(dim=3))


def test_bad_prompts_are_refused():
    prior = priors()["gaussian"]
    xs, ys = torch.zeros(2, 4, 3), torch.zeros(2, 4)
    with pytest.raises(DormantError, match="don't belong together"):
        prior.predict(xs, ys[:, :3])
    with pytest.raises(DormantError, match="2 dimensions, but 3"):
        prior.predict(xs[..., :2], ys)
    ys[1, 2] = math.inf
    with pytest.raises(DormantError, match="prompt 1 at position 2"):
        prior(Prompts(xs, ys))


def test_an_unknown_family_is_refused():
    with pytest.raises(DormantError, match="did you mean 'quadratic'"):
        family("quadratc", dim=3)
    with pytest.raises(DormantError, match="at least 1"):
        family("linear", dim=0)
