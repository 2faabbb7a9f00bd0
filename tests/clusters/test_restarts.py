"""The compiled search of hard clusters by the IB: its pieces against NumPy, its ends against every partition."""

import numpy as np
import pytest
from partitions import least_of_all, priced, with_zeros

import dualib
from dualib.clusters import compiled
from dualib.clusters.hard import hard_clusters
from dualib.clusters.pools import xlogx
from dualib.clusters.restarts import Restarts
from dualib.clusters.search import search_free, search_hard
from dualib.distortions.bottlenecks import IB
from dualib.engine.problem import Problem


def problem_of(seed, **options):
    px, py_x = with_zeros(seed, **options)
    return Problem(dualib.JointDistribution.from_conditionals(py_x, px), IB())


def table_of(problem):
    data, indices, ends = problem.csr
    return (data, indices, ends, problem.px), xlogx(np.repeat(problem.px, np.diff(ends)) * data)


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


@pytest.mark.parametrize("price", [0.0, 0.3])
def test_seeds_are_drawn_by_what_sharing_a_cluster_costs(price):
    problem = problem_of(4, n_x=9)
    table, masses = table_of(problem)
    draws, labels = np.array([0.35, 0.8, 0.1]), np.zeros(9, dtype=np.int64)
    scratch = (np.zeros(9), np.zeros(problem.k), np.zeros(9))
    compiled.seeds(price, *table, masses, draws, *scratch, labels)
    alone = hard_clusters(problem, price, np.arange(9), 9)

    def costs(one):  # of every pair that shares a cluster, less what both cost alone
        pairs = [[one if x == other else x for x in range(9)] for other in range(9)]
        return np.array([priced("ib", problem.px, problem.py_x, price, np.array(pair)) - alone.objective for pair in pairs])

    chances, nearest, expected = problem.px, None, np.zeros(9, dtype=np.int64)
    for seed, draw in enumerate(draws):
        one = int(np.searchsorted(np.cumsum(chances), draw * chances.sum(), side="right"))
        rise = np.maximum(costs(one), 0.0)
        closer = np.ones(9, dtype=bool) if nearest is None else rise < nearest
        expected[closer] = seed
        nearest = rise if nearest is None else np.minimum(rise, nearest)
        chances = nearest
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("price", [0.0, 0.3])
def test_mergers_are_the_cheapest_and_leave_the_sums_of_what_is_left(price):
    problem = problem_of(5, n_x=9)
    labels, (table, masses) = np.arange(9, dtype=np.int64) % 6, table_of(problem)
    sums = (np.zeros(6), np.zeros(6), np.zeros((problem.k, 6)), np.zeros((problem.k, 6)))
    compiled.single_moves(price, 1e-12, 0, 0, 6, *table, masses, labels, *sums)
    slow = labels.copy()
    assert compiled.merge_down(price, 6, 3, 0.0, labels, *sums, np.zeros((6, 6))) == 3
    for _ in range(3):
        pairs = [(i, j) for i in np.unique(slow) for j in np.unique(slow) if i < j]
        i, j = min(pairs, key=lambda p: priced("ib", problem.px, problem.py_x, price, np.where(slow == p[1], p[0], slow)))
        slow = np.where(slow == j, i, slow)
    assert labels.max() < 3
    np.testing.assert_array_equal(labels[:, None] == labels, slow[:, None] == slow)
    np.testing.assert_allclose(sums[1][:3], np.bincount(labels, problem.px, 3), atol=1e-15)
    members = np.eye(3)[labels].T * problem.px
    np.testing.assert_allclose(sums[2][:, :3].T, members @ problem.py_x, atol=1e-15)


def test_own_distortions_are_those_in_numpy():
    problem = problem_of(6, n_x=8)
    labels, (table, masses) = np.array([0, 1, 2, 0, 1, 0, 1, 1]), table_of(problem)
    sums, result = (np.zeros(3), np.zeros(3), np.zeros((problem.k, 3)), np.zeros((problem.k, 3))), np.zeros(8)
    compiled.single_moves(0.0, 1e-12, 0, 0, 3, *table, masses, labels, *sums)
    compiled.own_distortions(*table, masses, labels, *sums[:3], result)
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
