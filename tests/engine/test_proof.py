"""The proved bound on log c: never below anything that can be evaluated, tight, and exact about zeros."""

from __future__ import annotations

import itertools
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

import dualib
from dualib.engine import proof, root_cells
from dualib.engine.loading import compiled_cells
from dualib.engine.proof import Proof, prove, prove_many
from dualib.engine.root_cells import Table, provable

KINDS = ["ib", "dualib"]


def naive_log_c(log_a, py_x, beta, kind, s):
    """log sum_x a_x exp(-beta d(x, s)) from the definition, one state and one y at a time."""
    terms = []
    for a, p in zip(log_a, py_x, strict=True):
        first, second = (p, s) if kind == "ib" else (s, p)
        d = 0.0
        for u, v in zip(first, second, strict=True):
            if u > 0.0:
                d += u * np.log(u / v) if v > 0.0 else np.inf
        terms.append(a - beta * d)
    top = max(terms)
    return top + np.log(sum(np.exp(t - top) for t in terms)) if top > -np.inf else -np.inf


def many_log_c(log_a, py_x, beta, kind, points):
    """The same for points (m, n_y), as arrays."""
    p, s = py_x[None], points[:, None]
    first, second = (p, s) if kind == "ib" else (s, p)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.where(first > 0.0, first * (np.log(first) - np.log(second)), 0.0).sum(axis=2)
        return np.logaddexp.reduce(log_a - beta * d, axis=1)


def mp_log_c(log_a, py_x, beta, kind, s):
    """The same with 60 digits, s renormalised in them."""
    with mpmath.workdps(60):
        s = [mpmath.mpf(float(v)) for v in s]
        s = [v / mpmath.fsum(s) for v in s]
        total = mpmath.mpf(0)
        for a, row in zip(log_a, py_x, strict=True):
            p = [mpmath.mpf(float(v)) for v in row]
            p = [v / mpmath.fsum(p) for v in p]
            first, second = (p, s) if kind == "ib" else (s, p)
            if all(v > 0 or u == 0 for u, v in zip(first, second, strict=True)):
                d = mpmath.fsum(u * mpmath.log(u / v) for u, v in zip(first, second, strict=True) if u > 0)
                total += mpmath.exp(mpmath.mpf(float(a)) - mpmath.mpf(beta) * d)
        return mpmath.log(total) if total > 0 else mpmath.mpf("-inf")


def grid(n_y, steps):
    """All points of the simplex whose coordinates are multiples of 1/steps, the faces included."""
    points = [c for c in itertools.product(range(steps + 1), repeat=n_y - 1) if sum(c) <= steps]
    points = np.array(points, dtype=float).reshape(len(points), n_y - 1)
    return np.column_stack([points, steps - points.sum(axis=1)]) / steps


def centroid_steps(log_a, py_x, beta, kind, points, n=40):
    """The ascent ``s <- centroid``, for points with c > 0."""
    points = points[many_log_c(log_a, py_x, beta, kind, points) > -np.inf]
    with np.errstate(divide="ignore"):
        log_p = np.log(py_x)
    for _ in range(n):
        p, s = py_x[None], points[:, None]
        first, second = (p, s) if kind == "ib" else (s, p)
        with np.errstate(divide="ignore", invalid="ignore"):
            d = np.where(first > 0.0, first * (np.log(first) - np.log(second)), 0.0).sum(axis=2)
            q = np.exp(log_a - beta * d - np.max(log_a - beta * d, axis=1, keepdims=True))
            q /= q.sum(axis=1, keepdims=True)
            if kind == "ib":
                points = q @ py_x
            else:
                logs = np.where(q[:, :, None] > 0.0, q[:, :, None] * log_p[None], 0.0).sum(axis=1)
                points = np.exp(logs - logs.max(axis=1, keepdims=True))
        points /= points.sum(axis=1, keepdims=True)
    return points


def reference_maximum(log_a, py_x, beta, kind, steps=24):
    """Largest log c by a dense grid, the ascent from its best points, and Nelder-Mead from the best of all."""
    points = np.concatenate([grid(py_x.shape[1], steps), py_x])
    values = many_log_c(log_a, py_x, beta, kind, points)
    points = centroid_steps(log_a, py_x, beta, kind, points[np.argsort(-values)[:60]])
    values = many_log_c(log_a, py_x, beta, kind, points)
    best, point = values.max(), points[np.argmax(values)]
    face = point > 1e-9
    if face.sum() > 1:

        def loss(u):
            s = np.zeros_like(point)
            s[face] = np.exp(u - u.max())
            return -many_log_c(log_a, py_x, beta, kind, s[None] / s.sum())[0]

        fit = minimize(loss, np.log(point[face]), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
        best = max(best, -fit.fun)
    return best


def random_problem(rng, n_x, n_y, concentration=1.0, zeros=0.0):
    py_x = rng.dirichlet(np.full(n_y, concentration), n_x) + 1e-12
    hide = rng.random((n_x, n_y)) < zeros
    hide[np.arange(n_x), rng.integers(n_y, size=n_x)] = False
    py_x[hide] = 0.0
    return np.log(rng.dirichlet(np.ones(n_x))) + rng.normal(0.0, 0.5), py_x / py_x.sum(axis=1, keepdims=True)


def solved_problem(rng, n_x, n_y, beta, kind, steps=3000):
    """log a at the end of plain Blahut-Arimoto from the identity: near-optimal, so that atoms touch log c = 0."""
    _, py_x = random_problem(rng, n_x, n_y)
    px = rng.dirichlet(np.full(n_x, 3.0))
    weights, atoms = px.copy(), py_x.copy()
    for _ in range(steps):
        p, s = py_x[None], atoms[:, None]
        first, second = (p, s) if kind == "ib" else (s, p)
        d = (first * np.log(first / second)).sum(axis=2)
        joint = weights[:, None] * np.exp(-beta * d)
        z = joint.sum(axis=0)
        joint *= px / z
        weights = joint.sum(axis=1)
        members = joint / weights[:, None]
        atoms = members @ py_x if kind == "ib" else np.exp(members @ np.log(py_x))
        atoms /= atoms.sum(axis=1, keepdims=True)
        keep = weights > 1e-12
        weights, atoms = weights[keep] / weights[keep].sum(), atoms[keep]
    return np.log(px / z), py_x, atoms


def check(result, log_a, py_x, beta, kind, *, tol=1e-9, lower=-np.inf, steps=12):
    """What must hold of every result, from evaluations alone."""
    points = np.concatenate([grid(py_x.shape[1], steps), py_x, result.best_point[None]])
    points = np.concatenate([points, centroid_steps(log_a, py_x, beta, kind, points, n=10)])
    values = many_log_c(log_a, py_x, beta, kind, points)
    noise = 4e-14 * (1.0 + beta) * (1.0 + np.abs(log_a).max())
    assert values.max() <= result.upper + noise
    assert result.best_point.shape == py_x.shape[1:]
    assert result.best_point.sum() == pytest.approx(1.0)
    assert (result.best_point >= 0.0).all()
    assert result.best_value <= result.upper
    if result.proved:
        # upper holds an allowance for rounding, at several times what rounding does
        assert result.upper <= max(lower, result.best_value) + 1.001 * tol + 4.0 * noise


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_y", [1, 2, 3, 4])
@pytest.mark.parametrize("zeros", [0.0, 0.3, 0.7])
def test_maximum_agrees_with_an_independent_search(kind, n_y, zeros):
    rng = np.random.default_rng(100 * n_y + int(10 * zeros))
    for beta in (0.3, 1.5, 6.0, 25.0):
        log_a, py_x = random_problem(rng, int(rng.integers(1, 9)), n_y, zeros=zeros)
        result = prove(log_a, py_x, beta, kind, lower=-np.inf)
        assert result.proved
        check(result, log_a, py_x, beta, kind)
        reference = reference_maximum(log_a, py_x, beta, kind)
        assert result.best_value == pytest.approx(reference, abs=2e-8)
        assert naive_log_c(log_a, py_x, beta, kind, result.best_point) == pytest.approx(result.best_value, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [0.01, 1.0, 40.0, 3000.0])
def test_bound_is_above_high_precision_values(kind, beta):
    rng = np.random.default_rng(5)
    for n_y, zeros in ((2, 0.0), (3, 0.4), (3, 0.0)):
        log_a, py_x = random_problem(rng, 5, n_y, concentration=0.5, zeros=zeros)
        result = prove(log_a, py_x, beta, kind, lower=-np.inf, max_cells=50_000)
        noisy = result.best_point * np.exp(1e-6 * rng.normal(size=(4, n_y)))
        for s in [*rng.dirichlet(np.ones(n_y), 6), *py_x, result.best_point, *noisy]:
            assert mp_log_c(log_a, py_x, beta, kind, s) <= result.upper
        assert float(mp_log_c(log_a, py_x, beta, kind, result.best_point)) == pytest.approx(
            result.best_value, abs=1e-11 * (1.0 + beta)
        )


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    n_x=st.integers(1, 12),
    n_y=st.integers(1, 4),
    log_beta=st.floats(-3.0, 4.0),
    zeros=st.sampled_from([0.0, 0.2, 0.6]),
    concentration=st.sampled_from([0.1, 1.0, 5.0]),
    kind=st.sampled_from(KINDS),
)
def test_bound_holds_for_every_shape_and_beta(seed, n_x, n_y, log_beta, zeros, concentration, kind):
    rng = np.random.default_rng(seed)
    beta = 10.0**log_beta
    log_a, py_x = random_problem(rng, n_x, n_y, concentration, zeros)
    result = prove(log_a, py_x, beta, kind, lower=-np.inf, max_cells=3000)
    assert np.isfinite(result.best_value)
    check(result, log_a, py_x, beta, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_y", [2, 3, 4])
def test_identity_and_permutation_matrices(kind, n_y):
    for py_x in (np.eye(n_y), np.eye(n_y)[::-1], np.eye(n_y)[np.r_[0, 0:n_y]]):
        log_a = np.full(len(py_x), -0.3)
        for beta in (0.7, 3.0, 200.0):
            result = prove(log_a, py_x, beta, kind, lower=-np.inf)
            assert result.proved
            reference = reference_maximum(log_a, py_x, beta, kind)
            assert result.best_value == pytest.approx(reference, abs=1e-8)
            assert reference <= result.upper + 1e-13
    if kind == "dualib":  # only the corners have any mass: c = a at each
        assert prove(np.zeros(n_y), np.eye(n_y), 2.0, kind).upper == pytest.approx(0.0, abs=2e-9)


def test_one_state_and_one_outcome():
    for kind in KINDS:
        assert prove([0.25], [[0.2, 0.5, 0.3]], 4.0, kind).best_value == pytest.approx(0.25, abs=1e-12)
        result = prove(np.log([0.5, 0.25]), np.ones((2, 1)), 4.0, kind, lower=-1.0)
        assert result.best_value == pytest.approx(np.log(0.75), abs=1e-14)
        assert result.proved
        assert result.upper == pytest.approx(np.log(0.75), abs=2e-9)
        assert result.best_point.tolist() == [1.0]


@pytest.mark.parametrize("kind", KINDS)
def test_splitting_a_state_or_adding_an_impossible_one_changes_nothing(kind):
    rng = np.random.default_rng(3)
    log_a, py_x = random_problem(rng, 5, 3)
    plain = prove(log_a, py_x, 6.0, kind, lower=-np.inf)
    double = prove(np.tile(log_a - np.log(2.0), 2), np.tile(py_x, (2, 1)), 6.0, kind, lower=-np.inf)
    more = prove(np.append(log_a, -np.inf), np.vstack([py_x, [0.0, 0.0, 1.0]]), 6.0, kind, lower=-np.inf)
    permuted = prove(log_a, py_x[:, [2, 0, 1]], 6.0, kind, lower=-np.inf)
    empty = prove(log_a, np.insert(py_x, 1, 0.0, axis=1), 6.0, kind, lower=-np.inf)
    for other in (double, more, permuted, empty):
        assert other.proved
        assert other.best_value == pytest.approx(plain.best_value, abs=1e-10)
    assert empty.best_point[1] == 0.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_x", "n_y", "beta", "budget"), [(6, 2, 8.0, 100), (8, 3, 5.0, 600), (8, 4, 10.0, 6000)])
def test_certificate_at_a_solution_is_cheap(kind, n_x, n_y, beta, budget):
    log_a, py_x, atoms = solved_problem(np.random.default_rng(1), n_x, n_y, beta, kind)
    lower = max(0.0, reference_maximum(log_a, py_x, beta, kind))
    assert lower < 1e-3
    result = prove(log_a, py_x, beta, kind, points=atoms, lower=lower)
    assert result.proved
    assert result.n_cells < budget
    assert 0.0 <= result.upper <= max(lower, result.best_value) + 1.01e-9
    check(result, log_a, py_x, beta, kind, lower=lower)
    without = prove(log_a, py_x, beta, kind, lower=lower)
    assert without.proved
    assert without.upper == pytest.approx(result.upper, abs=2e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_cluster_is_found(kind):
    _, py_x, atoms = solved_problem(np.random.default_rng(8), 7, 3, 12.0, kind)
    for dropped in range(len(atoms)):
        others = np.delete(atoms, dropped, axis=0)
        p, s = py_x[None], others[:, None]
        first, second = (p, s) if kind == "ib" else (s, p)
        likelihood = np.exp(-12.0 * (first * np.log(first / second)).sum(axis=2))
        worse = np.log(np.full(7, 1.0 / 7.0)) - np.log(likelihood.mean(axis=0))
        result = prove(worse, py_x, 12.0, kind, points=others)
        assert result.proved
        assert result.best_value > 0.01
        assert result.best_value == pytest.approx(reference_maximum(worse, py_x, 12.0, kind), abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_proof_is_a_bound_and_says_so(kind):
    log_a, py_x = random_problem(np.random.default_rng(0), 10, 4)
    true = prove(log_a, py_x, 20.0, kind, lower=-np.inf).best_value
    previous = np.inf
    for budget in (1, 20, 60):
        result = prove(log_a, py_x, 20.0, kind, lower=-np.inf, max_cells=budget)
        assert not result.proved
        assert result.n_cells <= budget
        assert true <= result.upper <= previous
        previous = result.upper
    assert prove(log_a, py_x, 20.0, kind, max_cells=0).upper == np.inf


def bounds_of(log_a, py_x, beta, kind, vertices, centre, limit=-np.inf):
    """Bound and allowance of `compiled_cells().bound_cells` for cells (b, k, n_y) around centres (b, n_y)."""
    n = len(vertices)
    negentropy = np.sum(py_x * np.log(py_x), axis=1) if kind == "ib" else np.zeros(len(py_x))
    features = np.ascontiguousarray((py_x if kind == "ib" else np.log(py_x)).T)
    alpha = log_a - beta * negentropy
    terms = proof.Terms(alpha[None], np.array([beta]), np.array([np.abs(alpha).max() + beta]), features, kind == "ib")
    upper, error, value, edge = np.empty(n), np.empty(n), np.empty(n), np.zeros(n, dtype=np.intp)
    owner = np.zeros(n, dtype=np.intp)
    limits = np.full(n, limit)
    compiled_cells().bound_cells(*terms, vertices, np.abs(vertices), centre, owner, limits, upper, error, value, edge)
    return upper, error, value, edge


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "n_y"), [(2, 2), (3, 3), (4, 4), (2, 7), (4, 9)])
def test_the_bound_of_a_cell_is_above_everything_in_it(kind, k, n_y):
    """Around the centroid and around any other point; tight where the cell is small."""
    rng = np.random.default_rng(10 * k + n_y)
    tight = 0
    for _ in range(100):
        n, beta = int(rng.integers(2, 9)), float(10.0 ** rng.uniform(-1.0, 2.5))
        py_x = rng.dirichlet(np.full(n_y, rng.choice([0.3, 2.0])), n) + 1e-9
        py_x /= py_x.sum(axis=1, keepdims=True)
        log_a, radius = rng.normal(size=n), 10.0 ** rng.uniform(-3.0, 0.0)
        base = rng.dirichlet(np.full(n_y, 0.5), k + 1) + 1e-9
        base /= base.sum(axis=1, keepdims=True)
        vertices = base[0] + radius * (base[:k] - base[0])
        inside = rng.dirichlet(np.full(k, 0.5), 300) @ vertices
        true = many_log_c(log_a, py_x, beta, kind, inside).max()
        for centre in (vertices.mean(axis=0), base[0] + radius * (base[k] - base[0]), base[k]):
            for limit in (-np.inf, true):
                upper, error, value, edge = bounds_of(log_a, py_x, beta, kind, vertices[None], centre[None], limit)
                assert true <= upper[0] + error[0] + 1e-12 * (1.0 + beta)
                assert error[0] > 0.0
                assert value[0] == pytest.approx(
                    many_log_c(log_a, py_x, beta, kind, centre[None])[0], abs=1e-10 * (1.0 + beta)
                )
                v, w = divmod(int(edge[0]), k)
                assert 0 <= w < v < k
        upper, error, _, _ = bounds_of(log_a, py_x, beta, kind, vertices[None], vertices.mean(axis=0)[None])
        assert error[0] < 1e-9 * (1.0 + beta)
        if radius < 1e-2 and beta < 10.0:
            tight += 1
            assert upper[0] - true < 0.5
    assert tight > 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [1e-3, 1.0, 1e3, 1e6])
def test_bounds_hold_where_terms_underflow_at_the_centre(kind, beta):
    """A state that has no weight left at the centre may have all of it at a vertex."""
    rng = np.random.default_rng(0)
    py_x = np.array([[0.6, 1e-9, 0.4], [1e-7, 1.0 - 2e-7, 1e-7], [0.2, 0.3, 0.5]])
    py_x /= py_x.sum(axis=1, keepdims=True)
    vertices = np.array([[0.6, 1e-9, 0.4], [1e-7, 1.0, 1e-7], [0.3, 0.1, 0.6]])
    vertices /= vertices.sum(axis=1, keepdims=True)
    points = np.concatenate([vertices, rng.dirichlet(np.full(3, 0.5), 500) @ vertices])
    log_a = np.array([0.0, -1.0, -2.0])
    true = many_log_c(log_a, py_x, beta, kind, points).max()
    for centre in (vertices[0], vertices.mean(axis=0)):
        upper, error, _, _ = bounds_of(log_a, py_x, beta, kind, vertices[None], centre[None])
        assert true <= upper[0] + error[0] < np.inf


@pytest.mark.parametrize("is_ib", [False, True])
def test_the_remainder_of_the_concave_part_is_below_that_by_mpmath(is_ib):
    """And close to it up to t = 1; at t <= -1 it stays below the limit."""
    for t in [*np.linspace(-0.999, 0.499, 40), 0.4999999, 0.5, 0.5000001, *np.geomspace(0.5, 1e6, 40)]:
        with mpmath.workdps(60):
            x = mpmath.mpf(float(t))
            exact = mpmath.mpf(0.5) if x == 0 else ((x - mpmath.log1p(x)) if is_ib else (1 + x) * mpmath.log1p(x) - x) / x**2
        found = compiled_cells()._remainder(float(t), is_ib)
        assert found <= float(exact) * (1.0 + 1e-14)
        if abs(t) <= 0.3:
            assert found >= 0.98 * float(exact)
    assert compiled_cells()._remainder(-1.0, False) <= 1.0


def test_halves_are_exact_or_refused():
    rng = np.random.default_rng(2)
    found = {True: 0, False: 0}
    for trial in range(100):
        digits = 2.0**20 if trial % 2 else 2.0**60
        cell = np.round(rng.random((1, 3, 3)) * 10.0 ** rng.integers(-3, 4) * digits) / digits
        edge = np.array([int(rng.choice([3, 6, 7]))])
        v, w = divmod(int(edge[0]), 3)
        middle = [(Fraction(cell[0, v, y]) + Fraction(cell[0, w, y])) / 2 for y in range(3)]
        (first, second), exact = proof._halved(cell, edge)
        fine = bool(exact[0])
        assert fine == all(Fraction(float(value)) == value for value in middle)
        if fine:
            assert [Fraction(value) for value in first[0, v]] == [Fraction(value) for value in second[0, w]] == middle
            np.testing.assert_array_equal(np.delete(first[0], v, axis=0), np.delete(cell[0], v, axis=0))
            np.testing.assert_array_equal(np.delete(second[0], w, axis=0), np.delete(cell[0], w, axis=0))
        found[fine] += 1
    assert min(found.values()) > 20
    assert not proof._halved(np.ones((1, 1, 1)), np.zeros(1, dtype=int))[1][0]  # a point has no edge


def test_a_slab_holds_a_cell_only_whole():
    corners = np.array([[[0.1, 0.9], [0.2, 0.8]], [[0.1, 0.9], [0.3, 0.7]]])
    slabs = [(np.array([True, False]), np.array([0.2, 0.25]))]
    assert proof._within(corners, slabs, np.array([0, 0])).tolist() == [True, False]
    assert proof._within(corners[::-1], slabs, np.array([1, 1])).tolist() == [False, True]
    assert proof._within(corners, [], np.array([0, 0])).tolist() == [False, False]


@pytest.mark.parametrize("beta", [2.5, 4.0, 30.0])
def test_slabs_hold_nothing_above_their_face(beta):
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(60):
        log_a, py_x = random_problem(rng, 6, 3, zeros=0.5)
        face = np.zeros(3, dtype=bool)
        face[rng.choice(3, int(rng.integers(1, 3)), replace=False)] = True
        inner = ~(py_x[:, ~face] > 0.0).any(axis=1)
        if not inner.any() or inner.all():
            continue
        level = float(log_a.max())
        mass = root_cells.slab(log_a[~inner], py_x[~inner][:, ~face].sum(axis=1), beta, level)
        if mass == 0.0:
            continue
        found += 1
        eps = mass * np.concatenate([10.0 ** -rng.uniform(0.0, 9.0, 800), np.linspace(0.5, 1.0, 100)])
        s = np.empty((900, 3))
        s[:, face] = (1.0 - eps)[:, None] * rng.dirichlet(np.full(face.sum(), 0.5), 900)
        inside = s[:, face] / s[:, face].sum(axis=1, keepdims=True)
        s[:, ~face] = eps[:, None] * rng.dirichlet(np.full((~face).sum(), 0.5), 900)
        on_face = np.zeros_like(s)
        on_face[:, face] = inside
        c_face = many_log_c(log_a[inner], py_x[inner], beta, "ib", on_face)
        assert (many_log_c(log_a, py_x, beta, "ib", s) <= np.maximum(c_face, level) + 1e-12).all()
    assert found > 3


# ------------------------------------------------------------------------------------------------------ any number of y


def flat_table(rng, n_x, n_y, rank, concentration=1.0):
    """Rows in a flat of dimension rank."""
    return rng.dirichlet(np.full(rank + 1, 0.7), n_x) @ rng.dirichlet(np.full(n_y, concentration), rank + 1)


def test_what_is_provable():
    rng = np.random.default_rng(0)
    full = rng.dirichlet(np.ones(6), 6)
    assert not provable(full, "ib") and not provable(full, "dualib")
    assert provable(full[:4], "ib") and not provable(full[:4], "dualib")
    assert provable(full[:, :4], "ib") and provable(full[:, :4], "dualib")
    assert provable(flat_table(rng, 30, 50, 3), "ib") and not provable(flat_table(rng, 30, 50, 4), "ib")
    assert not provable(flat_table(rng, 30, 50, 3) + 1e-9 * rng.random((30, 50)), "ib")
    with pytest.raises(ValueError, match=r"at most 4 columns, .* not shape \(6, 6\) for 'ib'"):
        Table(full, "ib")


@pytest.mark.parametrize(
    ("n_x", "n_y", "rank"), [(4, 9, 3), (1, 5, 0), (9, 4, 3), (9, 3, 2), (20, 12, 2), (25, 30, 3), (7, 8, 0)]
)
def test_root_cells_lie_above_all_conditionals(n_x, n_y, rank):
    """By linear programming: barycentric weights with which the vertices are at least each p_x."""
    rng = np.random.default_rng(n_x)
    for concentration in (0.1, 1.0):
        py_x = flat_table(rng, n_x, n_y, rank, concentration)
        vertices = root_cells._hull(py_x)
        assert len(vertices) <= 4
        assert vertices.sum(axis=1) == pytest.approx(1.0, abs=1e-10)
        for p in py_x:
            fit = linprog(np.zeros(len(vertices)), -vertices.T, 1e-9 - p, np.ones((1, len(vertices))), [1.0])
            assert fit.status == 0


@pytest.mark.parametrize("shape", ["few x", "few x with zeros", "line", "plane", "space"])
def test_the_ib_is_proved_for_any_number_of_y(shape):
    rng = np.random.default_rng(len(shape))
    for trial in range(6):
        n_y, beta = int(rng.integers(5, 51)), float(10.0 ** rng.uniform(-0.5, 2.0))
        if shape.startswith("few"):
            py_x = rng.dirichlet(np.full(n_y, [0.1, 1.0, 5.0][trial % 3]), int(rng.integers(1, 5))) + 1e-12
        else:
            py_x = flat_table(rng, int(rng.integers(5, 25)), n_y, ["line", "plane", "space"].index(shape) + 1)
        if shape.endswith("zeros"):
            py_x[rng.random(py_x.shape) < 0.4] = 0.0
            py_x[:, 0] += 0.01
        py_x /= py_x.sum(axis=1, keepdims=True)
        log_a = np.log(rng.dirichlet(np.ones(len(py_x)))) + rng.normal()
        result = prove(log_a, py_x, beta, "ib", lower=-np.inf)
        starts = np.concatenate([rng.dirichlet(np.full(len(py_x), 0.3), 100), np.eye(len(py_x))]) @ py_x
        best = many_log_c(log_a, py_x, beta, "ib", centroid_steps(log_a, py_x, beta, "ib", starts, n=300)).max()
        assert result.proved and result.best_value <= result.upper <= result.best_value + 1.1e-9
        assert best <= result.upper + 1e-12
        assert result.best_value == pytest.approx(best, abs=2e-9)
        assert many_log_c(log_a, py_x, beta, "ib", result.best_point[None])[0] == pytest.approx(result.best_value, abs=1e-10)
        assert mp_log_c(log_a, py_x, beta, "ib", result.best_point) <= result.upper


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zeros", [0.0, 0.4])
def test_many_betas_together_are_each_as_if_alone(kind, zeros):
    rng = np.random.default_rng(7)
    _, py_x = random_problem(rng, 7, 3, zeros=zeros)
    betas = np.geomspace(0.3, 60.0, 9)
    log_a = np.log(rng.dirichlet(np.ones(7), 9))
    points = [rng.dirichlet(np.ones(3), int(n)) for n in rng.integers(0, 4, 9)]
    lower = np.where(np.arange(9) % 2 == 0, -np.inf, 0.0)
    together = prove_many(Table(py_x, kind), log_a, betas, points, 1e-9, lower)
    for i, one in enumerate(together):
        alone = prove(log_a[i], py_x, betas[i], kind, points=points[i], lower=lower[i])
        assert one.proved and alone.proved
        assert one.upper == pytest.approx(alone.upper, abs=1e-12)
        assert one.best_value == pytest.approx(alone.best_value, abs=1e-12)
        assert one.n_cells == alone.n_cells
    few = prove_many(Table(py_x, kind), log_a, betas, points, 1e-9, lower, max_cells=5)
    for some, one in zip(few, together, strict=True):
        assert some.n_cells <= 5 and some.upper >= one.best_value and some.proved == (one.n_cells <= 5)


@pytest.mark.parametrize("n_x", [4, 12])
def test_solve_and_anneal_prove_such_tables(n_x):
    rng = np.random.default_rng(n_x)
    py_x = flat_table(rng, n_x, 30, 3, 0.3)
    joint = dualib.JointDistribution.from_conditionals(py_x)
    for beta in (2.0, 6.0):
        solution = dualib.solve(joint, beta)
        assert solution.certificate == "rigorous" and solution.gap <= 1e-9
        assert dualib.certify(joint, solution.encoder, beta).kind == "rigorous"
        assert dualib.solve(joint, beta, "dualib").certificate == "multistart"
    curve = dualib.anneal(joint, betas=[1.5, 3.0, 6.0], events=False)
    assert [solution.certificate for solution in curve] == ["rigorous"] * 3


def test_result_and_errors():
    assert isinstance(prove([0.0], [[0.5, 0.5]], 1.0, "ib"), Proof)
    rows = [[0.5, 0.5], [0.1, 0.9]]
    with pytest.raises(ValueError, match=r"kind must be .*'kl'"):
        prove([0.0, 0.0], rows, 1.0, "kl")
    with pytest.raises(ValueError, match=r"py_x must have at most 4 columns.*\(1, 5\)"):
        prove([0.0], np.full((1, 5), 0.2), 1.0, "dualib")
    with pytest.raises(ValueError, match=r"py_x must have shape"):
        prove([0.0], [0.5, 0.5], 1.0, "ib")
    with pytest.raises(ValueError, match=r"log_a must have shape \(2,\)"):
        prove([0.0], rows, 1.0, "ib")
    with pytest.raises(ValueError, match=r"log_a must not be NaN.*nan"):
        prove([0.0, np.nan], rows, 1.0, "ib")
    with pytest.raises(ValueError, match="log_a has no finite entry"):
        prove([-np.inf, -np.inf], rows, 1.0, "ib")
    with pytest.raises(ValueError, match=r"beta must be finite and > 0, not -1"):
        prove([0.0, 0.0], rows, -1.0, "ib")
    with pytest.raises(ValueError, match=r"tol must be finite and > 0, not 0"):
        prove([0.0, 0.0], rows, 1.0, "ib", tol=0.0)
    with pytest.raises(ValueError, match=r"lower must be below infinity.*nan"):
        prove([0.0, 0.0], rows, 1.0, "ib", lower=np.nan)
    with pytest.raises(ValueError, match=r"py_x must have rows.*-0.5"):
        prove([0.0, 0.0], [[1.5, -0.5], [0.1, 0.9]], 1.0, "ib")
    with pytest.raises(ValueError, match=r"points must have shape \(n, 2\)"):
        prove([0.0, 0.0], rows, 1.0, "ib", points=[[0.2, 0.3, 0.5]])


class Remembered:
    """`bound_cells`, and the arguments of its calls."""

    def __init__(self):
        self.calls, self._cells = [], compiled_cells()

    def bound_cells(self, *arguments):
        self.calls.append(copied(arguments))
        self._cells.bound_cells(*arguments)


def copied(arguments):
    return [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]


def test_bounds_are_the_same_wherever_arrays_lie_in_memory(monkeypatch):
    """Sums in an order of the compiler's choice came out otherwise, in the last bit, by how far apart its arrays happened to be."""
    cells = Remembered()
    monkeypatch.setattr(proof, "compiled_cells", lambda: cells)
    dualib.solve(dualib.datasets.toy(), 20.0)
    monkeypatch.undo()
    first, lying_about = None, []
    for size in np.random.default_rng(0).integers(1, 200, 1000):
        lying_about.append(np.ones(size))
        if size % 2:
            lying_about.pop(0)
        found = [copied(call) for call in cells.calls]
        for call in found:
            compiled_cells().bound_cells(*call)
        bits = [call[10].tobytes() for call in found]
        first = bits if first is None else first
        assert bits == first


class OfOnesOwn(dualib.IB):
    """The IB by another name, as far as anybody can tell."""

    def link(self, means, face=None):
        return super().link(means, face)


def test_a_distortion_derived_from_the_ib_is_not_proved_by_its_formula():
    assert dualib.solve(dualib.datasets.toy(), 8.0).certificate == "rigorous"
    assert dualib.solve(dualib.datasets.toy(), 8.0, OfOnesOwn()).certificate == "multistart"
