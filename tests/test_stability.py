"""`stability`, `rho` and `error_bound` where a decoder has entries next to 0, as those of count tables with zeros have."""

import math

import numpy as np
import pytest
from scipy import sparse
from sweeps import Sweeps, observed_rate, spectral_radius

import dualib
from dualib import Alpha, JointDistribution, datasets
from dualib.branch import _unstable
from dualib.curvature import slowest_rate, stability_numbers
from dualib.optimise import atoms_of_encoder
from dualib.problem import UNSEEN, Atoms, Problem, sweep
from dualib.sparse_problem import SparseProblem
from dualib.sparse_solver import stability as sparse_stability

KINDS = ("ib", "dualib")


def counts(seed, shape=(60, 8)):
    """Poisson counts of a gamma rate: more than half of them are zeros."""
    rng = np.random.default_rng(seed)
    table = rng.poisson(rng.gamma(0.5, 2.0, shape))
    return table[table.sum(axis=1) > 0]


def swept(joint, beta, kind, encoder):
    """The problem, and the sweep at the weights and centroids of an encoder."""
    problem = Problem(joint, dualib.distortions.as_distortion(kind))
    return problem, sweep(problem, beta, atoms_of_encoder(problem, encoder))


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


def far_entry(value):
    """The sweep at a solution, one entry of a decoder on the face of its cluster set to `value`, where sweeps would not leave it."""
    joint = JointDistribution.from_counts(counts(0))
    solution = dualib.solve(joint, 6.0)
    problem, state = swept(joint, 6.0, "ib", solution.encoder)
    means = state.atoms.means.copy()
    place = np.unravel_index(np.argmin(np.where(state.atoms.face, means, 1.0)), means.shape)
    assert means[place] < 1e-30
    means[place] = value
    return problem, state, sweep(problem, 6.0, Atoms(state.atoms.weights, means, state.atoms.face))


@pytest.mark.parametrize("value", [1e-300, 1e-123, 1e-60, 1e-20])
def test_an_entry_on_its_way_from_anywhere_changes_no_number(value):
    """5e-123 on its way to 3e-44 made them 2.9e62, and every cluster a split to those that follow branches."""
    problem, settled, state = far_entry(value)
    np.testing.assert_allclose(stability_numbers(problem, state), stability_numbers(problem, settled), rtol=1e-9, atol=1e-12)
    assert slowest_rate(problem, state) == pytest.approx(slowest_rate(problem, settled), abs=1e-9)
    assert not _unstable(problem, state).any()
    members = state.posterior * problem.px / (state.posterior @ problem.px)[:, None]
    assert not problem.exceeds(state.atoms, members, 1.0 / 6.0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_without_entries_next_to_zero_the_numbers_are_as_they_were(kind):
    """On positive tables nothing is left out: the metric is that of the definition at the atoms, to 1e-10."""
    rng = np.random.default_rng(4)
    for seed in range(4):
        joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(5), 20), rng.dirichlet(2.0 * np.ones(20)))
        solution = dualib.solve(joint, float(rng.uniform(4.0, 20.0)), kind, random_state=seed)
        problem, state = swept(joint, solution.beta, kind, solution.encoder)
        assert problem.seen(state.atoms) is state.atoms
        rows = problem.whitened(state.atoms) * np.sqrt(state.posterior * problem.px / state.atoms.weights[:, None])[:, :, None]
        plain = np.linalg.eigvalsh(np.matmul(rows.transpose(0, 2, 1), rows))[:, -1]
        np.testing.assert_allclose(solution.stability, solution.beta * plain, atol=1e-10)
        sweeps = Sweeps(joint, kind, solution.beta, solution.decoder > 0.0)
        radius = spectral_radius(sweeps, *sweeps.decoder(solution.encoder), solution.decoder > 0.0)
        assert solution.rho == pytest.approx(radius, abs=1e-10)


def test_a_sparse_table_has_the_numbers_of_its_dense_form():
    """The power method, thirty steps of it, had 0.56 for 0.63."""
    for seed in range(4):
        table = counts(seed)
        solution = dualib.solve(JointDistribution.from_counts(table), 6.0 + 2.0 * seed)
        problem, state = swept(solution.joint, solution.beta, "ib", solution.encoder)
        thin = SparseProblem(JointDistribution.from_counts(sparse.csr_array(table)))
        found = sparse_stability(thin, thin.sweep(solution.beta, state.atoms))
        np.testing.assert_allclose(found, stability_numbers(problem, state), rtol=1e-8, atol=1e-8)


def test_a_sparse_cluster_with_an_entry_next_to_zero():
    problem, settled, state = far_entry(1e-123)
    thin = SparseProblem(JointDistribution(sparse.csr_array(problem.joint.pxy)))
    found = sparse_stability(thin, thin.sweep(6.0, state.atoms))
    np.testing.assert_allclose(found, stability_numbers(problem, settled), rtol=1e-8, atol=1e-8)


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
    problem = Problem(joint, solution.distortion)
    means = np.concatenate([problem.U, problem.px @ problem.U[None]])
    face = np.concatenate([joint.py_x > 0.0, np.ones((1, 3), dtype=bool)])
    atoms = Atoms(np.array([0.3, 0.3, 0.3, 0.1]), means, face)
    state = sweep(problem, 1e5, atoms)
    assert state.new.weights[3] == 0.0
    numbers = stability_numbers(problem, state)
    assert numbers[3] == 0.0 and np.isfinite(numbers).all() and math.isfinite(slowest_rate(problem, state))


def test_where_more_clusters_than_needed_share_the_weight_the_error_is_unbounded():
    """Two clusters of one decoder: any split of their weight is a fixed point, so rho is 1 and the bound inf, not rounding's."""
    joint = datasets.toy()
    solution = dualib.solve(joint, 8.0)
    halves = np.repeat(solution.encoder, 2, axis=1) * np.tile([0.3, 0.7], solution.n_clusters)
    problem, state = swept(joint, 8.0, "ib", halves)
    assert slowest_rate(problem, state) == pytest.approx(1.0, abs=1e-12)
    from dualib.assemble import _Later

    later = _Later(problem, state._replace(residual=1e-12), np.arange(len(state.atoms)), slice(0, len(state.atoms)))
    assert later.error_bound() == math.inf


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
    assert 1.0 < ax.get_ylim()[1] < 1.2
    plt.close(ax.figure)
