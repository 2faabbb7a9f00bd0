"""Soft clusters merged two by two against the objective of the merged encoder."""

import itertools

import naive
import numpy as np
import pytest
from partitions import with_zeros

import dualib
from dualib import JointDistribution
from dualib.clusters.merging import merged_down, merged_into
from dualib.distortions.named import as_distortion
from dualib.engine.initial import of_encoder, one_cluster
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_merging_costs_what_it_says(kind):
    px, py_x = with_zeros(8)
    joint = JointDistribution.from_conditionals(py_x, px)
    problem, full = Problem(joint, as_distortion(kind)), dualib.solve(joint, 8.0, kind)
    batch = of_encoder(problem, [8.0], full.encoder, "encoder")
    merged = merged_down(problem, batch, Sweep(problem, batch), full.n_clusters - 1)
    costs = []
    for i, j in itertools.combinations(range(full.n_clusters), 2):
        encoder = np.delete(full.encoder, j, axis=1)
        encoder[:, i] = full.encoder[:, i] + full.encoder[:, j]
        costs.append(naive.objective_of_encoder(kind, px, py_x, encoder, 8.0))
    assert Sweep(problem, merged).objective[0] <= min(costs) + 1e-9
    everything = merged_down(problem, batch, Sweep(problem, batch), 1)
    assert Sweep(problem, everything).objective[0] == pytest.approx(
        Sweep(problem, one_cluster(problem, [8.0])).objective[0], abs=1e-12
    )


def test_what_shares_no_support_is_not_merged():
    problem = Problem(JointDistribution.from_conditionals(np.eye(3)), dualib.DualIB())
    batch = of_encoder(problem, [2.0], np.eye(3), "encoder")
    assert merged_down(problem, batch, Sweep(problem, batch), 2) is None


def test_of_fixed_columns_the_heaviest_stay():
    matrix = np.array([[0.0, 1.0, 0.4], [1.0, 0.0, 0.4], [1.0, 0.2, 0.0]])
    problem = Problem(JointDistribution.from_conditionals(np.eye(3), [0.2, 0.3, 0.5]), dualib.RateDistortion(matrix))
    batch = of_encoder(problem, [3.0], np.eye(3), "encoder")
    kept = merged_down(problem, batch, Sweep(problem, batch), 2)
    np.testing.assert_array_equal(kept.means, np.eye(3)[1:])
    np.testing.assert_allclose(kept.weights, [0.375, 0.625])


def test_numbers_on_a_line_merge_nearest_first():
    """The cost of a cluster is the sum of squares about its mean: Ward's rule, of which the tree is known here."""

    def cost(table):
        counts, sums, squares = table.T
        return squares - sums**2 / counts

    x = np.array([0.0, 1.0, 5.0, 5.5, 20.0])
    table = np.stack([np.ones(5), x, x**2], axis=1)
    for size, groups in ((5, [0, 1, 2, 3, 4]), (4, [0, 1, 2, 2, 4]), (3, [0, 0, 2, 2, 4]), (2, [0, 0, 0, 0, 4]), (1, [0] * 5)):
        into = merged_into(table, cost, size)
        np.testing.assert_array_equal(into[:, None] == into, np.equal.outer(groups, groups))
    assert len(np.unique(merged_into(table, cost, 2, np.random.default_rng(3)))) == 2
    np.testing.assert_array_equal(table[:, 0], np.ones(5))  # given arrays are left alone
