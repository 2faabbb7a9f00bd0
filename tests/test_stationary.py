"""Newton's step by the small system, against the whole Hessian; the tangent of a branch, against its differences."""

import numpy as np
import pytest

import dualib
from dualib import JointDistribution
from dualib.branch import Branch, find_loss
from dualib.continuation import correct
from dualib.curvature import Curvature
from dualib.distortions import as_distortion
from dualib.newton_kernels import STEP
from dualib.problem import Atoms, Problem, newton_steps, sweep
from dualib.stationary import StationarySystem, moved_atoms, point_and_tangent, stationary_step
from dualib.vanishing import Descent

CASES = [("ib", 6, 3, 12.0), ("dualib", 7, 4, 5.0), ("ib", 5, 9, 8.0), ("dualib", 4, 8, 3.0)]


def near_optimum(kind, n_x, n_y, beta, off=1.02):
    """The problem and a sweep at the optimum's atoms, at another beta, so that the gradient is not 0."""
    rng = np.random.default_rng(n_x)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(n_y), n_x), rng.dirichlet(np.full(n_x, 3.0)))
    problem = Problem(joint, as_distortion(kind))
    solution = dualib.solve(joint, beta, kind)
    members = (solution.encoder * joint.px[:, None] / solution.weights).T
    return problem, sweep(problem, off * beta, problem.atoms_from_members(members.copy(), solution.weights.copy()))


@pytest.mark.parametrize(("kind", "n_x", "n_y", "beta"), CASES)
def test_the_step_solves_the_whole_newton_system(kind, n_x, n_y, beta, monkeypatch):
    """In the weights, whose part of the whole step needs no basis of the means; every direction is kept for it."""
    monkeypatch.setattr("dualib.curvature._NEGLIGIBLE", 0.0)
    problem, state = near_optimum(kind, n_x, n_y, beta)
    curvature = Curvature(problem, state)
    whole = np.linalg.lstsq(curvature.dense(), -curvature.gradient.ravel(), rcond=1e-14)[0].reshape(curvature.gradient.shape)
    weights, means, slope = StationarySystem(problem, state).newton()
    longest = np.max(np.sqrt(np.sum(whole[:, 1:] ** 2, axis=1)) / np.sqrt(state.atoms.weights))
    assert longest < 1.0  # nothing is shortened here
    np.testing.assert_allclose(weights, np.sqrt(state.atoms.weights) * whole[:, 0], atol=1e-9)
    assert slope == pytest.approx(float(np.sum(curvature.gradient * whole)), rel=1e-7)
    assert np.isfinite(means).all()


@pytest.mark.parametrize("damping", [0.0, 1e-3, 0.1, 1.0])
@pytest.mark.parametrize(("kind", "n_x", "n_y", "beta"), CASES)
def test_a_damped_step_of_the_kernel_solves_the_damped_system(kind, n_x, n_y, beta, damping, monkeypatch):
    monkeypatch.setattr("dualib.curvature._NEGLIGIBLE", 0.0)
    problem, state = near_optimum(kind, n_x, n_y, beta)
    curvature = Curvature(problem, state)
    system = curvature.dense() + damping * np.eye(curvature.size)
    whole = np.linalg.lstsq(system, -curvature.gradient.ravel(), rcond=1e-14)[0].reshape(curvature.gradient.shape)
    options = {"goal": 0.0, "most": 0, "end": STEP, "damping": damping}
    regular, _, weights, means, slope = newton_steps(problem, state.beta, state.atoms, **options)
    assert regular
    np.testing.assert_allclose(weights, np.sqrt(state.atoms.weights) * whole[:, 0], atol=1e-8)
    assert slope == pytest.approx(float(np.sum(curvature.gradient * whole)), rel=1e-6)
    metric = np.einsum("tk,tkl,tl->t", means, problem.jacobian(state.atoms), means)  # |zeta_t|^2 = beta w_t <dM, J dM>
    np.testing.assert_allclose(state.beta * state.atoms.weights * metric, np.sum(whole[:, 1:] ** 2, axis=1), atol=1e-7)


@pytest.mark.parametrize(("kind", "n_x", "n_y", "beta"), CASES)
def test_the_residual_falls_quadratically(kind, n_x, n_y, beta):
    problem, state = near_optimum(kind, n_x, n_y, beta)
    residuals = [state.residual]
    for _ in range(4):
        state = sweep(problem, state.beta, stationary_step(problem, state))
        residuals.append(state.residual)
    assert residuals[-1] < 1e-12
    assert residuals[2] < 1e-2 * residuals[1] < 1e-2 * residuals[0]


@pytest.mark.parametrize(("kind", "n_x", "n_y", "beta"), CASES)
def test_the_tangent_is_the_derivative_along_the_branch(kind, n_x, n_y, beta):
    problem, state = near_optimum(kind, n_x, n_y, beta, off=1.0)
    state = correct(problem, beta, state.atoms)
    weights, means = StationarySystem(problem, state).tangent()
    atoms, *tangent, residual = point_and_tangent(problem, beta, state.atoms, 6)
    assert residual < 1e-11 and sweep(problem, beta, atoms).residual < 1e-11
    np.testing.assert_allclose(tangent[0], weights, atol=1e-8)
    np.testing.assert_allclose(tangent[1], means, atol=1e-8)
    h = 1e-5
    above, below = (correct(problem, beta * np.exp(sign * h), state.atoms).atoms for sign in (1.0, -1.0))
    np.testing.assert_allclose(weights, (above.weights - below.weights) / (2.0 * h), atol=1e-6)
    np.testing.assert_allclose(means, (above.means - below.means) / (2.0 * h), atol=1e-6)


def test_fixed_atoms_have_weights_only():
    rng = np.random.default_rng(4)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(3), 6))
    problem = Problem(joint, dualib.RateDistortion(rng.random((6, 6))))
    solution = dualib.solve(joint, 3.0, problem.distortion)
    state = sweep(problem, 3.1, Atoms(solution.weights.copy(), np.array(solution.means), None))
    for _ in range(4):
        state = sweep(problem, 3.1, stationary_step(problem, state))
    assert state.residual < 1e-12
    np.testing.assert_array_equal(StationarySystem(problem, state).tangent()[1], 0.0)


@pytest.mark.parametrize("in_kernel", [True, False])
@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_two_equal_clusters_have_no_newton_step(kind, in_kernel, monkeypatch):
    """Weight may flow between them at no cost: the system is singular to the bit, in the kernel and by LAPACK."""
    if not in_kernel:
        monkeypatch.setattr("dualib.stationary.LARGEST", 0)
    problem = Problem(dualib.datasets.toy(), as_distortion(kind))
    twice = problem.atoms_from_members(np.tile(problem.px, (2, 1)))
    assert stationary_step(problem, sweep(problem, 3.0, twice)) is None
    assert stationary_step(problem, sweep(problem, 3.0, twice.pick(np.array([0])).normalised())) is not None


def test_a_step_ends_where_weights_or_means_do():
    atoms = Atoms(np.array([0.5, 0.3, 0.2]), np.eye(3), None)
    still = np.zeros((3, 3))
    moved = moved_atoms(atoms, np.array([0.1, -0.1, -0.2]), still)
    np.testing.assert_allclose(moved.weights, [0.75, 0.25])  # the third has gone
    np.testing.assert_array_equal(moved.means, np.eye(3)[:2])
    assert moved_atoms(atoms, np.array([0.1, np.nan, 0.0]), still) is None
    assert moved_atoms(atoms, np.zeros(3), still + np.inf) is None
    assert moved_atoms(atoms, -atoms.weights, still) is None


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_a_weight_is_zero_where_the_other_side_loses_optimality(kind):
    """Two ways to the same event: the root of the weight from above, the root of log c from below."""
    joint = dualib.datasets.toy()
    high, low = 20.0, 9.0
    problem = Problem(joint, as_distortion(kind))
    solution = dualib.solve(joint, high, kind)
    members = (solution.encoder * joint.px[:, None] / solution.weights).T
    state = correct(problem, high, problem.atoms_from_members(members.copy(), solution.weights.copy()))
    found = Descent(problem, state).between(low, high)[0]
    assert found.state.atoms.weights[found.cluster] < 1e-5
    lower = Branch(problem, correct(problem, low, found.rest.atoms))
    lower.at(found.beta)
    loss = find_loss(lower, low, high, state.atoms)
    assert loss.beta == pytest.approx(found.beta, rel=1e-10)
