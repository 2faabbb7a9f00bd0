"""Moves of hard clusters against the objective computed anew from the definitions."""

import itertools

import numpy as np
import pytest
from partitions import least_of_all, partitions, priced, with_zeros

import dualib
from dualib import JointDistribution
from dualib.clusters.capped import batch_of_labels, capped, softened, together
from dualib.clusters.columns import best_columns
from dualib.clusters.hard import HardClusters, hard_clusters
from dualib.clusters.search import search_hard
from dualib.clusters.seeds import canonical, covered_labels, regrown_labels, seeded_labels
from dualib.distortions.named import as_distortion
from dualib.encoders import encoder_rows
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep

KINDS = ["ib", "dualib", dualib.Bregman.squared_euclidean(), dualib.Alpha(0.5)]
LABELS = np.array([0, 0, 1, 2, 2, 2, 0])


class Own(dualib.IB):
    """The IB under another name, to which nothing of the IB's own is applied."""


def problem_of(kind, seed, **size):
    px, py_x = with_zeros(seed, **size)
    return px, py_x, Problem(JointDistribution.from_conditionals(py_x, px), as_distortion(kind))


@pytest.mark.parametrize("price", [0.0, 0.05, 0.7])
@pytest.mark.parametrize("kind", [*KINDS, Own()], ids=str)
def test_a_move_changes_the_objective_by_what_was_said(kind, price):
    px, py_x, problem = problem_of(kind, 6)
    kind = "ib" if isinstance(kind, Own) else kind

    def value(labels):
        return priced(kind, px, py_x, price, labels)

    clusters = HardClusters(problem, price, LABELS, 4)  # the fourth is empty
    assert clusters.objective == pytest.approx(value(LABELS), abs=1e-12)
    assert clusters.objective_at(0.3) == pytest.approx(priced(kind, px, py_x, 0.3, LABELS), abs=1e-12)
    changes = clusters.changes(np.arange(7))
    for x, t in itertools.product(range(7), range(4)):
        moved = LABELS.copy()
        moved[x] = t
        assert changes[x, t] == pytest.approx(value(moved) - value(LABELS), abs=1e-12)
    np.testing.assert_allclose(clusters.best_changes(), changes.min(axis=1), atol=1e-15)
    clusters.move(0, 3)
    assert clusters.objective == pytest.approx(value(clusters.labels), abs=1e-12)
    clusters.single_moves()
    assert clusters.objective == pytest.approx(value(clusters.labels), abs=1e-12)
    assert clusters.best_changes().min() >= -1e-11


@pytest.mark.parametrize("price", [0.0, 0.05, 0.7])
@pytest.mark.parametrize("kind", [*KINDS, Own()], ids=str)
def test_mergers_pairings_and_distortions_are_those_computed_anew(kind, price):
    px, py_x, problem = problem_of(kind, 6)
    clusters = hard_clusters(problem, price, np.array([0, 1, 2, 3, 3, 2, 1]), 4)
    kind = "ib" if isinstance(kind, Own) else kind
    apart = np.arange(7)
    for x in range(7):
        both = [priced(kind, px, py_x, price, np.where(apart == other, x, apart)) for other in range(7)]
        rise = np.maximum(np.array(both) - priced(kind, px, py_x, price, apart), 0.0)
        np.testing.assert_allclose(clusters.pairings(x), rise, atol=1e-12)
    assert clusters.own_distortions().sum() == pytest.approx(priced(kind, px, py_x, 0.0, clusters.labels), abs=1e-12)
    labels, least = clusters.labels, np.inf
    while True:  # one merger, and more while they lower the objective
        pairs = itertools.combinations(np.unique(labels), 2)
        pooled = [np.where(labels == j, i, labels) for i, j in pairs]
        values = [priced(kind, px, py_x, price, some) for some in pooled]
        if not values or min(values) >= least:
            break
        labels, least = pooled[int(np.argmin(values))], min(values)
    clusters.merge_down(3)
    assert clusters.objective == pytest.approx(least, abs=1e-12)
    clusters.merge_down(1, np.random.default_rng(0))
    assert clusters.objective == pytest.approx(priced(kind, px, py_x, price, np.zeros(7, dtype=int)), abs=1e-12)


@pytest.mark.parametrize("price", [0.0, 0.05, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_compiled_moves_end_where_no_move_is_left(price, seed):
    px, py_x, problem = problem_of("ib", seed, n_x=15)
    clusters = hard_clusters(problem, price, np.random.default_rng(seed).integers(0, 4, 15), 4)
    before = clusters.objective
    clusters.single_moves()
    assert clusters.objective <= before
    assert clusters.objective == pytest.approx(priced("ib", px, py_x, price, clusters.labels), abs=1e-12)
    assert HardClusters(problem, price, clusters.labels, 4).best_changes().min() >= -1e-11


@pytest.mark.parametrize("kind", [*KINDS, Own()], ids=str)
def test_moves_of_all_never_lead_higher(kind):
    px, py_x, problem = problem_of(kind, 2, n_x=14)
    kind = "ib" if isinstance(kind, Own) else kind
    for price in (0.0, 0.1):
        clusters = hard_clusters(problem, price, np.random.default_rng(1).integers(0, 4, 14), 5)
        before = clusters.objective
        clusters.batch_moves()
        assert clusters.objective <= before
        assert clusters.objective == pytest.approx(priced(kind, px, py_x, price, clusters.labels), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_search_finds_the_best_partition_of_a_small_table(kind):
    px, py_x, problem = problem_of(kind, 1)
    for beta, k in ((30.0, 2), (100.0, 3)):
        found = search_hard(problem, beta, k, 3, [], np.random.default_rng(0)).labels
        values = [priced(kind, px, py_x, 1.0 / beta, labels) for labels in found]
        assert values == sorted(values) and max(len(np.unique(labels)) for labels in found) <= k
        assert values[0] == pytest.approx(min(priced(kind, px, py_x, 1.0 / beta, labels) for labels in partitions(7, k)))


def test_two_clusters_that_must_become_one_as_an_x_leaves():
    """From the second best, {0, 3} and {1, 2, 4}, no single move and no merger leads lower."""
    px = np.array([0.3344, 0.2402, 0.1495, 0.1636, 0.1123])
    py_x = np.array(
        [
            [0.0756, 0.2306, 0.3521, 0.127, 0.2147],
            [0.337, 0.077, 0.2045, 0.273, 0.1085],
            [0.597, 0.0944, 0.2021, 0.0708, 0.0357],
            [0.1585, 0.3886, 0.1661, 0.158, 0.1288],
            [0.2867, 0.145, 0.0674, 0.1778, 0.3231],
        ]
    )
    solution = dualib.solve(
        JointDistribution.from_conditionals(py_x, px), 7.74, "dualib", n_clusters=4, alpha=0.0, certify=False
    )
    assert solution.labels.tolist() == [0, 0, 1, 0, 0]
    assert solution.objective == pytest.approx(least_of_all("dualib", px, py_x, 7.74, 4), abs=1e-12)


def test_clusters_that_no_common_support_allows():
    """The dual IB: five x in two clusters, which only the last two y, of least weight, make possible."""
    py_x = np.array([[0.9, 0, 0, 0.1, 0], [0, 0.9, 0, 0.1, 0], [0, 0, 0.9, 0.1, 0], [0.9, 0, 0, 0, 0.1], [0, 0.9, 0, 0, 0.1]])
    problem, rng = Problem(JointDistribution.from_conditionals(py_x), dualib.DualIB()), np.random.default_rng(0)
    assert canonical(covered_labels(problem, 2, rng)).tolist() == [0, 0, 0, 1, 1]
    assert covered_labels(problem, 1, rng) is None
    assert search_hard(problem, 5.0, 1, 2, [], rng) == ([], [])
    assert HardClusters(problem, 0.1, np.zeros(5, dtype=int), 1).objective == np.inf
    apart = HardClusters(problem, 0.0, np.arange(5), 5)
    apart.merge_down(1)  # goes as far as supports are shared
    assert np.isfinite(apart.objective) and len(np.unique(apart.labels)) == 3
    alone = hard_clusters(problem, 0.0, np.zeros(5, dtype=int), 1)
    assert np.isinf(alone.pairings(2)[3])
    for seed in range(5):
        labels = seeded_labels(problem, 0.0, 2, 4, alone.pairings, np.random.default_rng(seed))
        assert canonical(labels).tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("noisy", [False, True])
def test_grown_clusters_are_as_many_as_before(noisy):
    _, _, problem = problem_of("ib", 3, n_x=15)
    clusters = hard_clusters(problem, 0.01, np.arange(15) % 3, 3)
    labels = regrown_labels(clusters, 4, np.random.default_rng(0), noisy=noisy)
    assert len(np.unique(labels)) <= 3 and labels.tolist() == canonical(labels).tolist()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_clusterings_as_a_batch_are_the_encoders_they_stand_for(kind):
    px, py_x, problem = problem_of(kind, 6)
    some = [LABELS, np.zeros(7, dtype=int), np.arange(7)]
    batch = batch_of_labels(problem, 1e6, some)  # at which sweeps leave them hard
    assert batch.counts.tolist() == [3, 1, 7]
    for s, labels in enumerate(some):
        rows = encoder_rows(canonical(labels), 7)
        np.testing.assert_allclose(batch.weights[batch.owner == s], px @ rows)
        assert Sweep(problem, batch).objective[s] <= 1e6 * priced(kind, px, py_x, 1e-6, labels) * (1.0 + 1e-9) + 1e-6


def test_softened_starts_are_the_same_all_at_once_or_one_by_one(monkeypatch):
    _, _, problem = problem_of("ib", 6, n_x=12)
    found = search_hard(problem, 5.0, 3, 2, [], np.random.default_rng(0)).labels
    whole, _ = softened(problem, 5.0, found)
    monkeypatch.setattr("dualib.clusters.capped._AT_ONCE", 1)
    single, _ = softened(problem, 5.0, found)
    objectives = [Sweep(problem, batch).objective for batch in (whole, single)]
    assert len(found) > 1 and (np.diff(objectives[0]) >= -1e-9).all()
    np.testing.assert_allclose(*objectives, rtol=1e-12)


def test_a_capped_descent_ends_no_higher_than_its_starts():
    _, _, problem = problem_of("ib", 4, n_x=12)
    rng = np.random.default_rng(0)
    starts = [batch_of_labels(problem, 8.0, [rng.integers(0, 3, 12)], share=0.2) for _ in range(4)]
    ended = capped(problem, 8.0, 3, starts, 1, tol=1e-9, max_iter=1000, rng=rng).ended
    assert len(ended.batch.weights) <= 3 and len(ended.taken) == 1 and ended.sweep.residual[0] <= 1e-9
    assert ended.sweep.objective[0] <= Sweep(problem, together(starts)).objective.min() + 1e-12


def test_columns_are_no_more_than_there_are():
    rng = np.random.default_rng(1)
    px, matrix = rng.dirichlet(np.full(6, 2.0)), rng.random((6, 12))
    problem = Problem(JointDistribution.from_conditionals(np.eye(6), px), dualib.RateDistortion(matrix))
    assert len(best_columns(problem, 5.0, 50, []).weights) == 12
    few = best_columns(problem, 5.0, 3, [])
    assert len(few.weights) == 3
    assert len(best_columns(problem, 5.0, 3, [few]).weights) == 3
