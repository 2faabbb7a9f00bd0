"""The compiled search of hard clusters by the IB: its pieces against NumPy, its ends against every partition."""

import itertools

import mpmath
import numpy as np
import pytest
from partitions import least_of_all, priced, with_zeros

import dualib
from dualib.clusters import compiled
from dualib.clusters.hard import compiled_table, hard_clusters
from dualib.clusters.restarts import Restarts
from dualib.clusters.search import search_free, search_hard
from dualib.distortions.bottlenecks import IB
from dualib.engine.problem import Problem


def problem_of(seed, **options):
    px, py_x = with_zeros(seed, **options)
    return Problem(dualib.JointDistribution.from_conditionals(py_x, px), IB())


@pytest.mark.parametrize("price", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_found_has_the_objectives_stated(price, seed):
    problem = problem_of(seed, n_x=10)
    restarts = Restarts(problem, price, 3, np.random.default_rng(seed))
    restarts.run([np.arange(10) % 3], 5, 12, 12, 2)
    assert len(restarts.ends) == 5
    for value, labels in [*restarts.ends, restarts.best, *restarts.trials]:
        assert value == pytest.approx(priced("ib", problem.px, problem.py_x, price, labels), abs=1e-12)
        assert labels.max() < 3 and value >= restarts.best[0] - 1e-12
    best = hard_clusters(problem, price, restarts.best[1], 3)
    assert best.best_changes().min() >= -1e-11  # no single move improves it


def test_products_with_the_logarithm_are_right_to_the_last_digits():
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [
            [0.0, 1.0],
            np.exp(rng.uniform(-700.0, 5.0, 2000)),
            1.0 + rng.normal(0.0, 1e-3, 1000),
            2.0 ** rng.integers(-60, 4, 99),
        ]
    )
    with mpmath.workdps(50):
        exact = np.array([float(mpmath.mpf(v) * mpmath.log(mpmath.mpf(v))) if v else 0.0 for v in values.tolist()])
    for count in (len(values), 7):  # several at a time and one by one, with the same bits
        got = values.copy()
        compiled.xlogx(got, count, np.empty(len(values)), np.empty(len(values)))
        np.testing.assert_allclose(got[:count], exact[:count], rtol=4e-16, atol=0.0)
        np.testing.assert_array_equal(got[count:], values[count:])
    singly = values.copy()
    for i in range(len(values)):
        compiled.xlogx(singly[i:], 1, np.empty(1), np.empty(1))
    compiled.xlogx(values, len(values), np.empty(len(values)), np.empty(len(values)))
    np.testing.assert_array_equal(singly, values)


@pytest.mark.parametrize("price", [0.0, 0.3])
def test_mergers_are_the_cheapest_and_leave_the_sums_of_what_is_left(price):
    problem = problem_of(5, n_x=9)
    labels, table = np.arange(9, dtype=np.int64) % 6, compiled_table(problem)
    sums = (np.zeros(6), np.zeros(6), np.zeros((problem.k, 6)), np.zeros((problem.k, 6)))
    compiled.single_moves(price, 1e-12, 0, 0, 6, *table, labels, *sums)
    slow = labels.copy()
    assert compiled.merge_down(price, 6, 3, labels, *sums, np.zeros((6, 6))) == 3
    for _ in range(3):
        pairs = [(i, j) for i in np.unique(slow) for j in np.unique(slow) if i < j]
        i, j = min(pairs, key=lambda p: priced("ib", problem.px, problem.py_x, price, np.where(slow == p[1], p[0], slow)))
        slow = np.where(slow == j, i, slow)
    assert labels.max() < 3
    np.testing.assert_array_equal(labels[:, None] == labels, slow[:, None] == slow)
    np.testing.assert_allclose(sums[1][:3], np.bincount(labels, problem.px, 3), atol=1e-15)
    members = np.eye(3)[labels].T * problem.px
    np.testing.assert_allclose(sums[2][:, :3].T, members @ problem.py_x, atol=1e-15)


def test_mergers_go_on_as_long_as_they_lower_the_objective():
    problem = problem_of(5, n_x=9)
    labels, table = np.arange(9, dtype=np.int64) % 6, compiled_table(problem)
    sums = (np.zeros(6), np.zeros(6), np.zeros((problem.k, 6)), np.zeros((problem.k, 6)))
    compiled.single_moves(0.7, 1e-12, 0, 0, 6, *table, labels, *sums)
    left = compiled.merge_down(0.7, 6, 6, labels, *sums, np.zeros((6, 6)))
    assert 1 <= left < 6 and sorted(set(labels.tolist())) == list(range(left))
    clusters = hard_clusters(problem, 0.7, labels, 6)
    assert clusters.objective < hard_clusters(problem, 0.7, np.arange(9) % 6, 6).objective
    for i, j in itertools.combinations(range(left), 2):
        assert hard_clusters(problem, 0.7, np.where(labels == j, i, labels), 6).objective >= clusters.objective


def test_own_distortions_are_those_in_numpy():
    problem = problem_of(6, n_x=8)
    labels, table = np.array([0, 1, 2, 0, 1, 0, 1, 1]), compiled_table(problem)
    sums, result = (np.zeros(3), np.zeros(3), np.zeros((problem.k, 3)), np.zeros((problem.k, 3))), np.zeros(8)
    compiled.single_moves(0.0, 1e-12, 0, 0, 3, *table, labels, *sums)
    compiled.own_distortions(*table, labels, *sums[:3], result)
    np.testing.assert_allclose(result, hard_clusters(problem, 0.0, labels, 3).own_distortions(), atol=1e-14)
    assert result[2] == 0.0


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("beta", [1.0, 6.0, 40.0])
def test_any_number_of_clusters(kind, beta):
    px, py_x = with_zeros(7, n_x=7)
    joint = dualib.JointDistribution.from_conditionals(py_x, px)
    problem = Problem(joint, dualib.IB() if kind == "ib" else dualib.DualIB())
    found = search_free(problem, beta, 3, [], np.random.default_rng(0))
    own = priced(kind, problem.px, problem.py_x, 1.0 / beta, found.labels[0])
    assert beta * own == pytest.approx(least_of_all(kind, px, py_x, beta, 7), abs=1e-10)


def test_as_many_clusters_as_sources_and_one():
    problem = problem_of(8)
    for size, count in ((problem.n, problem.n), (1, 1), (50, problem.n)):
        found = search_hard(problem, np.inf, size, 2, [], np.random.default_rng(0))
        assert len(np.unique(found.labels[0])) == count and len(found.rounds) == 2
