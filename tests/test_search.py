"""The search for points where c exceeds 1: it must not stop on the way up."""

import numpy as np
import pytest

import dualib
from dualib import JointDistribution
from dualib.continuation import correct
from dualib.distortions import as_distortion
from dualib.problem import Atoms, Problem, sweep, trivial_atoms
from dualib.search import log_c, rise, search, starting_points


def problem_of(seed, kind, n_x, n_y):
    rng = np.random.default_rng(seed)
    return Problem(JointDistribution.from_conditionals(rng.dirichlet(np.ones(n_y), n_x)), as_distortion(kind))


def state_at(problem, beta, solved_at):
    """The branch of the optimum at another beta, optimal or not."""
    solution = dualib.solve(problem.joint, solved_at, problem.distortion)
    members = (solution.encoder * problem.joint.px[:, None] / solution.weights).T
    return correct(problem, beta, problem.atoms_from_members(np.ascontiguousarray(members), solution.weights.copy()))


@pytest.mark.parametrize("effort", [0.25, 1.0])
def test_a_violation_at_the_end_of_a_long_ridge_is_found(effort):
    """The optimum has 86 clusters at 16.5 and one more below 16.488; ascents to where that one is born creep along a ridge."""
    problem = problem_of(0, "ib", 100, 10)
    state = state_at(problem, 16.4428, 16.5)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        found = search(problem, state.beta, state.atoms, state.posterior, state.log_z, rng, effort=effort)
        assert found.best == pytest.approx(3.3661e-4, rel=1e-3)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_points_rise_to_maxima(kind):
    """No step goes down; at the end a step of any kind changes nothing, by the kernel and for a distortion without one."""
    problem = problem_of(1, kind, 15, 5)
    state = sweep(problem, 12.0, trivial_atoms(problem))
    log_a = np.log(problem.px) - state.log_z
    points = starting_points(problem, state.beta, log_a, state.atoms, state.posterior, np.random.default_rng(0))
    points = Atoms(np.zeros(len(points)), points.means, points.face)
    highest = {}
    for known in (problem.known, None):
        problem.known = known
        values, risen = log_c(problem, state.beta, log_a, points)[0], points
        for _ in range(12):
            risen, higher = rise(problem, state.beta, log_a, risen, 16)
            assert (higher >= values - 1e-12).all()
            values = higher
        q = log_c(problem, state.beta, log_a, risen)[1]
        at_rest = np.abs(q @ problem.U - risen.means).max(axis=1) < 1e-6
        assert at_rest.mean() > 0.9
        highest[known] = np.unique(np.round(values[at_rest], 8))
    first, second = highest.values()
    assert first[-1] == pytest.approx(second[-1], abs=1e-8) and first[-1] > 1e-3
