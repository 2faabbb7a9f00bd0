"""`stability`, `rho` and `error_bound` where a decoder has entries next to 0, as those of count tables with zeros have."""

import numpy as np
import pytest
from scipy import sparse
from sweeps import Sweeps, observed_rate, spectral_radius

import dualib
from dualib import Alpha, JointDistribution
from dualib.distortions.named import as_distortion
from dualib.engine.initial import of_encoder
from dualib.engine.problem import Problem
from dualib.engine.stability import UNSEEN, seen
from dualib.engine.sweep import Sweep

KINDS = ("ib", "dualib")


def counts(seed, shape=(60, 8)):
    """Poisson counts of a gamma rate: more than half of them are zeros."""
    rng = np.random.default_rng(seed)
    table = rng.poisson(rng.gamma(0.5, 2.0, shape))
    return table[table.sum(axis=1) > 0]


def swept(joint, beta, kind, encoder):
    """The problem, and the batch and its sweep at the weights and centroids of an encoder."""
    problem = Problem(joint, as_distortion(kind))
    batch = of_encoder(problem, [beta], encoder, "encoder")
    return problem, batch, Sweep(problem, batch)


def naive_numbers(joint, kind, solution):
    """``beta lambda_max`` of each cluster's covariance in the metric of the definition, over the y with r > UNSEEN."""
    numbers = []
    for t in range(solution.n_clusters):
        r, members = solution.decoder[t], joint.px * solution.encoder[:, t]
        members = members / members.sum()
        ys = np.flatnonzero(r > (UNSEEN if kind == "ib" else 0.0))
        covariance = np.zeros((len(ys), len(ys)))
        features = [p[ys] if kind == "ib" else np.log(np.where(p[ys] > 0.0, p[ys], 1.0)) for p in joint.py_x]
        mean = sum(m * u for m, u in zip(members, features, strict=True))
        for m, u in zip(members, features, strict=True):
            covariance += m * np.outer(u - mean, u - mean)
        metric = np.diag(1.0 / r[ys]) if kind == "ib" else np.diag(r[ys]) - np.outer(r[ys], r[ys])
        matrix = covariance @ metric
        numbers.append(solution.beta * np.linalg.eigvals(matrix).real.max())
    return np.array(numbers)


@pytest.mark.parametrize("seed", range(12))
def test_count_tables_have_numbers_of_order_one(seed):
    """They were 1e37 to 1e69. rho is the spectral radius of a NumPy sweep's Jacobian, entry by entry of log w and log r."""
    joint = JointDistribution.from_counts(counts(seed))
    solution = dualib.solve(joint, 6.0)
    assert solution.status.name == "CONVERGED"
    assert solution.stability.min() >= 0.0 and solution.stability.max() < 1.0
    np.testing.assert_allclose(solution.stability, naive_numbers(joint, "ib", solution), rtol=1e-9, atol=1e-9)
    sweeps = Sweeps(joint, "ib", 6.0, solution.decoder > 0.0)
    radius = spectral_radius(sweeps, *sweeps.decoder(solution.encoder), solution.decoder > UNSEEN)
    assert solution.rho == pytest.approx(radius, abs=1e-11)
    assert solution.error_bound == solution.residual / (1.0 - solution.rho)
    assert solution.error_bound < 1e-8


@pytest.mark.parametrize(("seed", "kind"), [(0, "ib"), (2, "ib"), (10, "ib"), (0, "dualib"), (1, "dualib")])
def test_rho_is_the_rate_at_which_sweeps_lose_an_error(seed, kind):
    """From a perturbed encoder, between errors of 1e-4 and 1e-11; `benchmarks/rates.py` has 100 tables."""
    joint = JointDistribution.from_counts(counts(seed))
    solution = dualib.solve(joint, 6.0, kind)
    sweeps = Sweeps(joint, kind, 6.0, solution.decoder > 0.0)
    whole, end = observed_rate(sweeps, solution.encoder, np.random.default_rng(0))
    assert solution.rho == pytest.approx(whole, rel=0.1)
    assert 1.0 - solution.rho == pytest.approx(1.0 - end, rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [{"tol": 1e-3}, {"certify": False}, {"n_clusters": 12}, {"n_clusters": 12, "certify": False}],
    ids=["loose", "local", "capped", "capped-local"],
)
def test_answers_that_are_no_optimum_have_the_rate_of_their_own_sweeps(kind, options):
    joint = JointDistribution.from_counts(counts(3, (30, 5)))
    solution = dualib.solve(joint, 6.0, kind, **options)
    sweeps = Sweeps(joint, kind, 6.0, solution.decoder > 0.0)
    with np.errstate(divide="ignore"):
        own = np.log(solution.weights), np.log(solution.decoder)
    radius = spectral_radius(sweeps, *own, solution.decoder > UNSEEN)
    assert solution.rho == pytest.approx(radius, abs=1e-9 + 10.0 * solution.residual)
    assert np.isfinite(solution.stability).all()


@pytest.mark.parametrize("kind", KINDS)
def test_without_entries_next_to_zero_the_numbers_are_as_they_were(kind):
    """On positive tables nothing is left out: the metric is that of the definition at the atoms, to 1e-10."""
    rng = np.random.default_rng(4)
    for seed in range(4):
        joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(5), 20), rng.dirichlet(2.0 * np.ones(20)))
        solution = dualib.solve(joint, float(rng.uniform(4.0, 20.0)), kind, random_state=seed)
        problem, batch, state = swept(joint, solution.beta, kind, solution.encoder)
        assert seen(problem, batch.means, batch.face) is None
        shares = np.sqrt(state.posterior * problem.px / batch.weights[:, None])
        rows = problem.whitened(batch.means, batch.face) * shares[:, :, None]
        plain = np.linalg.eigvalsh(np.matmul(rows.transpose(0, 2, 1), rows))[:, -1]
        np.testing.assert_allclose(solution.stability, solution.beta * plain, atol=1e-10)
        sweeps = Sweeps(joint, kind, solution.beta, solution.decoder > 0.0)
        radius = spectral_radius(sweeps, *sweeps.decoder(solution.encoder), solution.decoder > 0.0)
        assert solution.rho == pytest.approx(radius, abs=1e-10)


def test_a_sparse_table_has_the_numbers_of_its_dense_form(monkeypatch):
    """The power method, thirty steps of it, had 0.56 for 0.63."""
    monkeypatch.setattr("dualib.engine.choice.DENSE_CELLS", 0)
    for seed in range(4):
        table = counts(seed)
        dense = JointDistribution.from_counts(table)
        thin = dualib.solve(JointDistribution.from_counts(sparse.csr_array(table)), 6.0 + 2.0 * seed)
        expected = naive_numbers(dense, "ib", thin)
        np.testing.assert_allclose(thin.stability, expected, rtol=1e-7, atol=1e-7)


def test_a_metric_that_spans_more_orders_than_doubles_have_digits():
    """Alpha-divergence near the IB, with entries of 1e-63: rho was 5e23, and Newton's steps no better than sweeps."""
    joint = JointDistribution.from_counts(counts(0))
    solution = dualib.solve(joint, 6.0, Alpha(0.97), certify=False)
    assert solution.converged and solution.n_iter < 5000
    assert solution.decoder[solution.decoder > 0.0].min() < 1e-50
    assert solution.stability.max() < 1.0 and 0.9 < solution.rho < 1.0
    rows, means = (
        np.random.default_rng(0).standard_normal((2, 7, 4)),
        np.array([[1e-40, 3.0, 2.0, 1e-3], [5.0, 1e-60, 1e-20, 1.0]]),
    )
    whitened = Alpha(0.97).whiten(rows, means)
    jacobian = Alpha(0.97).link_jacobian(means)
    for t in range(2):
        scale = np.sqrt(np.diag(jacobian[t]))  # in these coordinates the metric is of order 1
        scaled = Alpha(0.97).whiten(np.eye(4)[None] / scale[:, None], means[[t]])[0]
        np.testing.assert_allclose(scaled @ scaled.T, jacobian[t] / np.outer(scale, scale), atol=1e-13)
    assert whitened.shape == rows.shape


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_move_has_stability_zero(kind):
    """At high beta each cluster has one x; a cluster that no x goes to has no number of its own either."""
    joint = JointDistribution.from_conditionals([[0.7, 0.3, 0.0], [0.0, 0.2, 0.8], [0.2, 0.5, 0.3]], [0.2, 0.5, 0.3])
    solution = dualib.solve(joint, 1e5, kind, tol=1e-6)
    assert solution.n_clusters == 3
    np.testing.assert_allclose(solution.stability, 0.0, atol=1e-12)
    assert solution.rho == pytest.approx(0.0, abs=1e-12) and solution.error_bound == pytest.approx(solution.residual)


def test_followers_do_not_divide_what_is_stable():
    """Each cluster with an entry next to 0 counted as unstable, and was replaced by two halves at every step."""
    joint = JointDistribution.from_counts(counts(0, (30, 5)))
    start = dualib.solve(joint, 12.0)
    curve = dualib.follow(start, [11.5, 11.0])
    for solution in curve:
        assert solution.stability.max() < 1.0
        assert solution.n_clusters <= start.n_clusters


def test_the_picture_of_a_count_table_shows_its_numbers():
    import matplotlib.pyplot as plt

    joint = JointDistribution.from_counts(counts(1, (20, 6)))
    curve = dualib.anneal(joint, betas=np.geomspace(4.0, 8.0, 5), events=False)
    ax = curve.plot_stability()
    assert 1.0 < ax.get_ylim()[1] < 1.3  # and room for a legend
    plt.close(ax.figure)
