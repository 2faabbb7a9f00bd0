"""solve(): worked cases with known answers, a naive twin, degenerate problems, options, bad input."""

import warnings

import naive
import numpy as np
import pytest
from problems import case_a, given_matrix, huang

import dualib
from dualib import JointDistribution, Status
from dualib.results.assembly import status_of

KINDS = ("ib", "dualib")


@pytest.mark.parametrize(
    ("kind", "beta", "rate", "relevance"),
    [
        ("ib", 32, 0.982403, 0.110506),
        ("ib", 16, 0.668877, 0.096482),
        ("ib", 8, 0.410584, 0.074305),
        ("ib", 4, 0.0, 0.0),
        ("dualib", 32, 0.986265, 0.110574),
        ("dualib", 16, 0.683969, 0.097294),
        ("dualib", 8, 0.444770, 0.078278),
        ("dualib", 4, 0.146712, 0.031088),
    ],
)
def test_five_point_toy_table(kind, beta, rate, relevance):
    solution = dualib.solve(dualib.datasets.toy(), beta, kind)
    assert solution.rate == pytest.approx(rate, abs=6e-7)
    assert solution.relevance == pytest.approx(relevance, abs=6e-7)
    assert solution.gap <= 1e-9
    assert solution.converged


@pytest.mark.parametrize(
    ("kind", "beta", "objective", "rate", "relevance", "clusters"),
    [
        ("ib", 2, 0.8107774226, 0.47894732, 0.28819068, 2),
        ("ib", 4, 1.0297070664, 0.80122138, 0.39698431, 3),
        ("dualib", 2, 0.8401836954, 0.49525363, 0.29036843, 2),
        ("dualib", 4, 1.0410082124, 0.87659819, 0.41055934, 3),
    ],
)
def test_published_matrix(kind, beta, objective, rate, relevance, clusters):
    solution = dualib.solve(huang(), beta, kind)
    assert solution.objective == pytest.approx(objective, abs=6e-11)
    assert solution.rate == pytest.approx(rate, abs=6e-9)
    assert solution.relevance == pytest.approx(relevance, abs=6e-9)
    assert solution.n_clusters == clusters
    assert solution.gap <= 1e-9


def test_case_a_is_past_its_onset_before_the_local_critical_beta():
    joint = case_a()
    solution = dualib.solve(joint, 2.0, "dualib")
    assert dualib.local_critical_beta(joint, "dualib") == pytest.approx(2.607823195280784, rel=1e-12)
    one = dualib.solve(joint, 2.0, "dualib", n_clusters=1)
    assert one.objective - solution.objective == pytest.approx(0.0432749, abs=6e-8)
    assert one.cap_cost == pytest.approx(0.0432749, abs=6e-8)
    assert one.gap == pytest.approx(0.0, abs=1e-9)  # nothing is below the only way to have one cluster
    np.testing.assert_allclose(solution.weights, [0.903, 0.097], atol=5e-4)


@pytest.mark.parametrize("e", [0.01, 0.1, 0.3, 0.45])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ratio", [0.5, 1 - 1e-4, 1 + 1e-4, 1.2, 4.0])
def test_binary_symmetric_channel(kind, e, ratio):
    """Closed forms: the decoders are r = (s(u), s(-u)) with u solving a scalar equation (here by bisection)."""
    length = np.log((1 - e) / e)
    critical = 1 / (1 - 2 * e) ** 2 if kind == "ib" else 4 / length**2
    beta = ratio * critical
    solution = dualib.solve(dualib.datasets.binary_symmetric(e), beta, kind)
    r = dualib_r(beta, length) if kind == "dualib" else ib_r(beta, e)
    assert solution.n_clusters == (2 if ratio > 1 else 1)
    assert solution.n_iter <= 50
    decoder = np.sort(solution.decoder[:, 0])
    np.testing.assert_allclose(decoder, [1 - r, r] if ratio > 1 else [0.5], atol=1e-9)
    # the objective, from the closed form: with a symmetric pair of decoders Z(x) = (L_same + L_other) / 2
    same = naive.distortion(kind, [1 - e, e], [r, 1 - r])
    other = naive.distortion(kind, [1 - e, e], [1 - r, r])
    objective = -np.log(0.5 * np.exp(-beta * same) + 0.5 * np.exp(-beta * other))
    assert solution.objective == pytest.approx(objective, abs=1e-9)


def dualib_r(beta, length):
    def excess(u):
        return length * np.tanh(beta * np.tanh(u / 2) * length / 2) - u

    return logistic(bisect(excess, 1e-9, length)) if excess(1e-9) > 0 else 0.5


def ib_r(beta, e):
    """r = 1 - a*e with the flip probability a of the encoder solving its self-consistent equation."""

    def excess(u):
        r = logistic(u)
        posterior = logistic(beta * (1 - 2 * e) * np.log(r / (1 - r)))
        mixed = posterior * (1 - e) + (1 - posterior) * e
        return np.log(mixed / (1 - mixed)) - u

    return logistic(bisect(excess, 1e-9, 50.0)) if excess(1e-9) > 0 else 0.5


def logistic(u):
    return 1 / (1 + np.exp(-u))


def bisect(function, low, high):
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return low


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [0.3, 0.9, 1.1, 2.0, 50.0])
def test_erasure_channel(kind, beta):
    e = 0.3
    solution = dualib.solve(dualib.datasets.erasure(e), beta, kind)
    if kind == "dualib":
        assert solution.objective == pytest.approx(min(np.log(2), -beta * np.log(e)), abs=1e-10)
    else:
        expected = min(beta * (1 - e) * np.log(2), np.log(2))
        assert solution.objective == pytest.approx(expected, abs=1e-10)
    assert solution.gap <= 1e-9


@pytest.mark.parametrize("beta", [0.2, 0.99, 1.01, 7.0])
def test_deterministic_y(beta):
    joint = JointDistribution.from_conditionals(np.eye(3)[[0, 0, 1, 1, 2, 2]])
    entropy = np.log(3)
    ib = dualib.solve(joint, beta, "ib")
    assert ib.objective == pytest.approx(min(1.0, beta) * entropy, abs=1e-10)
    assert ib.rate == pytest.approx(ib.relevance, abs=1e-10)
    dual = dualib.solve(joint, beta, "dualib")
    assert dual.objective == pytest.approx(entropy, abs=1e-10)
    assert dual.n_clusters == 3


@pytest.mark.parametrize("p", [0.5, 0.3, 0.05])
@pytest.mark.parametrize("beta", [0.5, 1.5, 4.0])
def test_bernoulli_hamming(p, beta):
    joint = JointDistribution.from_conditionals(np.eye(2), [1 - p, p])
    solution = dualib.solve(joint, beta, dualib.RateDistortion([[0, 1], [1, 0]]))
    d = min(p, 1 / (1 + np.exp(beta)))
    h = lambda q: -q * np.log(q) - (1 - q) * np.log(1 - q)  # noqa: E731
    assert solution.expected_distortion == pytest.approx(d, abs=1e-8)
    assert solution.rate == pytest.approx(h(p) - h(d), abs=1e-8)
    assert solution.certificate == "rigorous"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(7, 4), (3, 9), (12, 2), (1, 5), (5, 1)])
def test_the_answer_solves_the_self_consistent_equations(kind, size):
    rng = np.random.default_rng(5)
    px, py_x = naive.random_problem(rng, *size)
    beta = 6.0
    solution = dualib.solve(JointDistribution.from_conditionals(py_x, px), beta, kind)
    objective, encoder, weights, decoder = naive.sweep(kind, px, py_x, solution.weights, solution.decoder, beta)
    np.testing.assert_allclose(encoder, solution.encoder, atol=1e-9)
    np.testing.assert_allclose(weights, solution.weights, atol=1e-9)
    np.testing.assert_allclose(decoder, solution.decoder, atol=1e-8)
    assert solution.objective == pytest.approx(objective, abs=1e-10)
    pairs = px[:, None] * solution.encoder
    assert solution.rate == pytest.approx(naive.mutual_information(pairs), abs=1e-10)
    assert solution.relevance == pytest.approx(naive.mutual_information(solution.encoder.T @ (px[:, None] * py_x)), abs=1e-10)
    claimed = solution.weights[:, None] * solution.decoder
    assert solution.decoder_information == pytest.approx(naive.mutual_information(claimed), abs=1e-10)
    d = naive.distortion_matrix(kind, py_x, solution.decoder)
    assert solution.expected_distortion == pytest.approx(np.sum(pairs * d), abs=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_no_restart_of_plain_sweeps_is_better(kind):
    rng = np.random.default_rng(11)
    px, py_x = naive.random_problem(rng, 8, 4)
    solution = dualib.solve(JointDistribution.from_conditionals(py_x, px), 5.0, kind)
    for _ in range(10):
        weights, decoder = np.full(6, 1 / 6), rng.dirichlet(np.ones(4), 6)
        for _ in range(300):
            objective, _, weights, decoder = naive.sweep(kind, px, py_x, weights, decoder, 5.0)
        assert objective >= solution.objective - 1e-10


def test_disjoint_supports_merge_where_that_is_better():
    """Plain sweeps from the identity stay 0.33 nats above the optimum for ever here."""
    solution = dualib.solve(JointDistribution.from_conditionals(np.eye(5)), 0.7, "ib")
    assert solution.n_clusters == 1
    assert solution.objective == pytest.approx(0.7 * np.log(5), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [1e-3, 0.5, 3.0, 1e4])
def test_zeros_are_exact(kind, beta):
    rng = np.random.default_rng(2)
    py_x = rng.dirichlet(np.ones(5), 8) * (rng.random((8, 5)) < 0.6)
    py_x[py_x.sum(axis=1) == 0] = 1.0
    py_x /= py_x.sum(axis=1, keepdims=True)
    solution = dualib.solve(JointDistribution.from_conditionals(py_x), beta, kind)
    d = naive.distortion_matrix(kind, py_x, solution.decoder)
    assert (solution.encoder[np.isinf(d)] == 0.0).all()
    assert np.isfinite(solution.objective)
    assert solution.gap <= 1e-9
    assert solution.objective == pytest.approx(
        naive.objective_of_encoder(kind, np.full(8, 1 / 8), py_x, solution.encoder, beta), rel=1e-9, abs=1e-10
    )


def test_sources_without_probability_come_back_in_their_places():
    rng = np.random.default_rng(3)
    pxy = rng.dirichlet(np.ones(20)).reshape(5, 4)
    with_gaps = np.zeros((7, 5))
    with_gaps[np.ix_([0, 2, 3, 5, 6], [0, 1, 3, 4])] = pxy
    for kind in KINDS:
        plain = dualib.solve(JointDistribution(pxy), 10.0, kind)
        gaps = dualib.solve(JointDistribution(with_gaps), 10.0, kind)
        assert gaps.encoder.shape == (7, plain.n_clusters)
        np.testing.assert_allclose(gaps.encoder[[0, 2, 3, 5, 6]], plain.encoder, atol=1e-7)
        np.testing.assert_allclose(gaps.encoder.sum(axis=1), 1.0, atol=1e-14)
        assert (gaps.decoder[:, 2] == 0.0).all()
        assert gaps.objective == pytest.approx(plain.objective, abs=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_sources_are_merged_and_unmerged(kind):
    rng = np.random.default_rng(4)
    px, py_x = naive.random_problem(rng, 6, 4)
    split = np.concatenate([px[:5], [0.4 * px[5], 0.6 * px[5]]])
    one = dualib.solve(JointDistribution.from_conditionals(py_x, px), 9.0, kind)
    two = dualib.solve(JointDistribution.from_conditionals(py_x[[0, 1, 2, 3, 4, 5, 5]], split), 9.0, kind)
    assert two.objective == pytest.approx(one.objective, abs=1e-11)
    np.testing.assert_array_equal(two.encoder[5], two.encoder[6])
    assert two.n_clusters == one.n_clusters


@pytest.mark.parametrize("beta", [1e-3, 1e-1, 10.0, 1e3, 1e4])
@pytest.mark.parametrize("kind", KINDS)
def test_extreme_betas(kind, beta):
    rng = np.random.default_rng(8)
    px, py_x = naive.random_problem(rng, 9, 5, 0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = dualib.solve(JointDistribution.from_conditionals(py_x, px), beta, kind)
    assert solution.gap <= 1e-9 * max(1.0, beta * 1e-3)
    if beta == 1e-3:
        assert solution.n_clusters == 1
    if beta == 1e4:
        assert solution.n_clusters == 9
        assert solution.objective == pytest.approx(-np.sum(px * np.log(px)), abs=1e-6)


def test_rounding_is_no_missed_tolerance():
    assert status_of(1e-11, 0.0, 1e-15) is Status.CONVERGED


def test_means_that_nearly_vanish_are_stationary_too():
    """A mean of 1e-16 moves the residual and not the objective: Newton's steps ended at a residual of 1e-9 here."""
    rng = np.random.default_rng([7, 42])
    n_x, n_y = (int(n) for n in rng.integers(2, 13, 2))
    py_x = rng.dirichlet(np.full(n_y, np.exp(rng.uniform(np.log(0.05), np.log(5.0)))), n_x)
    beta = float(10.0 ** rng.uniform(-2.0, 4.0))
    solution = dualib.solve(JointDistribution.from_conditionals(py_x, rng.dirichlet(np.full(n_x, 2.0))), beta)
    assert solution.residual <= 1e-12


def blahut(px, matrix, beta):
    """The least of I + beta E d over all encoders, by Blahut's sweeps, and a bound of how far it still is from it."""
    weights, likelihood = np.full(matrix.shape[1], 1.0 / matrix.shape[1]), np.exp(-beta * matrix)
    for _ in range(20_000):
        ratio = (px / (likelihood @ weights)) @ likelihood
        weights = weights * ratio
    return -px @ np.log(likelihood @ weights), np.log(ratio.max())


@pytest.mark.parametrize("start", ["given", "random", "capped", "local"])
def test_rate_distortion_comes_from_every_start_to_blahuts_optimum(start):
    joint, px, matrix = given_matrix()
    least, slack = blahut(px, matrix, 5.0)
    assert slack < 1e-12
    encoder = np.random.default_rng(2).dirichlet(np.ones(4), 6)
    options = {
        "given": {"init": encoder},
        "random": {"init": "random", "random_state": 4},
        "capped": {"n_clusters": 4},
        "local": {"init": encoder, "certify": False},
    }
    solution = dualib.solve(joint, 5.0, dualib.RateDistortion(matrix), **options[start])
    assert solution.objective == pytest.approx(least, abs=1e-9)
    assert set(solution.means.sum(axis=1)) == {1.0} and set(np.unique(solution.means)) == {0.0, 1.0}  # of whole columns


def test_a_capped_rate_distortion_problem_has_the_best_columns():
    joint, px, matrix = given_matrix()
    single = dualib.solve(joint, 5.0, dualib.RateDistortion(matrix), n_clusters=1)
    assert single.objective == pytest.approx(5.0 * (px @ matrix).min(), rel=1e-12)
    pairs = [blahut(px, matrix[:, [i, j]], 5.0)[0] for i in range(4) for j in range(i)]
    pair = dualib.solve(joint, 5.0, dualib.RateDistortion(matrix), n_clusters=2, n_restarts=30)
    assert pair.objective == pytest.approx(min(pairs), abs=1e-9)


def test_of_too_many_unknowns_the_rate_is_not_computed(monkeypatch):
    solution = dualib.solve(huang(), 4.0)
    monkeypatch.setattr("dualib.engine.stability._MOST_UNKNOWNS", 0)
    assert solution.rho == np.inf
    assert solution.error_bound == (np.inf if solution.residual > 0.0 else 0.0)
