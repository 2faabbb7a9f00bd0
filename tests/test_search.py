"""The search for points where c exceeds 1: it must not stop on the way up."""

import numpy as np
import pytest
from test_certify import random_problem

import dualib
from dualib import JointDistribution
from dualib.ascent import log_c, rise
from dualib.block_kernels import few_digits, heights
from dualib.branch import stability_numbers
from dualib.climb_kernels import climbed
from dualib.continuation import correct
from dualib.distortions import as_distortion
from dualib.linear_kernels import BY_HAND
from dualib.local import polish
from dualib.maxima_kernels import NEWTON_STEPS, largest_eigenvalue
from dualib.optimise import atoms_of_encoder
from dualib.problem import Atoms, Problem, distance_matrix, identity_atoms, sweep, trivial_atoms
from dualib.search import _ROUNDS, search
from dualib.spread_kernels import traces_of
from dualib.starts import _pairs_looked_at, starting_points


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


def test_an_ascent_does_not_leap_over_its_maximum():
    """From the p(y|x) of x = 36 log c rises to 2.7e-4; an extrapolation of the ascent steps led to a cluster near by."""
    case = random_problem(66, 138)
    problem = Problem(case.joint, as_distortion(case.kind))
    best = dualib.solve(case.joint, case.beta, case.kind)
    atoms = atoms_of_encoder(problem, best.encoder)
    own = int(np.argmax(best.encoder[36]))
    rest = polish(problem, case.beta, atoms.pick(np.arange(len(atoms)) != own).normalised(), tol=1e-12, max_iter=1000).state
    assert len(rest.atoms) == len(atoms) - 1 and 1e-9 < rest.objective - best.objective < 1e-6
    for random_state in range(3):
        rng = np.random.default_rng(random_state)
        found = search(problem, case.beta, rest.atoms, rest.posterior, rest.log_z, rng, effort=0.25)
        assert found.best == pytest.approx(2.686e-4, rel=1e-2)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_small_stability_numbers_may_be_bounds(kind):
    """Below the floor a number is replaced by one that is no smaller, and below the floor too; the others are exact."""
    problem = problem_of(2, kind, 30, 6)
    solution = dualib.solve(problem.joint, 12.0, problem.distortion)
    members = (solution.encoder * problem.joint.px[:, None] / solution.weights).T.copy()
    atoms = problem.atoms_from_members(members)
    exact, floor = problem.stability(atoms, members), 0.06
    bounds = problem.stability(atoms, members, floor=floor)
    assert 0 < np.sum(exact < floor) < len(exact)
    np.testing.assert_array_equal(bounds[bounds >= floor], exact[bounds >= floor])
    np.testing.assert_array_less(exact - 1e-15, bounds)
    assert (bounds[bounds != exact] < floor).all()


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize(
    ("n_x", "beta", "effort"), [(1, 3.0, 1.0), (6, 2.0, 0.25), (24, 8.0, 0.25), (40, 30.0, 0.2), (64, 15.0, 0.25)]
)
def test_the_starts_of_the_kernel_are_those_of_numpy(n_x, beta, effort, kind):
    problem, twin = problem_of(n_x, kind, n_x, 5), problem_of(n_x, kind, n_x, 5)
    twin.known = None
    state = sweep(problem, beta, identity_atoms(problem))
    points = [
        starting_points(
            each, beta, np.log(each.px) - state.log_z, state.atoms, state.posterior, np.random.default_rng(1), effort=effort
        ).means
        for each in (problem, twin)
    ]
    assert len(points[0]) == len(points[1])
    digits, error = (5, 1e-5) if few_digits.compile()(problem.known, beta, problem.U) else (9, 1e-10)
    assert (digits == 5) == (n_x == 64)
    first, second = (rows[np.lexsort(np.round(rows, digits).T)] for rows in points)
    np.testing.assert_allclose(first, second, rtol=error, atol=1e-2 * error)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_where_rounding_would_tell_no_digit_is_spared(kind):
    problem = problem_of(0, kind, 60, 6)
    assert few_digits.compile()(problem.known, 100.0, problem.U)
    assert not few_digits.compile()(problem.known, 1e5, problem.U)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize(("n_x", "n_y", "beta"), [(1, 3, 3.0), (6, 9, 2.0), (24, 5, 8.0), (60, 6, 12.0)])
def test_the_search_of_the_kernel_finds_what_that_of_numpy_finds(n_x, n_y, beta, kind):
    problem, twin = problem_of(n_x, kind, n_x, n_y), problem_of(n_x, kind, n_x, n_y)
    twin.known = None
    for atoms in (trivial_atoms(problem), atoms_of_encoder(problem, dualib.solve(problem.joint, beta, kind).encoder)):
        state = sweep(problem, beta, atoms)
        found = [
            search(each, beta, state.atoms, state.posterior, state.log_z, np.random.default_rng(1)) for each in (problem, twin)
        ]
        log_a = np.log(problem.px) - state.log_z
        heights = []
        for maxima in found:
            risen, values = rise(problem, beta, log_a, maxima.points.pick(maxima.log_c > -0.5), 200)  # some crept
            rates = beta * problem.stability(risen, log_c(problem, beta, log_a, risen)[1])
            heights.append(set(np.round(values[rates < 1.0], 7) + 0.0))  # not at saddles
        assert found[0].best == pytest.approx(found[1].best, abs=1e-9)
        assert heights[1] <= heights[0]
        own = log_c(problem, beta, log_a, found[0].points)[0]
        np.testing.assert_allclose(found[0].log_c, own, atol=1e-9)


@pytest.mark.parametrize("kind", [0, 1])
def test_points_that_climb_to_one_maximum_are_one(kind):
    """Also those of one block, which come there at the same time."""
    rng = np.random.default_rng(kind)
    problem = problem_of(3, ("ib", "dualib")[kind], 6, 3)
    starts, nowhere = np.ascontiguousarray(rng.dirichlet(np.ones(6), 40) @ problem.U), np.empty((0, 3))
    arguments = (kind, 0.5, problem.U, problem.UT, np.zeros(6), starts, nowhere, nowhere, np.empty(0), np.empty(0, dtype=bool))
    assert len(climbed.python(*arguments, 12, 1e-4)) == 1
    starts[0] = np.nan
    with np.errstate(all="ignore"):  # as in compiled code
        found = heights.python(kind, 0.5, problem.U, np.zeros(6), starts)
    assert found[0] == -np.inf or np.isnan(found[0])


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("seed", range(6))
def test_points_that_an_atom_draws_in_lose_no_maximum_above_0(seed, kind):
    """Dropped, as log c rises all the way from them to an atom near by, though their own ascent might lead elsewhere."""
    problem, dropped, found = problem_of(seed, kind, 24, 5), 0, 0
    for beta in (6.0, 15.0, 40.0):
        some = identity_atoms(problem).pick(np.arange(0, 24, 3)).normalised()  # stationary, not optimal
        state = polish(problem, beta, some, tol=1e-13, max_iter=3000).state
        log_a, atoms = np.log(problem.px) - state.log_z, state.atoms
        room = np.maximum(1.0 - stability_numbers(problem, state), 0.0)
        starts = starting_points(problem, beta, log_a, atoms, state.posterior, np.random.default_rng(0)).means
        common = (problem.known, beta, problem.U, problem.UT, log_a, starts, atoms.means, problem.link(atoms)[0])
        ends = []
        for stable in (np.zeros(len(atoms), dtype=bool), room > 1e-3):
            means = climbed.python(*common, np.maximum(0.1 * room**2, 1e-7), stable, 6, 1e-4)
            ends.append(rise(problem, beta, log_a, Atoms(np.zeros(len(means)), means, None), 300))
        (plain, values), (quick, _) = ends
        dropped += len(plain) - len(quick)
        for j in np.flatnonzero(values > 1e-9):
            assert distance_matrix(problem, beta, plain.pick(np.array([j])), quick).min() < 1e-4
            found += 1
    assert dropped > 0 and found > 0


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("zeros", [0.0, 0.3])
def test_whether_a_cluster_splits_is_told_as_its_stability_tells(zeros, kind):
    for seed, size in enumerate(((9, 4), (5, 7), (30, 12))):
        rng = np.random.default_rng(seed)
        py_x = rng.dirichlet(np.ones(size[1]), size[0])
        py_x[rng.random(py_x.shape) < zeros] = 0.0
        py_x[:, 0] += 0.1
        problem = Problem(JointDistribution.from_conditionals(py_x / py_x.sum(axis=1, keepdims=True)), as_distortion(kind))
        atoms = identity_atoms(problem)
        members = rng.dirichlet(np.full(problem.n, 0.3), len(atoms))
        if atoms.face is not None:
            members[~problem.allowed(atoms.face)] = 0.0
        members /= members.sum(axis=1, keepdims=True)
        numbers = problem.stability(atoms, members)
        for level in (*np.quantile(numbers, [0.2, 0.5, 0.8]), 0.5 * numbers.max(), 2.0 * numbers.max()):
            apart = np.abs(numbers - level) > 1e-12 * level
            np.testing.assert_array_equal(problem.exceeds(atoms, members, level)[apart], (numbers >= level)[apart])


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_traces_of_spreads_by_products(kind):
    problem = problem_of(1, kind, 20, 6)
    rng = np.random.default_rng(1)
    members = rng.dirichlet(np.full(20, 0.2), 7)
    atoms = problem.atoms_from_members(members)
    exact = np.einsum("tn,tnk->t", members, problem.whitened(atoms) ** 2)
    traces = traces_of.python(problem.known, problem.UT, atoms.means, problem.link(atoms)[0], members)
    assert (traces >= exact * (1.0 - 1e-12)).all()
    np.testing.assert_allclose(traces, exact, rtol=1e-9, atol=1e-9)


def test_the_steps_of_a_search_in_rounds_are_those_of_the_kernel():
    assert sum(_ROUNDS) == NEWTON_STEPS


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_the_largest_eigenvalue_is_bounded_from_above(n):
    """By little more than its distance from the limit allows, and the vector is that of the largest eigenvalue."""
    rng = np.random.default_rng(n)
    for rank in range(1, n + 1):
        rows = rng.standard_normal((n, rank))
        matrix = rows @ rows.T
        exact, vectors = np.linalg.eigh(matrix)
        limit = exact[-1] * rng.uniform(0.5, 1.5)
        bound, vector = largest_eigenvalue.python(matrix, limit, BY_HAND)
        assert exact[-1] * (1.0 - 1e-12) <= bound <= exact[-1] + max(0.06 * abs(limit - exact[-1]), 1e-3 * exact[-1])
        if n > 1 and exact[-2] < 0.9 * exact[-1]:
            bound, vector = largest_eigenvalue.python(matrix, exact[-1], 0)
            assert abs(vector @ vectors[:, -1]) / np.linalg.norm(vector) > 1.0 - 1e-6
    assert largest_eigenvalue.python(np.zeros((n, n)), 1.0, 0)[0] == 0.0


@pytest.mark.parametrize("n", [2, 40, 64, 1000, 200_000])
def test_pairs_of_sources_are_drawn_once_each(n):
    first, second = _pairs_looked_at(n, np.random.default_rng(n), 4000)
    assert len(first) == min(n * (n - 1) // 2, 4000)
    assert (first >= 0).all() and (first < second).all() and (second < n).all()
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == len(first)
