"""Newton's system against differences of sweeps, and the descent against plain sweeps."""

import numpy as np
import pytest

from dualib.distortions.named import as_distortion
from dualib.engine.batch import SAME, Batch, in_order, merged, nearest_other, without_twins
from dualib.engine.descent import descend, newton_direction
from dualib.engine.initial import identity
from dualib.engine.optimum import optimum
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep
from engine.cases import cases

CASES = cases()
BETAS = np.array([2.0, 6.0, 30.0])


def random_step(problem, sweep, seed):
    """A relative weight and a move of the mean within the features of the members, (m, 1 + k)."""
    rng = np.random.default_rng(seed)
    members = sweep.posterior * rng.random(sweep.posterior.shape) * problem.px
    members /= members.sum(axis=1, keepdims=True)
    moves = np.zeros_like(sweep.new_means) if problem.fixed else members @ problem.U - sweep.new_means
    return np.hstack([rng.normal(size=(len(members), 1)), moves])


@pytest.mark.parametrize(("name", "joint", "distortion"), CASES, ids=[case[0] for case in CASES])
def test_conjugate_gradients_solve_newtons_system(name, joint, distortion):
    """H is minus the derivative of a sweep's force at a stationary state: here by central differences."""
    problem = Problem(joint, distortion)
    found = optimum(problem, BETAS, tol=1e-11)
    batch, sweep = found.batch, found.sweep
    wanted = random_step(problem, sweep, 0)
    h = 1e-5

    def force(e, step):
        weights = batch.weights * (1.0 + e * step[:, 0])
        return Sweep(problem, Batch(BETAS, weights, batch.means + e * step[:, 1:], batch.owner, batch.face)).force

    taken = np.zeros(3, dtype=np.int64)
    step = newton_direction(problem, batch, sweep, np.full(3, 1e-12), 500, taken, force=wanted)
    assert (taken > 0).all()
    image = (force(-h, step) - force(h, step)) / (2.0 * h)
    scale = np.abs(step).max()
    difference = image - wanted
    if name.startswith("dualexpib") or problem.faces is not None or problem.k > problem.n:
        difference = np.hstack([difference[:, :1], sweep.jacobian.times(difference[:, 1:])])  # what J does not see is nothing
    if problem.faces is not None:  # of a mean that has come to a smaller face by sweeps the next one takes all that is left
        difference[:, 1:][np.abs(batch.means) < 1e-50] = 0.0
    np.testing.assert_allclose(difference, 0.0, atol=2e-6 * (1.0 + scale))


@pytest.mark.parametrize(("name", "joint", "distortion"), CASES, ids=[case[0] for case in CASES])
def test_the_descent_ends_where_plain_sweeps_rest_and_no_higher(name, joint, distortion):
    problem = Problem(joint, distortion)
    start = identity(problem, BETAS)
    before = Sweep(problem, start).objective
    batch, sweep, taken = descend(problem, start)
    assert (sweep.residual <= 1e-9).all() and (taken > 0).all()
    assert (sweep.objective <= before + 1e-13).all()
    for _ in range(20):  # sweeps from there lead nowhere
        batch = Batch(BETAS, sweep.new_weights, sweep.new_means, batch.owner, batch.face)
        sweep, last = Sweep(problem, batch), sweep
        assert (np.abs(sweep.objective - last.objective) < 1e-13).all()
    plain = start
    for _ in range(400):
        swept = Sweep(problem, plain)
        weights = np.maximum(swept.new_weights, 1e-300)
        plain = Batch(BETAS, weights, swept.new_means, plain.owner, plain.face)
    assert (sweep.objective <= Sweep(problem, plain).objective + 1e-6).all()


def test_a_rough_start_and_a_close_one_descend_to_the_same_place():
    problem = Problem(*CASES[0][1:])
    rough = descend(problem, identity(problem, BETAS), coarse=True)
    again = descend(problem, rough.batch)
    np.testing.assert_allclose(again.sweep.objective, rough.sweep.objective, atol=1e-14)
    assert (again.taken <= 1).all()


def test_what_rests_leaves_the_batch_and_comes_back_in_order():
    problem = Problem(*CASES[1][1:])
    at_rest = descend(problem, identity(problem, BETAS)).batch
    fresh = identity(problem, BETAS)
    mixed = in_order(
        [(np.array([0, 2]), at_rest.pick(np.array([True, False, True]))[0]), (np.array([1]), fresh.copied([1])[0])]
    )
    assert (mixed.beta == BETAS).all()
    ended = descend(problem, mixed)
    np.testing.assert_allclose(ended.batch.beta, BETAS)
    np.testing.assert_allclose(ended.sweep.objective, Sweep(problem, at_rest).objective, atol=1e-12)


def test_twin_atoms_merge_and_distant_ones_do_not():
    problem = Problem(*CASES[0][1:])
    batch = identity(problem, np.array([5.0]))
    twice = batch.joined(batch.weights, batch.means, batch.owner, batch.face).keep(np.ones(2 * problem.n, dtype=bool))
    again = merged(problem, twice, SAME)
    np.testing.assert_allclose(again.means, batch.means, atol=1e-15)
    np.testing.assert_allclose(again.weights, batch.weights, atol=1e-15)
    distance, mate = nearest_other(batch, Sweep(problem, batch).V)
    for t in range(problem.n):
        v = problem.link(batch.means, batch.face)[0]
        naive = [5.0 * (batch.means[t] - batch.means[u]) @ (v[t] - v[u]) if u != t else np.inf for u in range(problem.n)]
        assert mate[t] == np.argmin(naive) and distance[t] == pytest.approx(min(naive))


@pytest.mark.parametrize(("kind", "stays"), [("ib", 0), ("dualib", 1)])
def test_one_decoder_on_two_faces_is_one_cluster(kind, stays):
    import dualib

    joint = dualib.JointDistribution.from_conditionals([[0.5, 0.3, 0.2], [0.6, 0.4, 0.0]])
    problem = Problem(joint, as_distortion(kind))
    faces = problem.faces.numbers(np.array([[True, True, True], [True, True, False]]))
    little = 1e-15
    larger = np.array([0.6, 0.4 - little, little])
    means = np.array([larger, [0.6, 0.4, 0.0]])
    means = means if kind == "ib" else np.log(np.where(means > 0.0, means, 1.0))
    batch = Batch(np.array([3.0]), np.array([0.25, 0.75]), means, np.zeros(2, dtype=np.int64), faces)
    near = np.array([SAME])
    one = without_twins(problem, batch, np.ones(2), near)
    assert without_twins(problem, batch, np.array([1.0, 2.0]), near).face[0] == faces[1]
    assert without_twins(problem, batch, np.array([2.0, 1.0]), near).face[0] == faces[0]
    assert one.weights.tolist() == [1.0] and one.face[0] == faces[stays]
    apart = batch.means.copy()
    apart[0] = [0.5, 0.4, 0.1] if kind == "ib" else np.log([0.5, 0.4, 0.1])
    assert (
        len(without_twins(problem, Batch(batch.beta, batch.weights, apart, batch.owner, faces), np.ones(2), near).weights) == 2
    )


def test_the_cluster_of_a_rare_source_is_kept():
    import dualib

    px = np.array([0.5, 0.5 - 1e-18, 1e-18])
    joint = dualib.JointDistribution.from_conditionals([[0.9, 0.1], [0.1, 0.9], [0.5, 0.5]], px)
    for kind in (dualib.IB(), dualib.DualIB()):
        found = optimum(Problem(joint, kind), [400.0])
        assert found.batch.counts.tolist() == [3] and found.gap[0] < 1e-9
        assert found.batch.weights.min() == pytest.approx(1e-18, rel=1e-6)
