"""One sweep, and the gradient function, against loops over the definitions."""

import numpy as np
import pytest

from dualib.engine.batch import Batch
from dualib.engine.initial import feasible, identity, one_cluster
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep, log_c
from engine import twins
from engine.cases import cases

CASES = cases()
BETAS = np.array([0.4, 3.0, 17.0])


def some_batch(problem, seed=0, moved=True):
    """At each beta the identity with random weights, some means moved towards another source where that is feasible."""
    rng = np.random.default_rng(seed)
    batch = identity(problem, BETAS)
    weights, means, face = rng.random(len(batch.weights)) + 0.01, batch.means.copy(), batch.face.copy()
    if moved and not problem.fixed:
        members = 0.7 * np.eye(problem.n) + 0.3 * np.eye(problem.n)[rng.permutation(problem.n)]
        for t in rng.choice(len(weights), len(weights) // 2, replace=False):
            mean, number, fine = problem.centroids(members[[t % problem.n]])
            if fine.all() and t % problem.n != 0:  # source 0 keeps an atom of its own
                means[t], face[t] = mean[0], number[0]
    new = Batch(BETAS, weights, means, batch.owner, face)
    new = new.keep(np.ones(len(weights), dtype=bool))
    return new if feasible(problem, new).all() else some_batch(problem, seed, moved=False)


def per_solution(problem, batch):
    """The rows of each solution, its decoders and weights."""
    for s in range(len(batch.beta)):
        own = slice(batch.ends[s], batch.ends[s + 1])
        yield s, own, problem.decoder(batch.means[own], batch.face[own]), batch.weights[own]


def merged_rows(problem, rows):
    """Of the live sources (n, ...), one row for each reduced source."""
    first = [np.flatnonzero(problem.row_of[problem.row_of >= 0] == i)[0] for i in range(problem.n)]
    return rows[first]


@pytest.mark.parametrize(("name", "joint", "distortion"), CASES, ids=[case[0] for case in CASES])
def test_a_sweep_is_the_textbooks(name, joint, distortion):
    problem = Problem(joint, distortion)
    batch = some_batch(problem)
    sweep = Sweep(problem, batch)
    assert sweep.c.shape == batch.weights.shape
    for s, own, decoders, weights in per_solution(problem, batch):
        posterior, log_z, objective, new = twins.sweep(joint, distortion, batch.beta[s], weights, decoders)
        assert sweep.objective[s] == pytest.approx(objective, abs=1e-12)
        np.testing.assert_allclose(sweep.posterior[own].T, merged_rows(problem, posterior), atol=1e-13)
        assert ((sweep.posterior[own].T == 0.0) >= (merged_rows(problem, posterior) == 0.0)).all()  # infinite d: 0 exactly
        np.testing.assert_allclose(sweep.new_weights[own], new, atol=1e-13)
        np.testing.assert_allclose(sweep.log_z[s] - batch.beta[s] * problem.a, merged_rows(problem, log_z), atol=1e-11)


@pytest.mark.parametrize(("name", "joint", "distortion"), CASES, ids=[case[0] for case in CASES])
def test_the_new_decoders_are_the_best_ones_for_their_members(name, joint, distortion):
    problem = Problem(joint, distortion)
    batch = some_batch(problem)
    sweep = Sweep(problem, batch)
    if problem.fixed:
        assert (sweep.new_means == batch.means).all()
        return
    rng = np.random.default_rng(1)
    for _, own, _, _ in per_solution(problem, batch):
        decoders = problem.decoder(sweep.new_means[own], batch.face[own])
        for t in range(len(decoders)):
            members = problem.px * sweep.posterior[own][t]

            def cost(r, members=members):
                d = merged_rows(problem, twins.distances(joint, distortion, [r]))[:, 0]
                return sum(q * d[x] for x, q in enumerate(members) if q > 0.0)

            best = cost(decoders[t])
            for other in rng.dirichlet(np.ones(decoders.shape[1]), 5):
                face = decoders[t] > 0.0
                tilted = 0.9 * decoders[t] + 0.1 * np.where(face, other, 0.0) / other[face].sum()
                if name.startswith("dualexpib"):  # the best within the family only
                    mixed = 0.9 * sweep.new_means[own][[t]] + 0.1 * problem.U[[t % problem.n]]
                    tilted = problem.decoder(mixed, batch.face[own][[t]])[0]
                assert best <= cost(tilted) + 1e-12


@pytest.mark.parametrize(("name", "joint", "distortion"), CASES, ids=[case[0] for case in CASES])
def test_a_sweep_never_raises_the_objective_and_its_force_is_the_gradient(name, joint, distortion):
    problem = Problem(joint, distortion)
    batch = some_batch(problem)
    sweep = Sweep(problem, batch)
    swept = Batch(BETAS, sweep.new_weights, sweep.new_means, batch.owner, batch.face)
    assert (Sweep(problem, swept).objective <= sweep.objective + 1e-13).all()
    # along the sweep's own direction, by central differences
    step, h = sweep.force, 1e-6

    def objective(e):
        weights = batch.weights * (1.0 + e * step[:, 0])
        return Sweep(problem, Batch(BETAS, weights, batch.means + e * step[:, 1:], batch.owner, batch.face)).objective

    pushed = np.hstack([step[:, :1], batch.b[:, None] * sweep.jacobian.times(step[:, 1:])])
    slope = -batch.total(batch.weights * (step * pushed).sum(axis=1))
    np.testing.assert_allclose((objective(h) - objective(-h)) / (2.0 * h), slope, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("name", "joint", "distortion"), CASES, ids=[case[0] for case in CASES])
def test_the_gradient_function_is_the_textbooks(name, joint, distortion):
    problem = Problem(joint, distortion)
    batch = some_batch(problem)
    sweep = Sweep(problem, batch)
    values, _, new, terms = log_c(problem, batch.beta, sweep.log_z, batch.means, batch.face, batch.owner)
    np.testing.assert_allclose(values, np.log(sweep.c), atol=1e-12)
    for s, own, decoders, weights in per_solution(problem, batch):
        _, log_z, _, _ = twins.sweep(joint, distortion, batch.beta[s], weights, decoders)
        expected = [twins.log_c(joint, distortion, batch.beta[s], log_z, r) for r in decoders]
        np.testing.assert_allclose(values[own], expected, atol=1e-11)
    if not problem.fixed:
        pairs = terms * problem.px
        np.testing.assert_allclose(new, (pairs / pairs.sum(axis=1, keepdims=True)) @ problem.U, atol=1e-12)


MOVING = [case for case in CASES if not case[2].fixed_atoms]


@pytest.mark.parametrize(("name", "joint", "distortion"), MOVING, ids=[case[0] for case in MOVING])
def test_an_ascent_step_never_lowers_c(name, joint, distortion):
    problem = Problem(joint, distortion)
    batch = some_batch(problem)
    sweep = Sweep(problem, batch)
    points = (problem.U.copy(), problem.source_face, np.full(problem.n, 1))
    for _ in range(5):
        values, _, new, _ = log_c(problem, batch.beta, sweep.log_z, *points)
        points = (new, *points[1:])
        assert (log_c(problem, batch.beta, sweep.log_z, *points)[0] >= values - 1e-13).all()


def test_a_sweep_near_another_is_the_same_however_far_it_has_gone():
    problem = Problem(*CASES[0][1:])
    batch = some_batch(problem)
    far = Batch(np.array([4e3, 4e3, 4e3]), batch.weights, batch.means, batch.owner, batch.face)
    near, alone = Sweep(problem, far, Sweep(problem, batch)), Sweep(problem, far)
    np.testing.assert_allclose(near.objective, alone.objective, rtol=1e-13)
    np.testing.assert_allclose(near.posterior, alone.posterior, atol=1e-14)


def test_parts_of_a_jacobian_are_the_jacobian():
    for _, joint, distortion in CASES:
        problem = Problem(joint, distortion)
        batch = some_batch(problem)
        jacobian = problem.jacobian(batch.means, batch.face)
        dense = distortion.link_jacobian(*problem._on_face(batch.means, batch.face))
        np.testing.assert_allclose(jacobian.matrices(), dense, atol=1e-12 * (1.0 + np.abs(dense).max()))
        rows = np.random.default_rng(0).random(batch.means.shape)
        np.testing.assert_allclose(jacobian.times(rows), np.einsum("tij,tj->ti", dense, rows), rtol=1e-9, atol=1e-9)


def test_a_subclass_with_a_jacobian_of_its_own_is_asked_for_that():
    from dualib.distortions.bottlenecks import IB

    class Halved(IB):
        def link_jacobian(self, means, face=None):
            return 0.5 * super().link_jacobian(means, face)

    joint = CASES[0][1]
    batch = some_batch(Problem(joint, IB()))
    whole, half = (Problem(joint, kind).jacobian(batch.means, batch.face).matrices() for kind in (IB(), Halved()))
    np.testing.assert_allclose(half, 0.5 * whole)


def test_one_cluster_is_infeasible_for_the_dual_ib_without_a_common_support():
    import dualib

    joint = dualib.JointDistribution(np.eye(3) / 3.0)
    assert one_cluster(Problem(joint, dualib.DualIB()), [1.0]) is None
    batch = one_cluster(Problem(joint, dualib.IB()), [1.0, 2.0])
    np.testing.assert_allclose(batch.means, np.full((2, 3), 1.0 / 3.0))


def test_no_nan_comes_from_zeros_and_no_weight_is_lost():
    for name, joint, distortion in CASES:
        problem = Problem(joint, distortion)
        sweep = Sweep(problem, some_batch(problem))
        for part in (sweep.V, sweep.posterior, sweep.log_z, sweep.objective, sweep.c, sweep.new_means, sweep.force):
            assert np.isfinite(part).all(), name
        batch = some_batch(problem)
        np.testing.assert_allclose(batch.total(sweep.new_weights), 1.0, atol=1e-14)
