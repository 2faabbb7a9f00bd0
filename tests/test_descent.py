"""The descent to a local minimum on given atoms, and the conjugate gradients behind it, against the Hessian as a matrix."""

import numpy as np
import pytest

import dualib
from dualib import JointDistribution, conjugate_kernels, exchange_kernels
from dualib.block_kernels import closest_pairs
from dualib.conjugate_kernels import conjugate, find_pairs, room_for, scaled_gradient
from dualib.curvature import Curvature, slowest_rate
from dualib.distortions import as_distortion
from dualib.local import polish
from dualib.optimise import initial_atoms, optimise
from dualib.problem import Atoms, Problem, descend, distance_matrix, identity_atoms, join, sweep, trivial_atoms

KINDS = ("ib", "dualib")


def random_problem(seed, n_x, n_y, kind, concentration=0.6, zeros=0.0):
    rng = np.random.default_rng(seed)
    pxy = rng.dirichlet(np.full(n_x * n_y, concentration)).reshape(n_x, n_y)
    pxy[rng.random(pxy.shape) < zeros] = 0.0
    pxy[np.arange(n_x), np.arange(n_x) % n_y] += 1e-2  # no empty row
    return Problem(JointDistribution(pxy / pxy.sum()), as_distortion(kind))


def direction(problem, state, part, most, precision=np.float64, pairs=0):
    """`conjugate` at a sweep, with so many close pairs, as (steps of the weights, steps of the means, longest, products)."""
    atoms, new = state.atoms, state.new
    weights, means, face, _ = problem.for_kernels(atoms)
    (n_t, k), gradient = means.shape, np.empty((1 + means.shape[1], len(means)))
    scaled_gradient.compile()(state.beta, weights, means, new.weights, new.means, gradient)
    arrays = (problem.px, problem.UT, weights, means, problem.link(atoms)[0], face, state.posterior, state.c, gradient)
    arrays = tuple(array.astype(precision) if array.dtype == np.float64 else array for array in arrays)
    arguments = (problem.known, precision(state.beta), *arrays, 0.0)
    close = closest_pairs.compile()(state.beta, means, problem.link(atoms)[0], np.inf, pairs, 0)
    (numbers, integers), eases = room_for.python(n_t, problem.n, k), exchange_kernels.room_for_pairs.python(len(close), k)
    step, room = np.empty((1 + k, n_t), precision), (np.empty(numbers, precision), np.empty(integers, int))
    longest, taken = conjugate.compile()(*arguments, part, most, close, False, np.empty(eases), step, room)
    step = step.T
    root_w = np.sqrt(weights)[:, None]
    return (root_w * step[:, :1])[:, 0], step[:, 1:] / (np.sqrt(state.beta) * root_w), longest, taken


def counting_pairs(problem, state):
    """The pairs of cluster and source that count at a sweep: (source, start, features, s, q)."""
    weights, means, (n_t, n) = state.atoms.weights, state.atoms.means, state.posterior.shape
    source, start, s, q = np.empty(n_t * n, int), np.empty(n_t + 1, int), np.empty(n_t * n), np.empty(n_t * n)
    pairs = (source, start, np.empty(n_t * n * problem.UT.shape[0]), s, q)
    number = find_pairs.python(state.beta, problem.px, problem.UT, weights, means, state.posterior, 0.0, np.empty(n), pairs)
    return (source[:number], start if number > 0 else start[:0], *pairs[2:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("seed", "n_x", "n_y", "beta", "filled"),
    [(0, 30, 5, 4.0, True), (1, 30, 5, 9.0, True), (2, 60, 40, 60.0, False), (3, 80, 30, 90.0, False)],
)
def test_the_direction_is_newtons(seed, n_x, n_y, beta, filled, kind):
    """The change of the gradient along it, by a difference quotient of sweeps, takes the gradient away."""
    problem = random_problem(seed, n_x, n_y, kind)
    rest = polish(problem, beta, initial_atoms(problem), tol=1e-12, max_iter=2000).state.atoms
    rng = np.random.default_rng(seed)
    members = sweep(problem, beta, rest).posterior * problem.px * np.exp(1e-3 * rng.standard_normal((len(rest), problem.n)))
    weights = members.sum(axis=1)
    state = sweep(problem, beta, problem.atoms_from_members(members / weights[:, None], weights / weights.sum()))
    assert (len(counting_pairs(problem, state)[0]) == 0) == filled
    d_weights, d_means, longest, _ = direction(problem, state, 1e-10, 500)
    assert 0.0 < longest < 1.0

    def gradient_of(atoms):
        new = sweep(problem, beta, atoms).new
        return np.concatenate([[new.weights - atoms.weights], (new.weights[:, None] * (new.means - atoms.means)).T])

    roughly = direction(problem, state, 1e-3, 500, np.float32)
    assert roughly[2] == pytest.approx(longest, rel=1e-2)
    np.testing.assert_allclose(roughly[1], d_means, atol=0.05 * np.abs(d_means).max())
    h = 1e-4
    ahead, behind = (
        Atoms(state.atoms.weights + s * d_weights, state.atoms.means + s * d_means, state.atoms.face) for s in (h, -h)
    )
    change = (gradient_of(ahead) - gradient_of(behind)) / (2.0 * h)
    here = gradient_of(state.atoms)
    # of the means only what the natural coordinates see; at the stationary point's neighbour the rest is of second order
    np.testing.assert_allclose(change, -here, atol=0.02 * np.abs(here).max(), rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_negative_curvature_is_seen_where_the_spectrum_has_it(kind):
    """At the one cluster of everything, far above the onset, the way down leads off the saddle."""
    problem = random_problem(5, 12, 4, kind)
    beta = 4.0 * dualib.onset(problem.joint, kind)
    saddle = trivial_atoms(problem)
    two = join(saddle, saddle).normalised()
    assert slowest_rate(problem, sweep(problem, beta, two)) > 1.0
    shifted = Atoms(two.weights, two.means + 1e-3 * (problem.U[:2] - two.means), two.face)
    *_, longest, taken = direction(problem, sweep(problem, beta, shifted), 1e-6, 100)
    assert taken == 1 and longest == pytest.approx(0.5)  # at once, and as far as it may
    settled, state, *_ = descend(problem, beta, shifted, goal=1e-11, most=2000)
    assert settled and state.residual <= 1e-9
    assert state.objective < sweep(problem, beta, saddle).objective - 1e-3
    assert slowest_rate(problem, state) < 1.0 + 1e-9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zeros", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_a_descent_ends_at_a_minimum(seed, zeros, kind):
    """From the optimum at a larger beta; where two clusters meet it need not end, and says so."""
    problem = random_problem(seed, 14, 5, kind, zeros=zeros)
    ended = 0
    for beta in (3.0, 6.0, 12.0, 50.0):
        start = problem_solved(problem, 1.2 * beta)
        settled, state, _, closest = descend(problem, beta, start, goal=1e-12, most=3000)
        atoms, again = state.atoms, sweep(problem, beta, state.atoms)
        assert (state.objective, state.residual) == (again.objective, again.residual)
        np.testing.assert_array_equal(state.posterior, again.posterior)
        between = distance_matrix(problem, beta, state.new, state.new)
        if state.new.face is not None:  # of atoms on one face alone: others cannot meet by descending
            between = np.where((state.new.face[:, None] == state.new.face[None]).all(axis=2), between, np.inf)
        assert closest == np.where(np.eye(len(atoms)) > 0.0, np.inf, between).min()
        assert np.isclose(atoms.weights.sum(), 1.0) and (atoms.weights > 0.0).all() and len(atoms) <= len(start)
        assert state.objective <= sweep(problem, beta, start).objective + 1e-13
        if not settled:
            between = distance_matrix(problem, beta, atoms, atoms) + 9.0 * np.eye(len(atoms))
            assert between.min() < 0.1
            continue
        ended += 1
        assert state.residual <= 1e-9
        inside = atoms.means if atoms.face is None else atoms.means[atoms.face]
        if kind == "dualib" or inside.min() > 1e-20:  # else c has no second derivative there
            assert slowest_rate(problem, state) < 1.0 + 1e-6
        swept = atoms
        for _ in range(200):
            swept = sweep(problem, beta, swept).new
        assert sweep(problem, beta, swept).objective == pytest.approx(state.objective, abs=1e-13)
    assert ended >= 3


def problem_solved(problem, beta):
    return optimise(problem, beta, initial_atoms(problem), tol=1e-9, max_iter=5000, rng=np.random.default_rng(0)).state.atoms


def test_a_descent_that_may_not_take_long_says_that_it_has_not_settled():
    problem = random_problem(0, 20, 5, "ib")
    settled, state, *_ = descend(problem, 8.0, identity_atoms(problem), goal=1e-12, most=5)
    assert not settled and state.residual > 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_the_hessian_applied_is_that_of_the_spectrum(kind):
    """The direction against the dense solution of `Curvature`, which the rates are computed from."""
    problem = random_problem(7, 10, 2, kind)
    beta = 6.0
    state = sweep(problem, beta, polish(problem, beta, initial_atoms(problem), tol=1e-12, max_iter=500).state.atoms)
    means = 0.999 * state.atoms.means + 0.001 * (problem.px @ problem.U)
    state = sweep(problem, beta, sweep(problem, beta, Atoms(state.atoms.weights, means, state.atoms.face)).new)
    curvature = Curvature(problem, state)
    step = np.linalg.solve(curvature.dense(), -curvature.gradient.ravel()).reshape(curvature.gradient.shape)
    d_weights, *_ = direction(problem, state, 1e-12, 500)
    np.testing.assert_allclose(d_weights, np.sqrt(state.atoms.weights) * step[:, 0], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_x", "n_y", "beta", "filled"), [(30, 5, 9.0, True), (60, 40, 60.0, False)])
def test_what_eases_directions_is_the_hessian_of_exchanges(n_x, n_y, beta, filled, kind):
    """E^-1 against the Hessian applied to each exchange of weight and each move apart, where all pairs count and where few do."""
    problem = random_problem(1, n_x, n_y, kind)
    state = sweep(problem, beta, polish(problem, beta, initial_atoms(problem), tol=1e-12, max_iter=2000).state.atoms)
    weights, means, face, _ = problem.for_kernels(state.atoms)
    v = problem.link(state.atoms)[0]
    close = closest_pairs.python(beta, means, v, np.inf, 5, 0)
    assert len(close) == 5
    (n_t, k), n, pairs = means.shape, problem.n, counting_pairs(problem, state)
    lines, parts, inverse = np.empty((5, k)), np.empty((5, 6)), np.empty((10, 10))
    exchange_kernels.exchanges.python(beta, weights, means, close, lines, parts)
    assert (len(pairs[1]) == 0) == filled
    means_t, metric, features = np.empty((k, n_t)), np.empty((k, n_t)), np.empty((1 + k if filled else 0, n))
    conjugate_kernels._set_up.python(problem.known, beta, problem.UT, means, v, face, means_t, metric, features)
    features = features if filled else problem.UT
    where = (means, metric, pairs, features, state.c, close, lines, parts)
    exchange_kernels.invert_exchanges.python(problem.known, *where, inverse)
    columns = np.zeros((10, 1 + k, n_t))
    for a, (i, j) in enumerate(close):
        columns[2 * a, 0, [i, j]] = parts[a, :2]
        columns[2 * a, 1:, [i, j]] = parts[a, 2:4, None] * lines[a]
        columns[2 * a + 1, 1:, [i, j]] = parts[a, 4:, None] * lines[a]
    applied = np.empty((10, 10))
    for u in range(10):
        pushed, bent = np.empty((2 + k, n_t)), np.empty_like(columns[u])
        conjugate_kernels._push.python(problem.known, means_t, metric, columns[u], pushed)
        if filled:
            room = (np.empty(n), features, np.empty((n_t, n)), np.empty((1 + k, n_t)), np.empty(n_t))
            conjugate_kernels._bend_all.python(means_t, *pairs[3:], state.c, columns[u], pushed, *room, bent, 0)
        else:
            room = (np.empty(n), np.empty(len(pairs[3])), np.empty(k))
            conjugate_kernels._bend_few.python(pairs, state.c, columns[u], pushed, *room, bent)
        for r in range(10):
            conjugate_kernels._push.python(problem.known, means_t, metric, columns[r], pushed)
            applied[u, r] = np.sum(pushed[:-1] * bent)
    np.testing.assert_allclose(applied, applied.T, rtol=1e-9, atol=1e-9 * np.abs(applied).max())
    kept = np.diag(inverse) > 0.0
    assert kept.sum() >= 8
    np.testing.assert_allclose(inverse[np.ix_(kept, kept)] @ applied[np.ix_(kept, kept)], np.eye(kept.sum()), atol=1e-6)
    assert (inverse[~kept] == 0.0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_directions_eased_by_close_pairs_are_the_same_and_take_fewer_products(kind):
    problem, beta = random_problem(4, 60, 6, kind), 17.0
    rest = polish(problem, beta, initial_atoms(problem), tol=1e-12, max_iter=2000).state.atoms
    rng = np.random.default_rng(4)
    members = sweep(problem, beta, rest).posterior * problem.px * np.exp(1e-3 * rng.standard_normal((len(rest), problem.n)))
    weights = members.sum(axis=1)
    state = sweep(problem, beta, problem.atoms_from_members(members / weights[:, None], weights / weights.sum()))
    plain, eased = direction(problem, state, 1e-10, 500), direction(problem, state, 1e-10, 500, pairs=30)
    for one, other in zip(plain[:2], eased[:2], strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6 * np.abs(one).max())
    assert eased[3] < 0.7 * plain[3]


def test_pairs_are_renumbered_where_clusters_go():
    close = np.array([[0, 1], [2, 4], [1, 3], [0, 4]])
    assert exchange_kernels.keep_pairs.python(close, np.array([0, 2, 3, 4]), np.empty(5, int)) == 2
    np.testing.assert_array_equal(close[:2], [[1, 3], [0, 3]])
