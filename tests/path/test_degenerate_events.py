"""Events of tables with structure: no cluster counted twice or without weight, and the counts of independent solves on both sides.

All 100 tables: ``python benchmarks/degenerate.py --only events``; a few of them are here, beside cases whose events are known.
"""

import math

import numpy as np
import pytest
from scipy import sparse
from test_degenerate import degenerate

import dualib
from dualib import JointDistribution
from dualib.distortions.bottlenecks import IB
from dualib.engine.batch import Batch
from dualib.engine.descent import without_idle
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep

KINDS = ("ib", "dualib")
SQUARED = dualib.Bregman(
    lambda m: 0.5 * np.sum(m**2, axis=1), lambda m: m, lambda m: np.tile(np.eye(m.shape[1]), (len(m), 1, 1))
)


def symmetric_block(e):
    return np.array([[1.0 - e, e], [e, 1.0 - e]])


def changes(curve):
    return [(event.kind, event.before, event.after) for event in curve.events]


def assert_sides_hold(curve):
    """As many clusters beside each event as it says, each of its own decoder and weight, at equal objectives where it is a jump."""
    for event in curve.events:
        assert (event.below.n_clusters, event.above.n_clusters) == (event.before, event.after)
        for side in (event.below, event.above):
            assert degenerate.surplus(side) is None
            assert side.gap <= 1e-9
        if event.kind == "jump":
            assert event.below.objective == pytest.approx(event.above.objective, abs=1e-10)


# ------------------------------------------------------------------------------------------------------------ closed forms


def test_eight_x_that_are_y():
    """Every beta below 1: one cluster; above: one per x. All of them begin at once, at beta = 1."""
    curve = dualib.anneal(JointDistribution(np.eye(8) / 8.0))
    (event,) = curve.events
    assert (event.kind, event.before, event.after, event.multiplicity) == ("jump", 1, 8, 8)
    assert event.beta == pytest.approx(1.0, abs=1e-9)
    assert event.interval[0] <= 1.0 <= event.interval[1]
    assert event.above.weights == pytest.approx(np.full(8, 0.125), abs=1e-12)
    assert_sides_hold(curve)


@pytest.mark.parametrize(("n_x", "n_y"), [(2, 2), (7, 2), (5, 5), (9, 6)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_function_of_x(n_x, n_y, seed):
    """Y = f(X): F = min(beta, 1) H(Y) for the IB, which jumps at beta = 1, and H(Y) at every beta for the dual IB."""
    pxy = np.zeros((n_x, n_y))
    pxy[np.arange(n_x), np.arange(n_x) % n_y] = np.random.default_rng(seed).dirichlet(np.full(n_x, 1.5))
    joint = JointDistribution(pxy)
    entropy = -np.sum(joint.py * np.log(joint.py))
    curve = dualib.anneal(joint, "ib", [0.5, 0.9, 1.2, 3.0])
    assert changes(curve) == [("jump", 1, n_y)]
    assert curve.events[0].beta == pytest.approx(1.0, abs=1e-9)
    assert curve.objective == pytest.approx(np.minimum(curve.beta, 1.0) * entropy, abs=1e-9)
    assert curve.n_clusters.tolist() == np.where(curve.beta < 1.0, 1, n_y).tolist()
    assert sorted(curve.events[0].above.weights) == pytest.approx(sorted(joint.py), abs=1e-12)
    assert_sides_hold(curve)
    dual = dualib.anneal(joint, "dualib", [0.1, 1.0, 10.0])
    assert not dual.events
    assert dual.n_clusters.tolist() == [n_y] * 3
    assert dual.objective == pytest.approx(entropy, abs=1e-9)


def test_blocks_of_binary_symmetric_channels():
    """Which block it is costs as much rate as it is worth: the IB tells all blocks apart from beta = 1 on, then each as if alone."""
    errors, shares = (0.05, 0.15, 0.25), (0.5, 0.3, 0.2)
    joint = degenerate.joint_of_blocks(share * symmetric_block(e) for e, share in zip(errors, shares, strict=True))
    curve = dualib.anneal(joint, "ib", np.geomspace(0.7, 8.0, 9))
    assert changes(curve) == [("jump", 1, 3), ("split", 3, 4), ("split", 4, 5), ("split", 5, 6)]
    expected = [1.0, *((1.0 - 2.0 * e) ** -2 for e in errors)]
    assert [event.beta for event in curve.events] == pytest.approx(expected, rel=1e-8)
    assert_sides_hold(curve)


def test_blocks_of_binary_symmetric_channels_of_the_dual_ib():
    """Blocks are infinitely far from each other, so each splits as if alone."""
    errors, shares = (0.05, 0.15, 0.25), (0.5, 0.3, 0.2)
    joint = degenerate.joint_of_blocks(share * symmetric_block(e) for e, share in zip(errors, shares, strict=True))
    curve = dualib.anneal(joint, "dualib", np.geomspace(0.2, 8.0, 9))
    assert changes(curve) == [("split", 3, 4), ("split", 4, 5), ("split", 5, 6)]
    expected = [4.0 / math.log((1.0 - e) / e) ** 2 for e in errors]
    assert [event.beta for event in curve.events] == pytest.approx(expected, rel=1e-8)
    assert_sides_hold(curve)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_erasure_channels(kind):
    """In each block a jump from one cluster to two."""
    losses = (0.2, 0.6)
    joint = degenerate.joint_of_blocks(np.array([[1.0 - e, e, 0.0], [0.0, e, 1.0 - e]]) for e in losses)
    curve = dualib.anneal(joint, kind, np.geomspace(0.3, 4.0, 9))
    if kind == "ib":
        assert changes(curve) == [("jump", 1, 2), ("jump", 2, 3), ("jump", 3, 4)]
        expected = [1.0, *(1.0 / (1.0 - e) for e in losses)]
    else:
        assert changes(curve) == [("jump", 2, 3), ("jump", 3, 4)]
        expected = [math.log(2.0) / -math.log(e) for e in losses]
    assert [event.beta for event in curve.events] == pytest.approx(expected, rel=1e-8)
    assert_sides_hold(curve)


# ---------------------------------------------------------------------------------------------------- by independent solves


@pytest.mark.parametrize("number", [62, 64, 69, 71, 72, 75])
@pytest.mark.parametrize("kind", KINDS)
def test_the_sides_of_events_are_those_of_solves(number, kind):
    name = list(degenerate.EVENT_TABLES)[number % 3]
    joint = degenerate.EVENT_TABLES[name](np.random.default_rng(number))
    assert list(degenerate.mismatches(joint, kind)) == []


@pytest.mark.parametrize("name", ["bregman", "alpha", "rate-distortion"])
@pytest.mark.parametrize("table", ["diagonal", "blocks"])
def test_the_same_of_other_distortions(name, table):
    joint = degenerate.EVENT_TABLES[table](np.random.default_rng(5))
    distortions = {
        "bregman": SQUARED,
        "alpha": dualib.Alpha(0.5),
        "rate-distortion": dualib.RateDistortion(1.0 - np.eye(joint.n_x)),
    }
    curve = dualib.anneal(joint, distortions[name], np.geomspace(0.3, 60.0, 7))
    assert curve.n_clusters[-1] > 1
    assert [degenerate.surplus(solution) for solution in curve] == [None] * len(curve)
    assert list(degenerate.mismatches_of_events(joint, distortions[name], curve)) == []


def test_where_events_crowd_each_states_a_change():
    """Noise of 1e-7 beside a diagonal: five clusters begin within 1e-5 of beta = 1, more than there is patience to tell apart."""
    rng = np.random.default_rng(4)
    pxy = np.diag(rng.dirichlet(np.full(5, 3.0))) + 1e-7 * rng.random((5, 5))
    curve = dualib.anneal(JointDistribution(pxy / pxy.sum()), "ib", [0.9, 1.1])
    assert curve.n_clusters.tolist() == [1, 5]
    counts = [1, *(event.after for event in curve.events)]
    assert [event.before for event in curve.events] == counts[:-1]
    assert counts[-1] == 5
    assert all(event.before != event.after for event in curve.events)
    assert_sides_hold(curve)


def test_a_cluster_born_beside_another_is_not_lost_again():
    """At its birth it is worth 2e-9 nats, its weight grows steeply: a polish used to drop it, forty times over."""
    parts = (
        np.array([[0.121], [0.015], [0.034]]) * [[0.224, 0.478, 0.298], [0.378, 0.018, 0.604], [0.693, 0.132, 0.175]],
        np.array([[0.045], [0.045], [0.013]]) * [[0.406, 0.476, 0.118], [0.042, 0.086, 0.872], [0.160, 0.338, 0.502]],
    )
    joint = degenerate.joint_of_blocks(parts)
    event = dualib.anneal(joint, "dualib", np.geomspace(0.3, 20.0, 12)).events[0]
    assert (event.kind, event.before, event.after) == ("appearance", 2, 3)
    for step in (3e-5, 1e-4, 3e-4):
        solution = dualib.solve(joint, event.beta * math.exp(step), "dualib")
        assert solution.gap <= 1e-9
        assert solution.n_clusters == 3 or step == 3e-5  # where the third is worth less than the tolerance


# ------------------------------------------------------------------------------------------------- what counts as a cluster


def test_idle_clusters_are_left_out():
    """Twice the same decoder on two faces, and weights of rounding, on top of the optimum."""
    px = np.array([0.5, 0.3, 0.2])
    problem = Problem(JointDistribution(np.diag(px)), IB())
    faces = np.concatenate([np.eye(3, dtype=bool), [[True, True, False], [True, True, True]]])
    weights = np.append(px - [0.2, 0.0, 0.0], [0.2, 1e-18])
    means = np.concatenate([np.eye(3), np.eye(3)[:1], px[None, :]])
    batch = Batch(np.ones(1), weights, means, np.zeros(5, dtype=np.int64), problem.faces.numbers(faces))
    before = Sweep(problem, batch)
    fewer, sweep = without_idle(problem, batch, before)
    assert sorted(fewer.weights) == pytest.approx(sorted(px), abs=1e-15)
    assert sweep.objective[0] == pytest.approx(before.objective[0], abs=1e-15)
    assert sweep.residual[0] <= 1e-12
    assert without_idle(problem, fewer, sweep)[0] is fewer


def test_equal_columns_of_a_matrix_are_one_reproduction():
    """Two letters of one column, and one of another: as without the copies, whichever way the solution is found."""
    rng = np.random.default_rng(3)
    matrix = rng.random((5, 4))
    joint = JointDistribution(np.diag(rng.dirichlet(np.full(5, 2.0))))
    plain, twice = dualib.RateDistortion(matrix), dualib.RateDistortion(np.column_stack([matrix, matrix[:, :2], matrix[:, 0]]))
    betas = np.geomspace(0.5, 60.0, 8)
    curve, other = (dualib.anneal(joint, distortion, betas) for distortion in (plain, twice))
    assert curve.events
    assert changes(other) == changes(curve)
    assert [event.beta for event in other.events] == pytest.approx([event.beta for event in curve.events], rel=1e-9)
    assert other.n_clusters.tolist() == curve.n_clusters.tolist()
    assert other.objective == pytest.approx(curve.objective, abs=1e-9)
    encoder = rng.dirichlet(np.ones(7), 5)  # of all seven
    for init in (encoder, "random"):
        solution = dualib.solve(joint, 40.0, twice, init=init, certify=False, tol=1e-10)
        assert set(solution.means.argmax(axis=1).tolist()) <= {0, 1, 2, 3}
    assert dualib.certify(joint, encoder, 40.0, twice).gap >= 0.0
    assert dualib.certify(joint, other[-1].encoder @ other[-1].means, other[-1].beta, twice).gap <= 1e-8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rare", [1e-16, 1e-40, 1e-190])
def test_the_cluster_of_a_rare_x_is_none_of_them(rare, kind):
    """Its weight is all that it can be, and without it the x would be infinitely far from every cluster."""
    joint = JointDistribution(np.diag([0.6, 0.4 - rare, rare]))
    for solution in dualib.anneal(joint, kind, [2.0, 4.0]):
        assert solution.n_clusters == 3
        assert solution.weights.min() == pytest.approx(rare, rel=1e-6)
        assert solution.gap <= 1e-9


def test_a_sparse_table_of_blocks_has_one_cluster_each():
    """Below the onsets of the blocks. A cluster was counted anew for each set of y, 0 in its decoder, that it had come with."""
    rng = np.random.default_rng(0)
    joint = JointDistribution(sparse.block_diag([rng.dirichlet(np.full(20, 0.5), 20) / 400.0 for _ in range(20)]).tocsr())
    for solution in dualib.anneal(joint, "ib", [1.1, 1.5], n_clusters=30, events=False):
        assert solution.n_clusters == 20
        assert solution.rate == pytest.approx(math.log(20.0), abs=1e-9)
        assert solution.gap <= 1e-9
        assert degenerate.surplus(solution) is None


@pytest.mark.parametrize(("number", "blocks"), [(14, 2), (29, 4)])
@pytest.mark.parametrize("beta", [1.00001, 1.0001, 1.001])
def test_just_above_the_jump_of_blocks_no_cluster_lingers(number, blocks, beta):
    """One with a mass of 6e-6 on another block, which sweeps would take 1e5 steps to lose, was left, and the residual with it."""
    joint = degenerate.EVENT_TABLES["blocks"](np.random.default_rng(number))
    solution = dualib.solve(joint, beta)
    assert solution.n_clusters == blocks and solution.converged
