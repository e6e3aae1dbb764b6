"""Each baseline against a loop over prompts and prefixes."""

import numpy as np
import pytest
import torch

from dormant.errors import DormantError
from dormant.regression.baselines import Averaging, LeastSquares, NearestNeighbours, Ridge
from dormant.regression.functions import Cosine, Linear
from dormant.regression.shapes import Prompts
from dormant.regression.streams import stream

LINEAR = Linear(dim=4)


def prompts(batch=5, positions=12, dim=4):
    generator = stream(0, "baselines")
    xs = torch.randn(batch, positions, dim, generator=generator, dtype=torch.float64)
    ys = torch.randn(batch, positions, generator=generator, dtype=torch.float64)
    return Prompts(xs, ys)


def ridge(features, ys, query, _xs, _x):
    return query @ np.linalg.solve(
        features.T @ features + 0.3 * np.eye(len(query)), features.T @ ys
    )


def least_squares(features, ys, query, _xs, _x):
    return query @ np.linalg.lstsq(features, ys, rcond=None)[0]


def averaging(features, ys, query, _xs, _x):
    return query @ (features * ys[:, None]).mean(0)


def neighbours(_features, ys, _query, xs, x):
    return ys[np.argsort(np.linalg.norm(xs - x, axis=1))[:3]].mean()


@pytest.mark.parametrize("family", [LINEAR, Cosine(dim=4, size=6)], ids=["linear", "cosine"])
@pytest.mark.parametrize(
    ("make", "slow"),
    [
        (lambda family: Ridge(family=family, penalty=0.3), ridge),
        (lambda family: LeastSquares(family=family), least_squares),
        (lambda family: NearestNeighbours(neighbours=3), neighbours),
        (lambda family: Averaging(family=family), averaging),
    ],
    ids=["ridge", "least-squares", "neighbours", "averaging"],
)
def test_every_prefix_matches_the_loop(make, slow, family):
    xs, ys = prompts()
    fast = make(family)(Prompts(xs, ys))
    assert float(fast[:, 0].abs().max()) < 1e-12
    features = family.features(xs).numpy()
    for b in range(len(xs)):
        for k in range(1, xs.shape[1]):
            past = features[b, :k], ys[b, :k].numpy(), features[b, k]
            expected = slow(*past, xs[b, :k].numpy(), xs[b, k].numpy())
            # Float64, at condition numbers up to about 1e3.
            assert float(fast[b, k]) == pytest.approx(expected, rel=1e-9, abs=1e-9), (b, k)


def test_least_squares_of_repeated_inputs_is_the_shortest():
    # Rank 1 at every prefix: w lies along the one input, and fits its labels' mean.
    xs = torch.tensor([2.0, 0.0, 1.0, 0.0]).expand(1, 6, 4).clone()
    ys = torch.tensor([[1.0, 3.0, 2.0, 2.0, 7.0, 0.0]])
    predicted = LeastSquares(family=LINEAR)(Prompts(xs, ys))
    means = torch.tensor([[0.0, 1.0, 2.0, 2.0, 2.0, 3.0]])
    torch.testing.assert_close(predicted, means, rtol=1e-6, atol=1e-6)


def test_labels_ahead_are_not_used():
    xs, ys = prompts()
    changed = ys.clone()
    changed[:, 6:] += 9.0
    for predictor in (
        Ridge(family=LINEAR, penalty=0.3),
        LeastSquares(family=LINEAR),
        NearestNeighbours(),
        Averaging(family=LINEAR),
    ):
        one, other = predictor(Prompts(xs, ys)), predictor(Prompts(xs, changed))
        torch.testing.assert_close(one[:, :7], other[:, :7], rtol=0, atol=1e-9)


def test_bad_settings_and_prompts_are_refused():
    with pytest.raises(DormantError, match=r"penalty 0\.0"):
        Ridge(family=LINEAR, penalty=0.0)
    with pytest.raises(DormantError, match="neighbours=0"):
        NearestNeighbours(neighbours=0)
    with pytest.raises(DormantError, match="3 dimensions, but 4"):
        Averaging(family=LINEAR)(prompts(dim=3))
