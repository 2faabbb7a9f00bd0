"""Fitting of exponential families: against the truth, scikit-learn, moments and finite differences."""

import numpy as np
import pytest
from scipy import optimize, sparse

import dualib
from dualib import ExponentialFamily
from dualib.distortions.maximum_entropy import penalised_loss
from dualib.warnings import ConvergenceWarning


def family(seed, n_x=9, d=3, n_y=5, size=1.0):
    rng = np.random.default_rng(seed)
    return ExponentialFamily(size * rng.normal(size=(n_x, d)), rng.normal(size=(d, n_y)), rng.normal(size=n_y))


def draw(fam, px, n, seed):
    rng = np.random.default_rng(seed)
    x = rng.choice(fam.n_x, n, p=px)
    return x, (rng.random(n)[:, None] > np.cumsum(fam.conditionals(), axis=1)[x]).sum(axis=1)


def test_fit_finds_the_generating_family():
    fam = family(16, n_x=30, d=3, n_y=12)
    px = np.random.default_rng(16).dirichlet(np.full(30, 5.0))
    x, y = draw(fam, px, 40_000, 17)
    found = ExponentialFamily.fit(fam.features, x, y, 12)
    assert found.expected_divergence(fam.conditionals(), px) <= 5e-3
    centred = fam.parameters - fam.parameters.mean(axis=1, keepdims=True)
    assert np.max(np.abs(found.parameters - centred)) < 0.2
    unseen = np.random.default_rng(18).normal(size=(50, 3))
    true, guess = fam.conditionals(unseen), found.conditionals(unseen)
    assert np.mean(np.sum(true * np.log(true / guess), axis=1)) <= 5e-3


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("l2", [0.3, 20.0])
def test_fit_is_scikit_learns_logistic_regression(intercept, l2):
    linear_model = pytest.importorskip("sklearn.linear_model")
    fam = family(19, n_x=8, d=3, n_y=4)
    x, y = draw(fam, np.full(8, 0.125), 400, 20)
    found = ExponentialFamily.fit(fam.features, x, y, 4, l2=l2, intercept=intercept)
    design = np.c_[fam.features, np.ones(8)] if intercept else fam.features
    peer = linear_model.LogisticRegression(C=1.0 / l2, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(design[x], y)
    np.testing.assert_allclose(found.conditionals(), peer.predict_proba(design), atol=1e-6)
    np.testing.assert_allclose(found.parameters, -peer.coef_.T[:3], atol=1e-5)
    assert found.l2 == l2
    assert intercept or not found.intercept.any()


@pytest.mark.parametrize("intercept", [True, False])
def test_gradient_of_the_loss(intercept):
    rng = np.random.default_rng(22)
    design, counts = (rng.normal(size=(6, 2)), intercept), rng.poisson(2.0, (6, 4)).astype(float)
    theta = rng.normal(size=(3, 4))
    theta[-1] *= intercept

    def loss(flat):
        return penalised_loss(design, counts, 0.7, flat.reshape(3, 4))[0]

    exact = penalised_loss(design, counts, 0.7, theta)[1]
    numeric = optimize.approx_fprime(theta.ravel(), loss, 1e-7).reshape(3, 4)
    np.testing.assert_allclose(exact[: 2 + intercept], numeric[: 2 + intercept], atol=1e-6)


def test_maximum_entropy_matches_the_moments():
    fam = family(23, n_x=10, d=2, n_y=3, size=0.5)
    x, y = draw(fam, np.full(10, 0.1), 3000, 24)
    found = ExponentialFamily.fit(fam.features, x, y, l2=0.0)
    model = found.conditionals()[x]
    for label in range(3):
        np.testing.assert_allclose(model[:, label] @ fam.features[x], fam.features[x][y == label].sum(axis=0), atol=1e-2)
        assert model[:, label].sum() == pytest.approx(np.sum(y == label), abs=1e-2)


def test_features_of_very_different_size_are_fitted_as_well():
    fam = family(25, n_x=20, d=3, n_y=4, size=0.5)
    x, y = draw(fam, np.full(20, 0.05), 2000, 26)
    scales = np.array([1e-4, 1.0, 1e4])
    first = ExponentialFamily.fit(fam.features, x, y, l2=1e-14)
    second = ExponentialFamily.fit(fam.features * scales, x, y, l2=1e-14)
    np.testing.assert_allclose(second.conditionals(), first.conditionals(), atol=1e-4)


def test_a_label_never_seen_and_separable_samples():
    features = np.array([[-1.0], [1.0]])
    x, y = np.array([0] * 20 + [1] * 20), np.array([0] * 20 + [1] * 20)
    found = ExponentialFamily.fit(features, x, y, 3, l2=0.1)
    assert np.isfinite(found.parameters).all()
    assert 0.0 < found.conditionals()[:, 2].max() < 0.05
    assert dualib.solve(found.joint(), 4.0, found).gap <= 1e-9
    with pytest.raises(ValueError, match="y = 2 is never seen"):
        ExponentialFamily.fit(features, x, y, 3, l2=0.0)


def test_cross_validation_picks_a_penalty_that_predicts():
    fam = family(27, n_x=40, d=6, n_y=4, size=0.5)
    x, y = draw(fam, np.full(40, 0.025), 120, 28)
    chosen = ExponentialFamily.fit(fam.features, x, y, 4, l2="cv", random_state=3)
    again = ExponentialFamily.fit(fam.features, x, y, 4, l2="cv", random_state=3)
    assert chosen == again
    assert chosen.l2 == again.l2
    costs = {}
    for l2 in (1e-3, chosen.l2, 1e3):
        costs[l2] = ExponentialFamily.fit(fam.features, x, y, 4, l2=l2).expected_divergence(fam.conditionals())
    assert costs[chosen.l2] < min(costs[1e-3], costs[1e3])


def test_fits_that_stop_short_are_announced(monkeypatch):
    monkeypatch.setattr("dualib.distortions.maximum_entropy._MAX_ITER", 2)
    fam = family(29, n_x=8, d=3)
    x, y = draw(fam, np.full(8, 0.125), 500, 30)
    with pytest.warns(ConvergenceWarning, match="slope"):
        ExponentialFamily.fit(fam.features, x, y, 5)


def test_sparse_features_give_the_same_fit():
    rng = np.random.default_rng(14)
    dense = rng.normal(size=(12, 6)) * (rng.random((12, 6)) < 0.4)
    x, y = draw(ExponentialFamily(dense, rng.normal(size=(6, 5))), np.full(12, 1 / 12), 500, 1)
    fits = [ExponentialFamily.fit(given, x, y) for given in (dense, sparse.csr_array(dense))]
    np.testing.assert_allclose(fits[1].parameters, fits[0].parameters, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "match"),
    [
        ([], [], {}, ValueError, "x must be a non-empty"),
        ([0, 1], [0], {}, ValueError, "same length, got 2 and 1"),
        ([0, 2], [0, 1], {}, ValueError, "x must index the 2 rows of features, got 2"),
        ([0, -1], [0, 1], {}, ValueError, "x must be >= 0, got -1"),
        ([0, 1], [0, 5], {"n_y": 3}, ValueError, "y must be below n_y = 3, got 5"),
        ([0, 1], [0.0, 1.0], {}, TypeError, "y must hold whole numbers"),
        ([0, 1], [[0, 1]], {}, ValueError, "y must be a non-empty one-dimensional"),
        ([0, 1], [0, 0], {}, ValueError, "at least 2 labels"),
        ([0, 1], [0, 1], {"l2": -1.0}, ValueError, "l2 must be"),
        ([0, 1], [0, 1], {"l2": "aic"}, ValueError, "l2 must be"),
        ([0, 1], [0, 1], {"l2": np.nan}, ValueError, "l2 must be"),
        ([0, 1], [0, 1], {"l2": "cv"}, ValueError, "n_folds must be at most"),
        ([0, 1], [0, 1], {"n_y": 1}, ValueError, "n_y must be an integer of at least 2"),
    ],
)
def test_bad_samples(x, y, options, error, match):
    with pytest.raises(error, match=match):
        ExponentialFamily.fit([[1.0], [2.0]], x, y, **options)
