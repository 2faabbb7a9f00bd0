"""Error exponents: against their definitions, the dual IB's distortion, and errors counted exactly."""

import itertools
import math

import numpy as np
import pytest

import dualib
from dualib.exponents import cluster_chernoff, mean_exponent


def brute_chernoff(p, q):
    """On a fine grid of exponents, then a finer one about its best point."""
    grid = np.linspace(0.0, 1.0, 2001)
    for _ in range(3):
        values = [-math.log(sum(a**s * b ** (1.0 - s) for a, b in zip(p, q, strict=True))) for s in grid]
        best = grid[int(np.argmax(values))]
        width = grid[1] - grid[0]
        grid = np.linspace(max(0.0, best - width), min(1.0, best + width), 201)
    return max(values)


def brute_mean_exponent(joint, encoder):
    total = 0.0
    for t in range(encoder.shape[1]):
        weight = sum(joint.px[x] * encoder[x, t] for x in range(joint.n_x))
        mass = 0.0
        for y in range(joint.n_y):
            product = 1.0
            for x in range(joint.n_x):
                if joint.px[x] * encoder[x, t] > 0.0:
                    product *= joint.py_x[x, y] ** (joint.px[x] * encoder[x, t] / weight)
            mass += product
        total -= weight * math.log(mass)
    return total


@pytest.fixture(params=["ib", "dualib"])
def solution(request):
    rng = np.random.default_rng(1)
    joint = dualib.JointDistribution.from_conditionals(rng.dirichlet(np.ones(4), 7), rng.dirichlet(np.ones(7)))
    return dualib.solve(joint, 6.0, request.param)


def test_cluster_chernoff_by_brute_force(solution):
    found = cluster_chernoff(solution)
    assert found.shape == (solution.n_clusters,) * 2
    assert solution.n_clusters > 2
    for i, j in itertools.combinations(range(solution.n_clusters), 2):
        assert found[i, j] == found[j, i] == pytest.approx(brute_chernoff(*solution.decoder[[i, j]]), abs=1e-9)
    np.testing.assert_array_equal(np.diag(found), 0.0)
    np.testing.assert_allclose(cluster_chernoff(solution, unit="bits") * np.log(2.0), found, rtol=1e-13)


def test_mean_exponent_by_brute_force(solution):
    expected = brute_mean_exponent(solution.joint, solution.encoder)
    assert mean_exponent(solution) == pytest.approx(expected, abs=1e-12)
    assert mean_exponent(solution, unit="bits") == pytest.approx(expected / math.log(2.0), abs=1e-12)


def test_mean_exponent_is_the_distortion_of_the_dual_ib():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        joint = dualib.JointDistribution.from_conditionals(rng.dirichlet(np.ones(5), 6))
        dual, other = dualib.solve(joint, 5.0, "dualib"), dualib.solve_at(joint, "ib", rate=0.4)
        assert mean_exponent(dual) == pytest.approx(dual.expected_distortion, abs=1e-9)
        at_rate = dualib.solve_at(joint, "dualib", rate=0.4)  # the least of all encoders of that rate
        assert mean_exponent(at_rate) <= mean_exponent(other) + 1e-9


def test_two_members_give_the_chernoff_coefficient():
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.2, 0.6])
    joint = dualib.JointDistribution.from_conditionals([p, q], [0.3, 0.7])
    solution = dualib.solve(joint, 0.01, "dualib")
    assert solution.n_clusters == 1
    coefficient = dualib.information.chernoff_coefficient(p, q, 0.3)
    assert mean_exponent(solution) == pytest.approx(-math.log(coefficient), abs=1e-13)
    np.testing.assert_array_equal(cluster_chernoff(solution), [[0.0]])


def test_zeros():
    joint = dualib.JointDistribution.from_conditionals(np.eye(3))
    together = dualib.solve(joint, 0.5, "ib")
    assert together.n_clusters == 1
    assert mean_exponent(together) == np.inf
    apart = dualib.solve(joint, 2.0, "dualib")
    assert mean_exponent(apart) == 0.0
    assert np.isinf(cluster_chernoff(apart)[~np.eye(3, dtype=bool)]).all()
    erasure = dualib.datasets.erasure(0.3)
    assert mean_exponent(dualib.solve(erasure, 0.2, "dualib")) == pytest.approx(-math.log(0.3), abs=1e-12)
    # a source of no probability counts in no cluster
    dead = dualib.JointDistribution.from_conditionals(np.vstack([erasure.py_x, [1.0, 0.0, 0.0]]), [0.5, 0.5, 0.0])
    assert mean_exponent(dualib.solve(dead, 0.2, "dualib")) == pytest.approx(-math.log(0.3), abs=1e-12)


def test_errors_fall_at_the_predicted_rate():
    """Exact error probabilities of maximum likelihood over all counts: log(sqrt(n) error) falls with slope - min C."""
    solution = dualib.solve_at(dualib.datasets.symmetric(3, 0.7), "dualib", rate=0.9)
    least = np.min(cluster_chernoff(solution)[~np.eye(solution.n_clusters, dtype=bool)])

    def error(n):
        counts = np.array([(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)])
        ways = np.array([math.lgamma(n + 1) - sum(math.lgamma(c + 1) for c in row) for row in counts])
        logs = ways[:, None] + counts @ np.log(solution.decoder).T + np.log(solution.weights)
        return float(np.sum(np.exp(np.sort(logs, axis=1)[:, :-1])))

    # period-free: the slope over a long stretch, the prefactor 1/sqrt(n) of Bahadur and Rao taken out
    first, last = 60, 180
    slope = (math.log(error(last) * math.sqrt(last)) - math.log(error(first) * math.sqrt(first))) / (last - first)
    assert -slope == pytest.approx(least, rel=0.03)


def test_bad_input():
    rate_distortion = dualib.solve(dualib.datasets.toy(), 4.0, dualib.RateDistortion(1.0 - np.eye(5)))
    with pytest.raises(ValueError, match="rate-distortion matrix"):
        cluster_chernoff(rate_distortion)
    assert mean_exponent(rate_distortion) >= 0.0
    with pytest.raises(ValueError, match="unit must be"):
        mean_exponent(rate_distortion, unit="bans")
