"""The proved bound on log c: never below anything that can be evaluated, tight, and exact about zeros."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import dualib
from dualib import bound_kernels, bounds
from dualib.bounds import BoundResult, prove

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
    for cells in (1, 20, 60):
        result = prove(log_a, py_x, 20.0, kind, lower=-np.inf, max_cells=cells)
        assert not result.proved
        assert result.n_cells <= cells
        assert true <= result.upper <= previous
        previous = result.upper
    assert prove(log_a, py_x, 20.0, kind, max_cells=0).upper == np.inf


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("k", [2, 3, 4])
def test_both_bounds_of_a_cell_are_above_everything_in_it(kind, k):
    rng = np.random.default_rng(10 * k + kind)
    for _ in range(40):
        n, beta = int(rng.integers(2, 7)), float(10.0 ** rng.uniform(-1.0, 2.0))
        p = rng.dirichlet(np.full(k, rng.choice([0.3, 2.0])), n) + 1e-9
        p /= p.sum(axis=1, keepdims=True)
        log_a = rng.normal(size=n)
        alpha = log_a + (beta * np.sum(p * np.log(p), axis=1) * -1.0 if kind == 1 else 0.0)
        weight = np.ascontiguousarray(beta * (p if kind == 1 else np.log(p)))
        size = np.abs(alpha)
        radius = 10.0 ** rng.uniform(-3.0, 0.0)
        base = rng.dirichlet(np.ones(k), k + 1)
        if kind == 1:
            base = np.log(base) - np.log(base[:, -1:])
        vertices = base[0] + radius * (base[:k] - base[0])
        centre = base[0] + radius * (base[k] - base[0])
        terms = np.empty(n)
        cell, record = np.zeros((k, 3 * k + 2)), np.zeros(3 * k + 2)
        for v in range(k):
            cell[v, :k] = vertices[v]
            bound_kernels.evaluate(alpha, size, weight, beta, kind, cell[v], terms)
        record[:k] = centre
        value = bound_kernels.evaluate(alpha, size, weight, beta, kind, record, terms)
        z = rng.dirichlet(np.full(k, 0.5), 300) @ vertices
        s = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) if kind == 1 else z
        true = many_log_c(log_a, p, beta, KINDS[1 - kind], s).max()
        chord = bound_kernels.chord_bound(cell, beta, kind, -np.inf, np.empty((4, k)), np.empty(k))
        work, tilts = np.empty((2 * k + 3, k)), np.empty((k + 1, n))
        for limit in (-np.inf, np.inf):
            bound = bound_kernels.quadratic_bound(size, weight, beta, kind, record, terms, value, cell, limit, work, tilts)
            assert true <= bound + 1e-11
            if radius < 1e-2 and beta < 10.0:
                assert bound - true < 0.5
        assert true <= chord + 1e-11


def test_the_remainders_of_the_exponential_and_the_logarithm_by_mpmath():
    """To a few ulp, also where the series takes over from the closed form."""
    steps = np.concatenate([-np.geomspace(1e-18, 60.0, 60), np.geomspace(1e-18, 300.0, 60), [-0.05, 0.05, 0.0499999, 0.02]])
    with mpmath.workdps(80):
        for m in steps:
            t = mpmath.mpf(float(m))
            assert bound_kernels._phi(float(m)) == pytest.approx(float((mpmath.expm1(t) - t) / t**2), rel=3e-14)
            if m > -1.0:
                expected = ((1 + t) * mpmath.log(1 + t) - t) / t**2
                assert bound_kernels._psi(float(m)) == pytest.approx(float(expected), rel=1e-12)
    assert bound_kernels._phi(0.0) == bound_kernels._psi(0.0) == 0.5
    assert bound_kernels._psi(-1.0) == bound_kernels._psi(-1.5) == 1.0  # the limit at -1
    assert bound_kernels._psi(-1.0 + 1e-12) == pytest.approx(1.0, abs=1e-10)


def cell_of(vertices, alpha, size, weight, beta, kind):
    """The records of the vertices (k, k), as branch and bound keeps them."""
    k = len(vertices)
    cell = np.zeros((k, 3 * k + 2))
    for v in range(k):
        cell[v, :k] = vertices[v]
        bound_kernels.evaluate(alpha, size, weight, beta, kind, cell[v], np.empty(len(alpha)))
    return cell


@pytest.mark.parametrize("beta", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("reach", [50.0, 290.0, 5000.0])
def test_bounds_of_the_widest_cells_hold_or_are_infinite(beta, reach):
    """The IB's cells may be hundreds of nats wide; what would overflow is infinite, and no bound ends as NaN."""
    rng = np.random.default_rng(int(reach))
    for k in (2, 3):
        p = rng.dirichlet(np.ones(k), 4)
        alpha = rng.normal(size=4) - beta * np.sum(p * np.log(p), axis=1)
        weight = beta * p
        vertices = np.vstack([np.zeros(k), reach * np.eye(k)[: k - 1]])
        cell = cell_of(vertices, alpha, np.abs(alpha), weight, beta, 1)
        z = rng.dirichlet(np.full(k, 0.5), 500) @ vertices
        true = many_log_c(
            alpha + beta * np.sum(p * np.log(p), axis=1), p, beta, "ib", np.exp(z - np.logaddexp.reduce(z, 1)[:, None])
        )
        chord = bound_kernels.chord_bound(cell, beta, 1, -np.inf, np.empty((4, k)), np.empty(k))
        record, terms = np.zeros(3 * k + 2), np.empty(4)
        record[:k] = vertices.mean(axis=0)
        value = bound_kernels.evaluate(alpha, np.abs(alpha), weight, beta, 1, record, terms)
        work, tilts = np.empty((2 * k + 3, k)), np.empty((k + 1, 4))
        bound = bound_kernels.quadratic_bound(np.abs(alpha), weight, beta, 1, record, terms, value, cell, -np.inf, work, tilts)
        assert true.max() <= chord + 1e-9 * (1.0 + beta * reach) and true.max() <= bound + 1e-9 * (1.0 + beta * reach)
        if beta * reach > 1e6:
            assert bound == np.inf


def test_a_chord_that_overflows_bounds_nothing():
    cell = cell_of(np.eye(2), np.zeros(3), np.zeros(3), np.full((3, 2), 0.5), 1.0, 1)
    cell[1, 6] = 1e295
    assert bound_kernels.chord_bound(cell, 1.0, 1, 0.0, np.empty((4, 2)), np.empty(2)) == np.inf


def log_c_derivatives(alpha, weight, beta, kind, z):
    """Value, gradient and Hessian of ``Lambda(z) - beta N(z)``, N the negentropy of z or the logarithm of the sum of exp z."""
    terms = alpha + weight @ z
    top = terms.max()
    q = np.exp(terms - top) / np.exp(terms - top).sum()
    mean = q @ weight
    hessian = (weight * q[:, None]).T @ weight - np.outer(mean, mean)
    if kind == 1:
        s = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        return mean - beta * s, hessian - beta * (np.diag(s) - np.outer(s, s))
    return mean - beta * (np.log(z) + 1.0), hessian - beta * np.diag(1.0 / z)


@pytest.mark.parametrize("kind", [0, 1])
def test_newtons_step_for_log_c_is_that_of_its_derivatives(kind):
    """Along the directions that keep sum s, or z of the last y; nothing moves where log c is not concave or the step leaves."""
    rng = np.random.default_rng(kind)
    taken, refused = 0, 0
    for _ in range(300):
        k, n, beta = int(rng.integers(2, 5)), 5, float(10.0 ** rng.uniform(-1.0, 1.5))
        p = rng.dirichlet(np.full(k, 1.0), n)
        weight = np.ascontiguousarray(beta * (p if kind else np.log(p)))
        alpha, s = rng.normal(size=n), rng.dirichlet(np.full(k, 0.7)) + 1e-9
        z = np.log(s / s[-1]) if kind else s / s.sum()
        record, log_q = np.zeros(3 * k + 2), np.empty(n)
        record[:k] = z
        bound_kernels.evaluate(alpha, np.abs(alpha), weight, beta, kind, record, log_q)
        moved = bound_kernels._newton(weight, beta, kind, record, log_q, np.empty((k + 2, 3 * k + 2)))
        gradient, hessian = log_c_derivatives(alpha, weight, beta, kind, z)
        basis = np.eye(k)[:, :-1] if kind else np.vstack([np.eye(k - 1), -np.ones(k - 1)])
        reduced = basis.T @ hessian @ basis
        step = basis @ np.linalg.solve(reduced, -basis.T @ gradient)
        concave, fits = (
            np.linalg.eigvalsh(reduced)[-1] < 0.0,
            np.abs(step).max() < 100.0 and (kind == 1 or (z + step > 0.0).all()),
        )
        assert moved == (concave and fits)
        np.testing.assert_allclose(record[:k], z + step if moved else z, rtol=1e-6, atol=1e-9)
        taken, refused = taken + moved, refused + (not moved)
    assert taken > 20 and refused > 20


def test_newtons_step_is_refused_at_a_corner():
    record, log_q = np.zeros(8), np.empty(2)
    weight = np.array([[0.3, 0.7], [0.6, 0.4]])
    record[:2] = [0.0, -800.0]  # s = exp(-800) is 0
    bound_kernels.evaluate(np.zeros(2), np.zeros(2), weight, 1.0, 1, record, log_q)
    assert not bound_kernels._newton(weight, 1.0, 1, record, log_q, np.empty((4, 8)))
    assert record[:2].tolist() == [0.0, -800.0]


def test_a_midpoint_is_exact_or_refused():
    rng = np.random.default_rng(2)
    found = {True: 0, False: 0}
    for trial in range(200):
        digits = 2.0**20 if trial % 2 else 2.0**60
        cell = np.zeros((3, 11))
        cell[:, :3] = np.round(rng.normal(size=(3, 3)) * 10.0 ** rng.integers(-3, 4) * digits) / digits
        middle, edge = np.empty(11), int(rng.integers(9))
        v, w = divmod(edge, 3)
        exact = [(Fraction(cell[v, y]) + Fraction(cell[w, y])) / 2 for y in range(3)]
        fine = bound_kernels._midpoint(cell, edge, middle)
        assert fine == all(Fraction(float(2 * value)) == 2 * value for value in exact)
        if fine:
            assert [Fraction(value) for value in middle[:3]] == exact
        found[fine] += 1
    assert min(found.values()) > 20


def test_a_cell_that_cannot_be_halved_exactly_ends_the_proof_with_a_bound():
    """Its halves might leave a gap between them, so the bound is that of the whole cell."""
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    beta, log_a = 6.0, np.log([0.5, 0.3, 0.2])
    negentropy = np.sum(p * np.log(p), axis=1)
    roots, out = np.array([[[0.1, 0.0], [3.3, 0.0]]]), np.empty(5)
    empty = np.zeros((0, 2))
    status = bound_kernels.branch_and_bound(
        *(log_a, negentropy, p, np.arange(2), beta, 1, roots, empty, 9.0, empty, np.zeros(0), -np.inf, 1e-9, 1000, out)
    )
    z = np.linspace(0.1, 3.3, 2001)
    s = np.column_stack([np.exp(z), np.ones_like(z)]) / (1.0 + np.exp(z))[:, None]
    true = many_log_c(log_a, p, beta, "ib", s)
    assert status == bound_kernels.STUCK
    assert out[1] <= true.max() + 1e-12 and true.max() <= out[0] < np.inf


def test_a_slab_holds_a_cell_only_whole():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        k = int(rng.integers(2, 5))
        cell = np.zeros((k, 3 * k + 2))
        cell[:, :k] = rng.normal(size=k) + 10.0 ** rng.uniform(-2.0, 0.5) * rng.normal(size=(k, k))
        slabs = np.zeros((int(rng.integers(0, 3)), k))
        slabs[:, : rng.integers(1, k)] = 1.0
        ratios = 10.0 ** rng.uniform(-2.0, 1.0, len(slabs))
        whole = bound_kernels.in_slab(cell, slabs, ratios)
        s = np.exp(np.concatenate([np.eye(k), rng.dirichlet(np.ones(k), 50)]) @ cell[:, :k])
        inside = [
            (s @ slab <= ratio * (s @ (1.0 - slab)) * (1.0 + 1e-12)).all() for slab, ratio in zip(slabs, ratios, strict=True)
        ]
        assert any(inside) or not whole
        held += whole
    point = np.zeros((2, 8))  # a cell that is one point, on the edge of the slab and beyond it
    assert bound_kernels.in_slab(point, np.array([[1.0, 0.0]]), np.array([1.0]))
    assert not bound_kernels.in_slab(point, np.array([[1.0, 0.0]]), np.array([0.999]))
    assert held > 20


@pytest.mark.parametrize("beta", [2.5, 4.0, 30.0])
def test_slabs_hold_nothing_above_their_face(beta):
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(60):
        log_a, py_x = random_problem(rng, 6, 3, zeros=0.5)
        face = np.array([True, True, False]) if rng.random() < 0.5 else np.array([True, False, False])
        inner = (py_x[:, ~face] == 0.0).all(axis=1)
        if inner.all() or not inner.any():
            continue
        level = float(rng.choice([0.0, log_a.max(), -3.0]))
        ratio = bounds._slab(log_a[~inner], py_x[~inner][:, ~face].sum(axis=1), beta, level)
        if ratio == 0.0:
            continue
        found += 1
        eps = ratio / (1.0 + ratio) * np.concatenate([np.ones(300), rng.random(300), 10.0 ** rng.uniform(-6.0, 0.0, 300)])
        s = np.empty((900, 3))
        s[:, face] = (1.0 - eps)[:, None] * rng.dirichlet(np.full(face.sum(), 0.5), 900)
        inside = s[:, face] / s[:, face].sum(axis=1, keepdims=True)
        s[:, ~face] = eps[:, None] * rng.dirichlet(np.full((~face).sum(), 0.5), 900)
        on_face = np.zeros_like(s)
        on_face[:, face] = inside
        c_face = many_log_c(log_a[inner], py_x[inner], beta, "ib", on_face)
        assert (many_log_c(log_a, py_x, beta, "ib", s) <= np.maximum(c_face, level) + 1e-12).all()
    assert found > 3


def test_result_and_errors():
    result = prove([0.0], [[0.5, 0.5]], 1.0, "ib")
    assert isinstance(result, BoundResult)
    rows = [[0.5, 0.5], [0.1, 0.9]]
    with pytest.raises(ValueError, match=r"kind must be .*'kl'"):
        prove([0.0, 0.0], rows, 1.0, "kl")
    with pytest.raises(ValueError, match=r"py_x must have shape .* \(1, 5\)"):
        prove([0.0], np.full((1, 5), 0.2), 1.0, "ib")
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
    with pytest.raises(ValueError, match=r"points must have shape \(n_t, 2\)"):
        prove([0.0, 0.0], rows, 1.0, "ib", points=[[0.2, 0.3, 0.5]])


def test_a_start_that_no_counting_source_reaches():
    """Zeros and large weights: a centroid once divided 0 by 0, in a fresh process, while kernels still run as Python."""
    code = (
        "import dualib\n"
        "joint = dualib.JointDistribution.from_counts([[0, 1000, 0, 1000], [0, 0, 30, 801], [0, 433, 207, 0]])\n"
        "print(repr(dualib.solve(joint, 3.0).objective))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(dualib.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    joint = dualib.JointDistribution.from_counts([[0, 1000, 0, 1000], [0, 0, 30, 801], [0, 433, 207, 0]])
    encoder = dualib.solve(joint, 3.0).encoder
    assert float(done.stdout) == pytest.approx(dualib.certify(joint, encoder, 3.0).objective, abs=1e-12)
